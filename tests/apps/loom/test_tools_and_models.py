"""`loom tools` and `loom models` on third-party plugins, as a user sees them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.apps.loom.conftest import Ended
from tests.core.plugins.distributions import Site

Loom = Callable[..., Ended]

TOOLS = """
def factory(name, effect, is_async=False, timeout_s=5):
    def make(context):
        from loom_core.tools import tool

        def act(text: str = "x", times: int = 1) -> object:
            "Act on a text."
            print("noise on stdout")
            if text == "boom":
                raise RuntimeError("it exploded")
            return {"text": text * times, "workspace": str(context.workspace)}

        async def act_async(seconds: float = 0) -> str:
            "Wait."
            import asyncio
            await asyncio.sleep(seconds)
            return "two\\nlines \\x1b[2J"

        return tool(name=name, effect=effect, timeout_s=timeout_s)(act_async if is_async else act)
    return make

@hookimpl
def loom_tools():
    yield ToolEntry(name="site_look", summary="looks", factory=factory("site_look", "read"))
    yield ToolEntry(name="site_wait", summary="waits", factory=factory("site_wait", "read", True, 0.05))
    yield ToolEntry(name="site_write", summary="writes", factory=factory("site_write", "once"))
    yield ToolEntry(name="site_bomb", summary="explodes", factory=lambda context: 1 / 0)
"""

MODELS = """
class Backend:
    def __init__(self, events=None):
        self.events = events
    async def models(self):
        from loom_core.contracts.models import ModelInfo
        from loom_core.errors import ModelFailed
        if self.events is None:
            raise ModelFailed("the server is down", hint="start it")
        return [ModelInfo(name="small", summary="a model", size_bytes=98_400_000, ready=False)]
    async def stream(self, request):
        for event in self.events:
            yield event
    async def pull(self, source, progress):
        from loom_core.contracts.models import ModelInfo
        progress("weights", 5, 10)
        progress("weights", 10, 10)
        return ModelInfo(name=source.replace(":", "_"), size_bytes=10)
    async def aclose(self):
        pass

def answering(context):
    from loom_core.contracts.models import Finish, TextDelta, ThinkingDelta, Usage
    usage = Usage(input_tokens=3, output_tokens=2)
    return Backend([ThinkingDelta("hm"), TextDelta("hel"), TextDelta("lo"), usage, Finish("stop")])

def cut(context):
    from loom_core.contracts.models import TextDelta
    return Backend([TextDelta("hel")])

class Defect(Backend):
    pull = None
    async def models(self):
        raise KeyError("oops")

@hookimpl
def loom_models():
    for prefix, factory in (("sitea", answering), ("sitecut", cut), ("sitedown", lambda c: Backend()),
                            ("sitebug", lambda c: Defect([])), ("sitebroken", lambda c: 1 / 0)):
        yield ModelEntry(name=prefix, summary="", prefix=prefix, factory=factory)
    yield ModelEntry(name="lack", summary="", prefix="sitelack", factory=id, requires=("no_such_lib",), extra="lack")
"""


@pytest.fixture
def tools(here: Site) -> Site:
    here.add("acme", TOOLS)
    return here


@pytest.fixture
def models(here: Site) -> Site:
    here.add("acme", MODELS)
    return here


def test_a_third_partys_tools_are_listed_with_their_effects(tools: Site, loom: Loom) -> None:
    ended = loom("tools", "list", "--json")
    rows = {row["name"]: row for row in ended.document["tools"]}
    assert rows["site_look"] == {
        "name": "site_look", "plugin": "acme", "summary": "looks", "effect": "read", "error": None,
    }  # fmt: skip
    assert rows["site_write"]["effect"] == "once"
    assert rows["site_bomb"]["effect"] is None and "ZeroDivisionError" in rows["site_bomb"]["error"]
    assert "read_file" in rows
    human = loom("tools", "list")
    assert human.status == 0 and "ZeroDivisionError" in human.stderr


def test_a_tool_is_shown_with_its_arguments(tools: Site, loom: Loom) -> None:
    shown = loom("tools", "show", "site_write", "--json").document["tool"]
    assert (shown["effect"], shown["plugin"], shown["timeout_s"]) == ("once", "acme", 5)
    assert set(shown["parameters"]["properties"]) == {"text", "times"}
    assert "never repeated by itself" in loom("tools", "show", "site_write").stdout


def test_calling_a_tool_prints_its_result_and_nothing_of_what_it_printed(
    tools: Site, loom: Loom, tmp_path: Path
) -> None:
    args = ["tools", "call", "site_look", "--args", '{"text": "ab", "times": 2}', "--workspace", str(tmp_path)]
    ended = loom(*args, "--json")
    assert ended.status == 0
    assert ended.document == {
        "schema": "loom.tools.call/1",
        "tool": "site_look",
        "result": {"text": "abab", "workspace": str(tmp_path.resolve())},
    }
    assert "noise on stdout" in ended.stderr


def test_what_a_tool_returns_cannot_reach_the_terminal(tools: Site, loom: Loom) -> None:
    assert loom("tools", "call", "site_wait").stdout == "two\nlines \\x1b[2J\n"


def test_an_async_tool_is_stopped_at_its_timeout(tools: Site, loom: Loom) -> None:
    ended = loom("tools", "call", "site_wait", "--args", '{"seconds": 60}')
    assert ended.status == 1
    assert "tool `site_wait` failed: TimeoutError" in ended.stderr


def test_a_tool_that_changes_something_needs_a_word_of_its_own(tools: Site, loom: Loom) -> None:
    ended = loom("tools", "call", "site_write")
    assert (ended.status, ended.stdout) == (2, "")
    assert "its effect is `once`" in ended.stderr and "--allow-effects" in ended.stderr
    assert "noise" not in ended.stderr
    assert loom("tools", "call", "site_write", "--allow-effects").status == 0


@pytest.mark.parametrize(
    ("args", "status", "sentence"),
    [
        (["site_lok"], 2, "there is no tool `site_lok`"),
        (["site_look", "--args", "{"], 2, "are not JSON"),
        (["site_look", "--args", "[1]"], 2, "must be a JSON object"),
        (["site_look", "--args", '{"txt": "a"}'], 2, "txt"),
        (["site_look", "--args", '{"times": "many"}'], 2, "times"),
        (["site_look", "--args", '{"text": "boom"}'], 1, "tool `site_look` failed: RuntimeError: it exploded"),
        (["site_bomb"], 3, "could not make the tool `site_bomb`"),
        (["site_look", "--workspace", "/no/such/folder"], 2, "does not exist"),
    ],
)
def test_a_call_that_cannot_be_made_or_fails_is_one_sentence(
    tools: Site, loom: Loom, args: list[str], status: int, sentence: str
) -> None:
    ended = loom("tools", "call", *args)
    assert (ended.status, ended.stdout) == (status, "")
    assert sentence in ended.stderr and "Traceback" not in ended.stderr


def test_every_backend_is_listed_and_one_that_cannot_be_reached_is_a_row(models: Site, loom: Loom) -> None:
    flags = ["--disable-plugin", "llm_openai", "--disable-plugin", "llm_ollama"]
    ended = loom("models", "list", "--json", *flags)
    assert ended.status == 0
    rows = {row["model"]: row for row in ended.document["models"] if row["model"].startswith("site")}
    assert rows["sitea:small"]["state"] == "not pulled" and rows["sitea:small"]["size_bytes"] == 98_400_000
    assert (rows["sitedown:"]["state"], rows["sitedown:"]["error"]) == ("unreachable", "the server is down (start it)")
    assert rows["sitebug:"]["state"] == "failed" and "KeyError" in rows["sitebug:"]["error"]
    assert rows["sitebroken:"]["state"] == "failed" and "ZeroDivisionError" in rows["sitebroken:"]["error"]
    assert rows["sitelack:"]["state"] == "unavailable" and "pip install" in rows["sitelack:"]["error"]
    human = loom("models", "list", *flags)
    assert "98.4 MB" in human.stdout


def test_a_model_is_tried_with_one_question(models: Site, loom: Loom) -> None:
    document = loom("models", "test", "sitea:small", "--json").document
    assert document["answer"] == "hello"
    assert document["tokens"] == {"input": 3, "output": 2, "estimated": False}
    assert 0 <= document["first_event_s"] <= document["seconds"]
    human = loom("models", "test", "sitea:small")
    assert "3 in, 2 out" in human.stdout and "first token" in human.stdout


def test_the_configured_model_is_tried_when_none_is_named(
    models: Site, loom: Loom, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = loom("models", "test")
    assert ended.status == 2 and "none is configured" in ended.stderr
    monkeypatch.setenv("LOOM_MODEL", "sitea:small")
    assert loom("models", "test").status == 0


@pytest.mark.parametrize(
    ("name", "status", "sentence"),
    [
        ("sitecut:small", 1, "stopped in the middle of its answer"),
        ("small", 2, "write PREFIX:MODEL"),
        ("siteb:small", 2, "no model backend `siteb:`"),
        ("sitelack:x", 2, "pip install 'dist-acme[lack]'"),
        ("sitebroken:x", 3, "plugin `acme`"),
    ],
)
def test_a_model_that_cannot_be_tried_is_one_sentence(
    models: Site, loom: Loom, name: str, status: int, sentence: str
) -> None:
    ended = loom("models", "test", name)
    assert (ended.status, ended.stdout) == (status, "")
    assert sentence in ended.stderr


def test_weights_are_pulled_by_the_backend_of_the_prefix_and_progress_is_for_terminals(
    models: Site, loom: Loom
) -> None:
    ended = loom("models", "pull", "sitea:https://example.org/x.gguf")
    assert ended.status == 0
    assert ended.stdout == "sitea:https_//example.org/x.gguf is here (10 B)\n"
    assert ended.stderr == "hint: try it: loom models test sitea:https_//example.org/x.gguf\n"
    assert loom("models", "pull", "sitea:y", "--json").document["model"]["name"] == "sitea:y"


def test_a_backend_without_weights_says_so(models: Site, loom: Loom) -> None:
    ended = loom("models", "pull", "sitebug:x")
    assert ended.status == 2 and "fetches no weights" in ended.stderr


def test_without_a_prefix_weights_are_for_the_embedded_model(loom: Loom) -> None:
    for source in ("smollm2", "https://example.org/x.gguf", "/no/such/file.gguf"):
        ended = loom("models", "pull", source, "--disable-plugin", "llm_local")
        assert ended.status == 2
        assert "no model backend `local:`" in ended.stderr and "`llm_local` is disabled" in ended.stderr
