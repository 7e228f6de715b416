"""The plugin registry: found, loaded, attributed, and never able to break the rest."""

from loom_core.plugins.info import Offer, PluginInfo
from loom_core.plugins.loading import load_registry
from loom_core.plugins.registry import Registry

__all__ = ["Offer", "PluginInfo", "Registry", "load_registry"]
