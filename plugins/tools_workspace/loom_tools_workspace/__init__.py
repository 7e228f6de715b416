"""Plugin `tools_workspace`: read, list, search and test a repository, confined to it."""
