"""The same work in Loom and in other durable runtimes from PyPI, each in a process of its own."""
