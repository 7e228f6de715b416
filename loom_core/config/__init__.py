"""Configuration: flags, environment and files put together, each value with its origin, structured strictly."""

from loom_core.config.config import Config, ConfigItem, load_config, read_config
from loom_core.config.paths import cache_dir, user_config_file

__all__ = ["Config", "ConfigItem", "cache_dir", "load_config", "read_config", "user_config_file"]
