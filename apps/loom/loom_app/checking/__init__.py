"""Validating one plugin alone, in a process of its own."""
