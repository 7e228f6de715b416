"""Where the server is and who asks it: configuration first, then the environment that OpenAI's own tools use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

import attrs

from loom_core.errors import ConfigError
from loom_llm_openai.plugin import OpenAIConfig

OFFICIAL_HOST = "api.openai.com"
OFFICIAL_URL = f"https://{OFFICIAL_HOST}/v1"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@attrs.frozen(kw_only=True)
class Settings:
    """A server and the credentials for it. ``api_key`` None sends no credentials at all."""

    base_url: str
    api_key: str | None = attrs.field(default=None, repr=False)
    organization: str | None = None
    project: str | None = None

    @property
    def host(self) -> str:
        """The server's host name."""
        return urlsplit(self.base_url).hostname or ""

    @property
    def official(self) -> bool:
        """Whether this is OpenAI itself, which always needs a key."""
        return self.host == OFFICIAL_HOST

    @property
    def loopback(self) -> bool:
        """Whether the server is on this machine, where a proxy has no business."""
        return self.host in LOOPBACK

    @property
    def shown_url(self) -> str:
        """The URL for messages, without user name, password, query and fragment."""
        parts = urlsplit(self.base_url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def settings_from(config: OpenAIConfig, environ: Mapping[str, str]) -> Settings:
    """Return the settings; raises ``ConfigError`` that never shows the key."""
    settings = Settings(
        base_url=_given(config.base_url, environ, "OPENAI_BASE_URL") or OFFICIAL_URL,
        api_key=_given(config.api_key, environ, "OPENAI_API_KEY"),
        organization=_given(config.organization, environ, "OPENAI_ORG_ID"),
        project=_given(config.project, environ, "OPENAI_PROJECT_ID"),
    )
    faults = [*_url_faults(settings.base_url)]
    for name in ("api_key", "organization", "project"):
        value = getattr(settings, name)
        if value is not None and not re.fullmatch(r"[!-~]+", value):
            faults.append(f"plugins.llm_openai.{name}: has characters that an HTTP header cannot carry")
    if faults:
        raise ConfigError(tuple(faults), hint="see docs/models.md, or: loom config show --origin")
    return settings


def _given(configured: str | None, environ: Mapping[str, str], variable: str) -> str | None:
    value = configured if configured is not None else environ.get(variable)
    return (value or "").strip() or None


def _url_faults(url: str) -> list[str]:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if usable and re.fullmatch(r"[!-~]+", url):
        return []
    return ["plugins.llm_openai.base_url: must be a URL like http://127.0.0.1:8080/v1"]
