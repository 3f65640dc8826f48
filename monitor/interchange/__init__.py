"""Measurements in the forms of other instruments, and theirs in ours: pure translation, one module per direction."""
