"""The laboratory of network namespaces: a small internet with a censor on one line of it (docs/laboratory.md)."""
