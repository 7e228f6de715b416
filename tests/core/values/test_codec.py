"""Texts, digests, fields, hashes of shapes, user's own encoders."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loom_core.contracts.stores import EncodedState
from loom_core.errors import ValueNotDecodable, ValueNotEncodable
from loom_core.values import codec_for, codec_with, digest, encode_json
from tests.core.values import shapes as s


def joined(encoded: EncodedState) -> str:
    assert encoded.fields is not None
    keys = [json.dumps(key, ensure_ascii=False) for key in encoded.fields]
    return "{" + ",".join(f"{key}:{field}" for key, field in zip(keys, encoded.fields.values(), strict=True)) + "}"


def test_text_is_compact_utf8_json_and_digest_is_its_blake2b() -> None:
    encoded = codec_for(object).encode({"é": [1, "🐍"]})

    assert encoded.text == '{"é":[1,"🐍"]}'
    assert encoded.digest == hashlib.blake2b(encoded.text.encode(), digest_size=16).digest() == digest(encoded.text)
    assert encoded.fields is None


@given(st.dictionaries(st.text(), st.text() | st.lists(st.integers()), max_size=5))
def test_long_objects_carry_their_fields_and_joined_they_are_the_text(value: dict[str, Any]) -> None:
    value = {**value, "long": "x" * 600}
    codec = codec_for(object)

    for encoded in (codec.encode(value), codec.encode(value), codec_for(dict[str, object]).encode(value)):
        assert joined(encoded) == encoded.text
        assert {key: json.loads(field) for key, field in (encoded.fields or {}).items()} == value


def test_short_states_and_states_that_are_no_object_carry_no_fields() -> None:
    codec = codec_for(object)

    codec.encode({"a": "x" * 600})
    assert codec.encode({"a": "x"}).fields is None
    assert codec.encode(["x" * 600]).fields is None
    assert codec.encode({"a": "\ud800" + "x" * 600}).fields is None


def test_the_text_does_not_depend_on_what_the_codec_encoded_before() -> None:
    codec, small, large = codec_for(object, what="own"), {"a": 1}, {"a": "x" * 600, "b": 1}

    first = [codec.encode(small), codec.encode(large)]

    assert first == [codec.encode(small), codec.encode(large)]


def test_decoding_makes_a_new_value_every_time() -> None:
    codec, text = codec_for(object), '{"a":[1]}'

    codec.decode(text)["a"].append(2)

    assert codec.decode(text) == {"a": [1]}


def test_codecs_are_cached_by_type_and_word() -> None:
    assert codec_for(s.Cart) is codec_for(s.Cart)
    assert codec_for(s.Cart) is not codec_for(s.Cart, what="result")


def test_encode_json_takes_json_data_only() -> None:
    assert encode_json({"a": [1, None, "\ud800"]}, "arguments") == '{"a":[1,null,"\\ud800"]}'
    with pytest.raises(ValueNotEncodable, match=r"^arguments\.a: expected JSON data, found tuple"):
        encode_json({"a": ()}, "arguments")


def test_neither_cattrs_nor_asyncio_is_imported_before_a_codec_is_made() -> None:
    code = "import sys, loom_core.values; print([each for each in ('cattrs', 'asyncio') if each in sys.modules])"

    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert shown.stdout.strip() == "[]"


def shaped(**hints: Any) -> Any:
    return attrs.make_class("Shape", {name: attrs.field(type=hint) for name, hint in hints.items()})


def test_the_schema_hash_changes_with_names_and_types_at_any_depth() -> None:
    variants = [
        shaped(a=int),
        shaped(b=int),
        shaped(a=int, b=int),
        shaped(b=int, a=int),
        shaped(a=str),
        shaped(a=int | None),
        shaped(a=list[int]),
        shaped(a=tuple[int, ...]),
        shaped(a=shaped(c=int)),
        shaped(a=shaped(c=str)),
        shaped(a=dict[str, shaped(c=str)]),
        shaped(a=dict[int, shaped(c=str)]),
        s.Node,
        s.Plus,
        s.Movie,
        s.Partial,
        s.Pair,
        s.Model,
        s.Colour,
        s.Level,
        object,
    ]

    assert len({codec_for(each).schema_hash for each in variants}) == len(variants)


def test_the_schema_hash_is_the_same_for_the_same_shape_and_in_every_process() -> None:
    assert codec_for(shaped(a=int | str)).schema_hash == codec_for(shaped(a=str | int)).schema_hash
    code = (
        "from loom_core.values import codec_for; from tests.core.values import shapes as s;"
        "print(codec_for(s.Plus).schema_hash, codec_for(s.Model).schema_hash, codec_for(s.Cart).schema_hash)"
    )
    root = Path(__file__).parents[3]
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)

    assert shown.stdout.split() == [codec_for(each).schema_hash for each in (s.Plus, s.Model, s.Cart)]


class Plain:
    def __init__(self, n: int) -> None:
        self.n = n


class Rows(NamedTuple):
    rows: list[int]


def test_a_users_own_encoders_are_used_both_ways() -> None:
    codec = codec_with(lambda value: {"n": value.n}, lambda data: Plain(data["n"]))

    encoded = codec.encode(Plain(3))

    assert encoded.text == '{"n":3}'
    assert codec.decode(encoded.text).n == 3
    assert codec.to_data(Plain(4)) == {"n": 4}
    assert codec.from_data({"n": 5}).n == 5
    assert len(codec.schema_hash) == 32


def test_what_a_users_encoder_returns_must_be_json_data() -> None:
    codec = codec_with(lambda value: {"rows": tuple(value.rows)}, lambda data: Rows(data["rows"]), what="result")

    with pytest.raises(ValueNotEncodable, match=r"^result\.rows: expected JSON data, found tuple"):
        codec.encode(Rows([1]))


def test_users_encoders_that_do_not_fit_together_are_found_out_by_encoding_again() -> None:
    codec = codec_with(lambda value: {"n": value.n}, lambda data: Plain(data["n"] + 1))

    with pytest.raises(ValueNotEncodable, match="state: comes back changed"):
        codec.encode(Plain(1))


def test_errors_of_users_encoders_are_refusals_that_name_them() -> None:
    codec = codec_with(lambda value: {"n": value.n}, lambda data: Plain(data["n"]))

    with pytest.raises(ValueNotEncodable, match="state: its encoder failed: AttributeError: "):
        codec.encode(3)
    with pytest.raises(ValueNotDecodable, match="state: its decoder failed: KeyError: 'n'"):
        codec.decode("{}")
