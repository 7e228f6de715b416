"""`loom`: plugins, configuration, models, tools."""
