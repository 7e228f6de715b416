"""Where the server is, and how it is asked."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import attrs

from loom_core.errors import ConfigError
from loom_llm_ollama.plugin import OllamaConfig

DEFAULT_PORT = 11434
PORTS = {"http": 80, "https": 443}


@attrs.frozen(kw_only=True)
class Settings:
    """A server, the credentials for it, and the options of every request."""

    url: str
    api_key: str | None = attrs.field(default=None, repr=False)
    num_ctx: int
    thinking: str
    keep_alive: str | None

    @property
    def loopback(self) -> bool:
        """Whether the server is on this machine, where a proxy has no business."""
        return urlsplit(self.url).hostname in ("localhost", "127.0.0.1", "::1")


def settings_from(config: OllamaConfig, environ: Mapping[str, str]) -> Settings:
    """Return the settings; raises ``ConfigError`` that never shows the key."""
    faults: list[str] = []
    where, host = "plugins.llm_ollama.base_url", config.base_url
    if host is None:
        where, host = "OLLAMA_HOST", environ.get("OLLAMA_HOST", "")
    key = config.api_key if config.api_key is not None else environ.get("OLLAMA_API_KEY")
    key = (key or "").strip() or None
    if key is not None and not re.fullmatch(r"[!-~]+", key):
        faults.append("plugins.llm_ollama.api_key: has characters that an HTTP header cannot carry")
    url = ""
    try:
        url = server_url(host)
    except ValueError as error:
        faults.append(f"{where}: {error}")
    if faults:
        raise ConfigError(tuple(faults), hint="leave it out for http://127.0.0.1:11434")
    return Settings(
        url=url, api_key=key, num_ctx=config.num_ctx, thinking=config.thinking, keep_alive=config.keep_alive
    )


def server_url(host: str) -> str:
    """Return the URL to connect to for a value of ``OLLAMA_HOST``, which may lack scheme, host or port.

    As Ollama reads it: the port is 11434, but 80 or 443 after an explicit scheme. The addresses that a server listens
    on everywhere with, 0.0.0.0 and ::, are turned into this machine's own. Raises ``ValueError``.
    """
    value = host.strip().strip("\"'").strip()
    scheme, separator, rest = value.partition("://")
    if not separator:
        scheme, rest = "http", value
    if scheme not in PORTS:
        raise ValueError(f"the scheme must be http or https, not {scheme!r}")
    address, _, path = rest.partition("/")
    name, port = _host_and_port(address, PORTS[scheme] if separator else DEFAULT_PORT)
    return f"{scheme}://{name}:{port}{('/' + path.strip('/')) if path.strip('/') else ''}"


def _host_and_port(address: str, default_port: int) -> tuple[str, int]:
    if re.fullmatch(r"[0-9A-Fa-f:]*:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*", address):
        name, port = address, ""  # an IPv6 address without brackets
    else:
        matched = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::(.*))?|([\w.-]*)(?::(.*))?", address, re.ASCII)
        if matched is None:
            raise ValueError(f"{address!r} is not HOST or HOST:PORT")
        name = matched[1] or matched[3] or ""
        port = matched[2] or matched[4] or ""
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"{port!r} is not a port")
    return _connectable(name), int(port or default_port)


def _connectable(name: str) -> str:
    if not name:
        return "127.0.0.1"
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "[::1]"
    return str(address) if address.version == 4 else f"[{address}]"
