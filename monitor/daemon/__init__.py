"""The daemon: composition root, lifecycle, reload, schedule and the pipeline of one run."""
