"""The codec of a type: values to stored text and back, each way proved or refused."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from typing import Any

from loom_core.contracts.stores import EncodedState
from loom_core.errors import ValueNotDecodable, ValueNotEncodable
from loom_core.values.faults import Mismatch
from loom_core.values.plain import first_fault, nesting_fault, write_plain
from loom_core.values.same import compare
from loom_core.values.text import FIELDS_FROM, json_text, parse, state_by_fields, whole_state

_Hook = Callable[[Any], Any]
_TOO_DEEP = "nested too deeply"


class Codec:
    """Encodes the values of one type so that they come back as they went, or refuses them; made by ``codec_for``.

    ``what`` is the word that paths in errors begin with. ``schema_hash`` names the shape of the type. Safe to share
    between threads. No method blocks.
    """

    __slots__ = ("_by_fields", "_prove", "_read", "_write", "schema_hash", "what")

    def __init__(
        self, *, what: str, write: _Hook, read: _Hook, schema_hash: str, prove: Callable[[Any, str], None] | None
    ) -> None:
        self.what = what
        self.schema_hash = schema_hash
        self._write = write
        self._read = read
        self._prove = prove
        self._by_fields = False

    def encode(self, value: object) -> EncodedState:
        """Return the value's text, digest and fields; raises ``ValueNotEncodable`` for what would come back changed."""
        try:
            data = self._write(value)
            # Splitting pays for large objects only, and states are mostly as large as the one before.
            if self._by_fields and type(data) is dict:
                state = state_by_fields(data)
            else:
                state = whole_state(data)
                if len(state.text) >= FIELDS_FROM and type(data) is dict:
                    state = state_by_fields(data)
                    self._by_fields = True
            if self._prove is not None:
                self._prove(value, state.text)
        except (Mismatch, ValueError, TypeError, RecursionError) as fault:
            raise self._refusal(value, fault) from fault
        return state

    def decode(self, text: str) -> Any:
        """Return the value of a stored text, made anew; raises ``ValueNotDecodable`` if it does not fit the type."""
        try:
            data = parse(text)
        except ValueError as fault:
            raise ValueNotDecodable(self.what, f"not JSON: {fault}") from fault
        except RecursionError as fault:
            raise ValueNotDecodable(self.what, _TOO_DEEP) from fault
        return self.from_data(data)

    def to_data(self, value: object) -> Any:
        """Return the value as JSON data, refusing what ``encode`` refuses. The data may share parts with the value."""
        try:
            data = self._write(value)
            text = json_text(data)
            if self._prove is not None:
                self._prove(value, text)
        except (Mismatch, ValueError, TypeError, RecursionError) as fault:
            raise self._refusal(value, fault) from fault
        return data

    def from_data(self, data: object) -> Any:
        """Return the value of JSON data; raises ``ValueNotDecodable``. The value may share parts with the data."""
        try:
            return self._read(data)
        except Mismatch as fault:
            raise ValueNotDecodable(fault.path(self.what), fault.reason, hint=fault.hint) from fault
        except RecursionError as fault:
            raise ValueNotDecodable(self.what, _TOO_DEEP) from fault

    def _refusal(self, value: object, fault: Exception) -> ValueNotEncodable:
        if not isinstance(fault, Mismatch):
            fault = self._located(value) or Mismatch(_TOO_DEEP if isinstance(fault, RecursionError) else str(fault))
        return ValueNotEncodable(fault.path(self.what), fault.reason, hint=fault.hint)

    def _located(self, value: object) -> Mismatch | None:
        nesting = nesting_fault(value)
        if nesting is not None:
            return nesting
        try:
            return first_fault(self._write(value))
        except (ValueError, TypeError, RecursionError):
            return None


def codec_for(type_: object, *, what: str = "state") -> Codec:
    """Return the codec of a type hint; ``object``, ``Any`` and a missing annotation mean JSON values.

    Raises ``ValueNotEncodable``, which names the path, if something in the type has no stored form.
    """
    try:
        return _codec_for(type_, what)
    except TypeError:  # a hint that cannot be hashed cannot be remembered
        return _codec_for.__wrapped__(type_, what)


def codec_with(encode: Callable[[Any], Any], decode: Callable[[Any], Any], *, what: str = "state") -> Codec:
    """Return a codec of the user's own functions: ``encode`` returns JSON data, ``decode`` takes it.

    Whether a value comes back as it went is judged by encoding it again: the second text must be the first.
    """

    def write(value: Any) -> Any:
        try:
            data = encode(value)
        except Exception as refusal:  # a border: the function is the user's
            raise Mismatch(f"its encoder failed: {type(refusal).__name__}: {refusal}") from refusal
        return write_plain(data)

    def read(data: Any) -> Any:
        try:
            return decode(data)
        except Exception as refusal:  # a border: the function is the user's
            raise Mismatch(f"its decoder failed: {type(refusal).__name__}: {refusal}") from refusal

    def prove(_value: Any, text: str) -> None:
        if json_text(write(read(parse(text)))) != text:
            raise Mismatch("comes back changed: decoded and encoded again, its text is another")

    name = f"{getattr(decode, '__module__', '')}.{getattr(decode, '__qualname__', type(decode).__qualname__)}"
    named = hashlib.blake2b(f"codec {name}".encode(), digest_size=16).hexdigest()
    return Codec(what=what, write=write, read=read, schema_hash=named, prove=prove)


def encode_json(value: object, what: str) -> str:
    """Return the text of JSON data; raises ``ValueNotEncodable``, whose path begins with ``what``."""
    try:
        return json_text(write_plain(value))
    except (Mismatch, ValueError, TypeError, RecursionError) as fault:
        found = fault if isinstance(fault, Mismatch) else nesting_fault(value) or first_fault(value)
        found = found or Mismatch(str(fault))
        raise ValueNotEncodable(found.path(what), found.reason, hint=found.hint) from fault


@functools.lru_cache(maxsize=256)
def _codec_for(type_: object, what: str) -> Codec:
    from loom_core.values.compile import form_of
    from loom_core.values.form import is_recursive, reachable, shape_hash

    try:
        form = form_of(type_)
    except Mismatch as fault:
        raise ValueNotEncodable(fault.path(what), fault.reason, hint=fault.hint) from fault
    write, read = form.writer(), form.reader()

    def write_shallow(value: Any) -> Any:
        return write_plain(write(value))

    def prove(value: Any, text: str) -> None:
        compare(value, read(parse(text)))

    return Codec(
        what=what,
        write=write_shallow if is_recursive(form) else write,
        read=read,
        schema_hash=shape_hash(form),
        prove=prove if any(each.proof for each in reachable(form)) else None,
    )
