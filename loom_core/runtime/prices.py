"""What a model costs: data with a date, from the package and before it from the user's own file."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

import attrs

from loom_core.contracts.models import Usage
from loom_core.errors import ConfigError

_OWN = Path(__file__).with_name("prices.toml")
_FIELDS = frozenset({"model", "input", "cached_input", "output", "as_of", "source"})
_NANO_PER_MILLIONTH = 1000
"""A dollar per million tokens is 1,000 nano-dollars a token."""


@attrs.frozen(kw_only=True)
class Price:
    """US dollars per million tokens of the models that ``model`` matches, as of a day; None is unknown, not zero."""

    model: str
    input: float | None
    output: float | None
    cached_input: float | None
    as_of: dt.date
    source: str

    def cost_nano(self, usage: Usage) -> int | None:
        """Return what an answer costs, in nano-dollars, rounded up; None if that is not known."""
        if self.input is None or self.output is None:
            return None
        cached = self.input if self.cached_input is None else self.cached_input
        fresh = max(0, usage.input_tokens - usage.cached_tokens)
        dollars = fresh * self.input + usage.cached_tokens * cached + usage.output_tokens * self.output
        return math.ceil(round(dollars * _NANO_PER_MILLIONTH, 6))

    def affordable_output(self, nano: int) -> int | None:
        """Return how many tokens of an answer so much money pays for; None if it is any number of them."""
        if not self.output:
            return None
        return max(0, math.floor(nano / (self.output * _NANO_PER_MILLIONTH)))


PriceOf = Callable[[str], "Price | None"]


def price_finder(own_file: str | None) -> PriceOf:
    """Return what finds the price of ``PREFIX:MODEL``; raises ``ConfigError`` for a file of prices that is none."""
    prices = [*([] if own_file is None else _read(Path(own_file).expanduser())), *_read(_OWN)]

    def find(model: str) -> Price | None:
        return next((price for price in prices if fnmatchcase(model, price.model)), None)

    return find


def _read(path: Path) -> list[Price]:
    import tomllib

    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _fault(path, f"cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise _fault(path, f"is not TOML: {error}") from error
    entries = data.pop("price", [])
    if data or not isinstance(entries, list):
        raise _fault(path, "has something else than [[price]] tables")
    return [_price(path, entry) for entry in entries]


def _price(path: Path, entry: object) -> Price:
    fields: Mapping[str, object] = entry if isinstance(entry, dict) else {}
    model, as_of, source = fields.get("model"), fields.get("as_of"), fields.get("source", "")
    unknown = sorted(set(fields) - _FIELDS)
    if not isinstance(model, str) or ":" not in model or unknown:
        what = f"an unknown field `{unknown[0]}`" if unknown else "a price whose `model` is no PREFIX:MODEL"
        raise _fault(path, f"has {what}")
    if type(as_of) is not dt.date or not isinstance(source, str):
        raise _fault(path, f"has a price of `{model}` without `as_of`, a date such as 2026-01-31")
    return Price(
        model=model,
        input=_dollars(path, model, fields, "input"),
        output=_dollars(path, model, fields, "output"),
        cached_input=_dollars(path, model, fields, "cached_input"),
        as_of=as_of,
        source=source,
    )


def _dollars(path: Path, model: str, fields: Mapping[str, object], name: str) -> float | None:
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e6:
        raise _fault(path, f"has a price of `{model}` whose `{name}` is {value!r:.40}, not dollars per million tokens")
    return float(value)


def _fault(path: Path, what: str) -> ConfigError:
    return ConfigError((f"prices: {path} {what}",), hint="what such a file looks like: docs/budgets.md")
