"""A file that is no model is refused with a reason; the engine's aborts happen in a child."""

import os
import sqlite3
from pathlib import Path

import pytest
from loom_llm_local.config import LocalConfig
from loom_llm_local.gguf import fault_of

from loom_core.errors import ErrorCategory, ModelFailed
from tests.plugins.llm_local.support import asked, collect, run, text_of


def refusal(path: Path, folder: Path, **config: object) -> ModelFailed:
    with pytest.raises(ModelFailed) as caught:
        run(folder, lambda backend: collect(backend, asked(path)), **config)
    assert caught.value.error_category is ErrorCategory.VALIDATION
    assert not caught.value.is_retryable
    assert str(path) in caught.value.message
    return caught.value


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"<html>not found</html>" * 9, "does not begin with GGUF"),
        (b"GGUF", "ends within its header"),
        (b"GGUF\x63\0\0\0" + bytes(16), "version 99"),
        (b"GGUF\x03\0\0\0" + bytes(16), "no model"),
        (b"GGUF\x03\0\0\0" + b"\xff" * 16, "promises more than the file holds"),
    ],
)
def test_a_header_that_cannot_be_is_refused_without_an_engine(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    assert reason in str(fault_of(path))
    assert reason in refusal(path, tmp_path).message


def test_a_file_that_was_cut_is_refused_in_the_engines_own_words(scripted: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(scripted.read_bytes()[:-4096])
    assert "corrupted or incomplete" in refusal(path, tmp_path).message


def test_a_file_on_which_the_engine_aborts_does_not_end_this_process(scripted: Path, tmp_path: Path) -> None:
    path = tmp_path / "twice.gguf"
    first_token = scripted.read_bytes().replace(b"\x01\0\0\0\0\0\0\0B", b"\x01\0\0\0\0\0\0\0A", 1)
    path.write_bytes(first_token)  # the token `A` is there twice
    assert "aborted" in refusal(path, tmp_path).message


def test_a_template_that_does_not_parse_is_named(scripted: Path, tmp_path: Path) -> None:
    path = tmp_path / "template.gguf"
    path.write_bytes(scripted.read_bytes().replace(b"endfor", b"endfox"))
    assert "endfox" in refusal(path, tmp_path).message


@pytest.mark.parametrize("n_ctx", [0, 1, 255, 1 << 21])
def test_a_context_that_the_engine_would_not_survive_is_refused(n_ctx: int) -> None:
    with pytest.raises(ValueError, match="n_ctx"):
        LocalConfig(n_ctx=n_ctx)


def test_a_file_that_was_repaired_is_loaded(scripted: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(scripted.read_bytes()[:-4096])
    refusal(path, tmp_path)
    path.write_bytes(scripted.read_bytes())
    assert text_of(run(tmp_path, lambda backend: collect(backend, asked(path)))) == "Hi!"


@pytest.mark.parametrize("kind", ["folder", "fifo", "device"])
def test_only_regular_files_are_opened(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.gguf"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    assert fault_of(path) == "it is not a regular file"


def test_a_run_database_in_use_is_not_even_opened(tmp_path: Path) -> None:
    path = tmp_path / "runs.gguf"
    database = sqlite3.connect(path)
    database.execute("create table t (x)")
    database.close()
    status = path.stat()
    path.chmod(0)  # opening it would fail in another way, or not at all for root
    fault = fault_of(path, lambda: frozenset({(status.st_dev, status.st_ino)}))
    assert fault == "it is a run database that is in use"
