"""Write a "scripted" model: a real GGUF of about 2 MB whose output is a table made by hand.

The model has the `llama` architecture and one layer whose attention and feed-forward weights are zero. The residual
stream is then the one-hot embedding of the last token, and the output matrix is a bigram table: the next token depends
on the last one only. Text is deterministic and costs next to nothing, while tokenizer, chat template, grammar,
tool-call parser and usage accounting are the real engine's own.

The script, with ``scripted.jinja`` as chat template:

* tools offered and the user spoke last: one call of the first tool the grammar allows, strings are ``a``, numbers start
  with 7, enums and booleans are the first that fits;
* anything else: ``Hi!`` and stop; under a JSON schema, the smallest object that fits it.

Two builds write the same bytes. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, version 3.
"""

from __future__ import annotations

import random
import struct
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

TEMPLATE = Path(__file__).with_name("scripted.jinja")

ALIGNMENT = 32
WIDTH = 288  # of the embedding: at least one dimension per token
HIDDEN = 32
HEADS = 4
CONTEXT = 4096

TOOL_OPEN, TOOL_CLOSE, END_OF_TEXT, TURN_OPEN, TURN_CLOSE = range(256, 261)
SPECIAL_TOKENS = ("<tool_call>", "</tool_call>", "<|endoftext|>", "<|im_start|>", "<|im_end|>")
NORMAL, CONTROL, USER_DEFINED = 1, 3, 4

# (last, next, weight): how much likelier `next` is after `last` than after anything else.
RULES: tuple[tuple[str | int, str | int, float], ...] = (
    ("\n", TOOL_OPEN, 30),
    (" ", "H", 12),
    ("H", "i", 20),
    ("i", "!", 20),
    ("!", TURN_CLOSE, 30),
    ('"', "a", 12),
    ('"', "}", 7),
    ('"', ",", 5),
    ('"', ":", 5),
    ("}", "\n", 10),
    ("}", "}", 12),
    ("}", TURN_CLOSE, 6),
    (">", TURN_CLOSE, 14),
    (TOOL_CLOSE, TURN_CLOSE, 30),
    ("\n", TOOL_CLOSE, 8),
    ("\n", "{", 6),
    (TOOL_OPEN, "\n", 20),
)

Tensor: TypeAlias = "tuple[str, tuple[int, ...], array[float]]"


def build(path: Path, *, template: str | None = None, context: int = CONTEXT) -> Path:
    """Write the model to ``path`` and return it. ``template`` replaces ``scripted.jinja`` in its metadata.

    ``context`` is the number of tokens it claims to be trained on; the engine allows no longer conversation.
    """
    chat_template = TEMPLATE.read_text(encoding="utf-8") if template is None else template
    path.write_bytes(_encode(_metadata(chat_template, context), _tensors()))
    return path


def _encode(metadata: Sequence[bytes], tensors: Sequence[Tensor]) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)) + b"".join(metadata)
    blobs: list[bytes] = []
    offset = 0
    for name, shape, values in tensors:
        blob = _padded(values.tobytes())
        dimensions = b"".join(struct.pack("<Q", size) for size in shape)
        head += _string(name) + struct.pack("<I", len(shape)) + dimensions + struct.pack("<IQ", 0, offset)
        offset += len(blob)
        blobs.append(blob)
    return _padded(head) + b"".join(blobs)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % ALIGNMENT)


def _metadata(template: str, context: int) -> list[bytes]:
    tokens = [*_byte_symbols(), *SPECIAL_TOKENS]
    types = [NORMAL] * 256 + [USER_DEFINED] * 2 + [CONTROL] * 3
    first, second = _byte_symbols()[0xF5], _byte_symbols()[0xF6]  # never occur in UTF-8; one merge is required
    return [
        _text("general.architecture", "llama"),
        _text("general.name", "loom-scripted"),
        _uint("general.file_type", 0),
        _uint("general.alignment", ALIGNMENT),
        _uint("llama.context_length", context),
        _uint("llama.embedding_length", WIDTH),
        _uint("llama.block_count", 1),
        _uint("llama.feed_forward_length", HIDDEN),
        _uint("llama.attention.head_count", HEADS),
        _uint("llama.attention.head_count_kv", HEADS),
        _uint("llama.rope.dimension_count", WIDTH // HEADS),
        _float("llama.attention.layer_norm_rms_epsilon", 1e-6),
        _uint("llama.vocab_size", len(tokens)),
        _text("tokenizer.ggml.model", "gpt2"),
        _text("tokenizer.ggml.pre", "gpt-2"),
        _texts("tokenizer.ggml.tokens", tokens),
        _ints("tokenizer.ggml.token_type", types),
        _texts("tokenizer.ggml.merges", [f"{first} {second}"]),
        _uint("tokenizer.ggml.bos_token_id", TURN_OPEN),
        _uint("tokenizer.ggml.eos_token_id", TURN_CLOSE),
        _uint("tokenizer.ggml.padding_token_id", END_OF_TEXT),
        _bool("tokenizer.ggml.add_bos_token", False),
        _text("tokenizer.chat_template", template),
    ]


def _tensors() -> list[Tensor]:
    vocabulary = 256 + len(SPECIAL_TOKENS)
    table = _bigrams(vocabulary)
    embedding = _zeros(vocabulary * WIDTH)
    output = _zeros(vocabulary * WIDTH)
    norm = WIDTH**0.5  # RMSNorm turns a one-hot vector into one of this length
    for last in range(vocabulary):
        embedding[last * WIDTH + last] = 1.0
        for following in range(vocabulary):
            output[following * WIDTH + last] = table[last][following] / norm
    ones = array("f", [1.0]) * WIDTH
    return [
        ("token_embd.weight", (WIDTH, vocabulary), embedding),
        ("output_norm.weight", (WIDTH,), ones),
        ("output.weight", (WIDTH, vocabulary), output),
        ("blk.0.attn_norm.weight", (WIDTH,), ones),
        ("blk.0.ffn_norm.weight", (WIDTH,), ones),
        *((f"blk.0.attn_{part}.weight", (WIDTH, WIDTH), _zeros(WIDTH * WIDTH)) for part in ("q", "k", "v", "output")),
        *((f"blk.0.ffn_{part}.weight", (WIDTH, HIDDEN), _zeros(WIDTH * HIDDEN)) for part in ("gate", "up")),
        ("blk.0.ffn_down.weight", (HIDDEN, WIDTH), _zeros(HIDDEN * WIDTH)),
    ]


def _bigrams(vocabulary: int) -> list[list[float]]:
    """Return ``table[last][next]``: a little noise to break ties, unprintables made unlikely, then the rules."""
    noise = random.Random(0)
    table = [[noise.uniform(0, 0.5) for _ in range(vocabulary)] for _ in range(vocabulary)]
    for row in table:
        for token in (*range(32), *range(127, 256), END_OF_TEXT, TURN_OPEN, TURN_CLOSE):
            row[token] -= 8
        row[TOOL_OPEN] -= 6
        row[TOOL_CLOSE] -= 6
    for last, following, weight in (*RULES, *_character_rules()):
        table[_token(last)][_token(following)] += weight
    return table


def _character_rules() -> Iterator[tuple[str, str, float]]:
    for character in map(chr, range(33, 127)):
        if character.isalnum():
            yield character, '"', 8
        if character.isdigit():
            yield character, ",", 9
            yield character, "}", 9
    for character in ":,{ ":
        yield character, "7", 5


def _token(symbol: str | int) -> int:
    return symbol if isinstance(symbol, int) else ord(symbol)


def _byte_symbols() -> list[str]:
    """Return the printable character that stands for each byte in GPT-2's vocabulary."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    substitutes = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(substitutes)) for byte in range(256)]


def _zeros(count: int) -> array[float]:
    return array("f", bytes(4 * count))


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _uint(key: str, value: int) -> bytes:
    return _string(key) + struct.pack("<II", 4, value)


def _float(key: str, value: float) -> bytes:
    return _string(key) + struct.pack("<If", 6, value)


def _bool(key: str, value: bool) -> bytes:
    return _string(key) + struct.pack("<I?", 7, value)


def _text(key: str, value: str) -> bytes:
    return _string(key) + struct.pack("<I", 8) + _string(value)


def _texts(key: str, values: Sequence[str]) -> bytes:
    return _string(key) + struct.pack("<IIQ", 9, 8, len(values)) + b"".join(map(_string, values))


def _ints(key: str, values: Sequence[int]) -> bytes:
    return _string(key) + struct.pack("<IIQ", 9, 5, len(values)) + struct.pack(f"<{len(values)}i", *values)
