"""probes.yaml → typed configuration; errors with file, line and key; secrets by reference."""
