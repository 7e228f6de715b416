"""`loom-run`: a dev agent on a repository, one durable run per conversation."""
