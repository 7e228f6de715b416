"""What plugins implement and what they exchange with the runtime: protocols and frozen records, one noun a module.

Nothing here imports asyncio, cattrs or a plugin, so that a plugin's ``plugin.py`` costs next to nothing to import.
"""
