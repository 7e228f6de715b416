"""The commands of `loom-run`, one module each, imported only when run."""
