"""`loom-runner`: run, resume and explain agents."""
