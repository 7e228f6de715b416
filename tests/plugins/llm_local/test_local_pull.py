"""Weights are fetched whole and right, or not at all; what was interrupted goes on."""

import asyncio
import fcntl
import hashlib
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from loom_llm_local.backend import LocalBackend

from loom_core.contracts.models import ModelInfo
from loom_core.errors import BadInput, ErrorCategory, ModelFailed
from tests.plugins.llm_local.file_server import Site, serve
from tests.plugins.llm_local.support import asked, collect, run, text_of


def pull(folder: Path, source: str) -> ModelInfo:
    async def use(backend: LocalBackend) -> ModelInfo:
        return await backend.pull(source, lambda what, done, total: None)

    return run(folder, use)


def refused(folder: Path, source: str) -> BadInput:
    with pytest.raises(BadInput) as caught:
        pull(folder, source)
    return caught.value


def interrupted(folder: Path, source: str) -> ModelFailed:
    with pytest.raises(ModelFailed) as caught:
        pull(folder, source)
    assert caught.value.error_category is ErrorCategory.TRANSIENT
    return caught.value


def shelf(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "models").glob("*.gguf")}


@pytest.fixture
def content(scripted: Path) -> bytes:
    return scripted.read_bytes()


@pytest.fixture
def site(content: bytes) -> object:
    with serve(content) as site:
        yield site


# --- from a URL -----------------------------------------------------------------------------------------------------


def test_a_url_is_fetched_listed_and_answers_under_its_name(site: Site, content: bytes, tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []

    async def use(backend: LocalBackend) -> str:
        info = await backend.pull(site.url, lambda what, done, total: told.append((what, done, total)))
        assert (info.name, info.ready, info.size_bytes) == ("model", True, len(content))
        assert "model" in [found.name for found in await backend.models() if found.ready]
        return text_of(await collect(backend, asked("model")))

    assert run(tmp_path, use) == "Hi!"
    assert ("model", 0, len(content)) in told
    assert ("model", len(content), len(content)) in told
    assert shelf(tmp_path) == {"model.gguf": content}


def test_nothing_but_the_weights_and_their_origin_is_left(site: Site, tmp_path: Path) -> None:
    pull(tmp_path, site.url)
    names = {path.name for path in (tmp_path / "models").iterdir()}
    assert names == {"model.gguf", "model.json", ".model.lock", ".tried"}
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "models" / "model.gguf").stat().st_mode) == 0o666 & ~umask


def test_what_is_there_is_not_fetched_again(site: Site, content: bytes, tmp_path: Path) -> None:
    pull(tmp_path, site.url)
    pull(tmp_path, site.url)
    pull(tmp_path, f"{site.url}#sha256={hashlib.sha256(content).hexdigest()}")
    assert len(site.requests) == 1


def test_an_interrupted_download_is_resumed_where_it_stopped(site: Site, content: bytes, tmp_path: Path) -> None:
    site.cut_after = 700_000
    assert "700000 of" in interrupted(tmp_path, site.url).message
    assert shelf(tmp_path) == {}
    site.cut_after = None
    pull(tmp_path, site.url)
    assert site.requests[1]["Range"] == "bytes=700000-"
    assert site.requests[1]["If-Range"] == '"v1"'
    assert shelf(tmp_path) == {"model.gguf": content}


def test_a_file_that_changed_meanwhile_is_fetched_from_its_beginning(
    site: Site, content: bytes, tmp_path: Path
) -> None:
    site.content = content[:-1] + b"x"
    site.cut_after = 700_000
    interrupted(tmp_path, site.url)
    site.cut_after, site.content, site.headers = None, content, {"ETag": '"v2"'}
    pull(tmp_path, site.url)
    assert shelf(tmp_path) == {"model.gguf": content}


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"weak"'}])
def test_bytes_without_a_strong_validator_are_not_added_to(
    headers: dict[str, str], site: Site, content: bytes, tmp_path: Path
) -> None:
    site.headers, site.cut_after = headers, 700_000
    interrupted(tmp_path, site.url)
    site.cut_after = None
    pull(tmp_path, site.url)
    assert "Range" not in site.requests[1]
    assert shelf(tmp_path) == {"model.gguf": content}


def test_a_date_is_a_validator(site: Site, tmp_path: Path) -> None:
    site.headers, site.cut_after = {"Last-Modified": "Mon, 02 Nov 2026 10:00:00 GMT"}, 700_000
    interrupted(tmp_path, site.url)
    site.cut_after = None
    pull(tmp_path, site.url)
    assert site.requests[1]["If-Range"] == "Mon, 02 Nov 2026 10:00:00 GMT"


def test_a_server_without_ranges_sends_all_of_it_again(site: Site, content: bytes, tmp_path: Path) -> None:
    site.cut_after = 700_000
    interrupted(tmp_path, site.url)
    site.cut_after, site.ranges = None, False
    pull(tmp_path, site.url)
    assert shelf(tmp_path) == {"model.gguf": content}


def test_a_range_that_was_not_asked_for_is_not_appended(site: Site, content: bytes, tmp_path: Path) -> None:
    site.cut_after = 700_000
    interrupted(tmp_path, site.url)
    site.cut_after, site.range_offset = None, 5
    assert "another part" in interrupted(tmp_path, site.url).message
    site.range_offset = 0
    pull(tmp_path, site.url)
    assert shelf(tmp_path) == {"model.gguf": content}


def test_a_part_that_was_complete_is_finished_without_its_bytes(site: Site, content: bytes, tmp_path: Path) -> None:
    site.cut_after = 700_000
    interrupted(tmp_path, site.url)
    site.cut_after = None
    (tmp_path / "models" / ".model.part").write_bytes(content)
    pull(tmp_path, site.url)
    assert shelf(tmp_path) == {"model.gguf": content}


def test_a_part_longer_than_the_file_is_thrown_away(site: Site, content: bytes, tmp_path: Path) -> None:
    site.cut_after = 700_000
    interrupted(tmp_path, site.url)
    site.cut_after = None
    (tmp_path / "models" / ".model.part").write_bytes(content + b"more")
    pull(tmp_path, site.url)
    assert shelf(tmp_path) == {"model.gguf": content}


def test_a_length_that_nobody_told_is_no_obstacle(site: Site, content: bytes, tmp_path: Path) -> None:
    site.length = False
    pull(tmp_path, site.url)
    assert shelf(tmp_path) == {"model.gguf": content}


def test_a_wrong_checksum_keeps_nothing(site: Site, content: bytes, tmp_path: Path) -> None:
    error = refused(tmp_path, f"{site.url}#sha256={'0' * 64}")
    assert hashlib.sha256(content).hexdigest() in error.message
    assert not (tmp_path / "models" / ".model.part").exists()
    assert shelf(tmp_path) == {}


def test_a_resumed_download_that_was_damaged_is_caught(site: Site, content: bytes, tmp_path: Path) -> None:
    site.cut_after = 700_000
    interrupted(tmp_path, site.url)
    site.cut_after = None
    part = tmp_path / "models" / ".model.part"
    part.write_bytes(b"GGUF" + bytes(part.stat().st_size - 4))
    refused(tmp_path, f"{site.url}#sha256={hashlib.sha256(content).hexdigest()}")
    assert shelf(tmp_path) == {}


def test_a_page_in_place_of_the_file_is_refused_at_its_first_bytes(site: Site, tmp_path: Path) -> None:
    site.content = b"<html>please log in</html>"
    assert "no GGUF file" in refused(tmp_path, site.url).message


def test_a_file_that_does_not_load_is_not_kept(site: Site, content: bytes, tmp_path: Path) -> None:
    site.content = content[:-4096]
    assert "corrupted or incomplete" in refused(tmp_path, site.url).message
    assert shelf(tmp_path) == {}


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_for_good_is_bad_input(status: int, site: Site, tmp_path: Path) -> None:
    site.status = status
    assert f"HTTP {status}" in refused(tmp_path, site.url).message


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_refusal_for_now_is_transient(status: int, site: Site, tmp_path: Path) -> None:
    site.status = status
    assert f"HTTP {status}" in interrupted(tmp_path, site.url).message


def test_nobody_at_the_other_end_is_transient(site: Site, tmp_path: Path) -> None:
    assert "refused" in interrupted(tmp_path, "http://127.0.0.1:9/model.gguf").message


@pytest.mark.parametrize("target", ["ftp://127.0.0.1:9/model.gguf", "file:///etc/passwd"])
def test_a_redirect_elsewhere_than_the_web_is_not_followed(target: str, site: Site, tmp_path: Path) -> None:
    site.redirect = target
    refused(tmp_path, site.url)


@pytest.mark.parametrize(
    "source",
    [
        "http://127.0.0.1:9/model.bin",
        "http://127.0.0.1:9/",
        "http://127.0.0.1:9/..%2F..%2Fevil.gguf",
        "http://127.0.0.1:9/.hidden.gguf",
        "http://127.0.0.1:9/model.gguf#sha256=abc",
        "http://127.0.0.1:9/model.gguf#md5=abc",
        "http://127.0.0.1:nine/model.gguf",
        "http://127.0.0.1:9/smollm2.gguf",
        "nope",
        "",
    ],
)
def test_a_source_that_cannot_be_one_is_refused(source: str, tmp_path: Path) -> None:
    refused(tmp_path, source)
    assert shelf(tmp_path) == {}


def test_a_second_pull_of_the_same_name_is_told_so(site: Site, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    with (tmp_path / "models" / ".model.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "being pulled already" in interrupted(tmp_path, site.url).message
    pull(tmp_path, site.url)


def test_a_cancelled_pull_stops_and_keeps_what_arrived(site: Site, content: bytes, tmp_path: Path) -> None:
    site.hold, site.cut_after = threading.Event(), 1_500_000

    async def use(backend: LocalBackend) -> None:
        arrived = asyncio.Event()
        task = asyncio.create_task(backend.pull(site.url, lambda what, done, total: done and arrived.set()))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(tmp_path, use)
    assert (tmp_path / "models" / ".model.part").exists()
    site.hold.set()
    site.cut_after = None
    while True:
        try:
            pull(tmp_path, site.url)
        except ModelFailed as error:
            assert "already" in error.message  # the cancelled thread is about to see that it was
        else:
            break
    assert shelf(tmp_path) == {"model.gguf": content}


def test_a_full_disk_is_said_and_harms_nothing(site: Site, tmp_path: Path) -> None:
    """The limit on the size of a file stands for the disk: the operating system refuses the write in the same way."""
    code = f"""
import asyncio, resource
from pathlib import Path
from loom_core.errors import ModelFailed
from loom_llm_local.backend import LocalBackend
from loom_llm_local.config import LocalConfig
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
backend = LocalBackend(LocalConfig(), cache_dir=Path({str(tmp_path)!r}))
try:
    asyncio.run(backend.pull({site.url!r}, lambda *told: None))
except ModelFailed as error:
    print(error.message)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith(f"no room in {tmp_path / 'models'}")
    assert shelf(tmp_path) == {}


# --- from a file ----------------------------------------------------------------------------------------------------


def test_a_file_is_copied_and_the_original_may_go(scripted: Path, tmp_path: Path) -> None:
    original = tmp_path / "mine.gguf"
    original.write_bytes(scripted.read_bytes())
    assert pull(tmp_path, str(original)).name == "mine"
    original.unlink()
    assert text_of(run(tmp_path, lambda backend: collect(backend, asked("mine")))) == "Hi!"


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(b"nothing")
    assert "GGUF" in refused(tmp_path, str(path)).message
    assert "does not begin" in refused(tmp_path, str(path)).message
    assert "No such file" in refused(tmp_path, str(tmp_path / "absent.gguf")).message


def test_a_name_that_is_taken_is_not_overwritten(scripted: Path, site: Site, content: bytes, tmp_path: Path) -> None:
    pull(tmp_path, site.url)
    other = tmp_path / "model.gguf"
    other.write_bytes(scripted.read_bytes())
    error = refused(tmp_path, str(other))
    assert "taken" in error.message
    assert site.url in error.message
    assert error.hint
    assert shelf(tmp_path) == {"model.gguf": content}


def test_a_folder_that_cannot_be_made_is_said(scripted: Path, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises((ModelFailed, BadInput)) as caught:
        pull(tmp_path, str(scripted))
    assert "models" in caught.value.message
