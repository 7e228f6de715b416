"""Schedules: when a rule says that a run is to be started, which of those times count, and starting them."""
