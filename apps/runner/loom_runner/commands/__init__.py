"""The commands of `loom-runner`, one module each, imported when they are run."""
