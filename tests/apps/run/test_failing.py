"""Models that fail, calls in doubt, conversations that another process drives: nothing lost, nothing asked twice."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apps.run.support import PROGRAM, Chat, calls, environment
from tests.core.plugins.distributions import site

DOWN = {"category": "transient", "message": "the model is down"}
CHARGE = """
@hookimpl
def loom_tools():
    yield ToolEntry(name="charge", summary="charge a card", factory=make)

def make(context):
    from loom_core import tool

    @tool
    def charge(amount: int) -> str:
        "Charge a card."
        with open("charged", "a") as file:
            file.write("x")
        raise TimeoutError("no answer")

    return charge
"""

FLAKY = """
@hookimpl
def loom_models():
    yield ModelEntry(name="flaky", prefix="flaky", summary="fails twice", factory=lambda context: Flaky())

class Flaky:
    asked = 0

    async def stream(self, request):
        from loom_core.contracts.models import Finish, TextDelta
        from loom_core.errors import ErrorCategory, ModelFailed
        self.asked += 1
        if self.asked < 3:
            yield TextDelta("half an ans")
            raise ModelFailed("the model is down", error_category=ErrorCategory.TRANSIENT)
        yield TextDelta("Here.")
        yield Finish("stop")

    async def capabilities(self, model):
        from loom_core.contracts.models import ModelCapabilities
        return ModelCapabilities()

    async def models(self):
        return ()

    async def aclose(self):
        pass
"""


@pytest.fixture
def flaky(chat: Chat, tmp_path: Path) -> Iterator[Chat]:
    with site(tmp_path / "site") as made:
        made.add("flaky", FLAKY)
        yield chat


@pytest.fixture
def charging(chat: Chat, tmp_path: Path) -> Iterator[Chat]:
    with site(tmp_path / "site") as made:
        made.add("charging", CHARGE)
        yield chat


def test_a_model_that_fails_for_a_while_is_asked_again_and_only_its_answer_is_printed(flaky: Chat) -> None:
    done = flaky.say("hello", "--model", "flaky:one")
    assert (done.status, done.out) == (0, "Here.\n")
    assert [status for _, _, status in calls(flaky.place / "runs.sqlite")] == ["unknown", "unknown", "done"]


def test_a_model_that_fails_for_good_is_one_sentence_and_the_turn_can_be_tried_again(chat: Chat) -> None:
    chat.script({"text": "half an ans", "error": DOWN})
    done = chat.say("hello")
    assert (done.status, done.out) == (1, "")
    assert done.err == (
        "error: run `q` failed: ModelFailed: the model is down\n"
        "hint: when the cause is gone: loom-run resume --retry-failed --run-id q --db runs.sqlite\n"
    )
    assert chat("resume", "--run-id", "q").status == 1
    chat.script({"text": "Here I am."})
    again = chat("resume", "--run-id", "q", "--retry-failed")
    assert (again.status, again.out) == (0, "Here I am.\n")
    assert [m["content"] for m in chat.messages()] == ["hello", "Here I am."]


def test_a_failed_turn_in_json_is_one_document_with_its_error(chat: Chat) -> None:
    chat.script({"error": {"category": "permission", "message": "no credit"}})
    done = chat.say("hello", "--json")
    assert (done.status, done.err) == (1, "")
    assert (done.data["status"], done.data["answer"], done.data["exit_status"]) == ("failed", None, 1)
    assert (done.data["error"]["message"], done.data["error"]["category"]) == ("no credit", "permission")
    assert done.data["next"] == "loom-run resume --retry-failed --run-id q --db runs.sqlite"


def test_a_message_to_a_failed_conversation_tries_the_failed_turn_first(chat: Chat) -> None:
    chat.script({"error": DOWN})
    chat.say("one")
    chat.script({"when": {"contains": "one"}, "text": "1"}, {"text": "2"})
    assert chat.say("two").status == 0
    assert [m["content"] for m in chat.messages()] == ["one", "1", "two", "2"]


@pytest.mark.parametrize("ending", [{"cut": True}, {"finish": "length"}, {"finish": "content_filter"}])
def test_an_answer_that_ended_badly_never_passes_for_a_whole_one(chat: Chat, ending: dict[str, object]) -> None:
    chat.script({"text": "", **ending})
    done = chat.say("hello")
    if "cut" in ending:
        assert done.status == 1
    else:
        assert "[no answer: " in done.out


def test_a_call_in_doubt_stops_the_conversation_and_takes_no_message(charging: Chat) -> None:
    done = charging.say('call charge {"amount": 5}', "--allow", "charge")
    assert done.status == 4
    assert "waits for a person (doubt:0/1)\nnext: loom-run explain --run-id q --db runs.sqlite" in done.err
    before = charging.snapshot()
    again = charging.say("and?")
    assert again.status == 4
    assert "warning: the message was not sent" in again.err
    as_json = charging.say("and?", "--json")
    assert (as_json.status, as_json.data["message_sent"], as_json.data["exit_status"]) == (4, False, 4)
    assert charging.snapshot() == before
    assert (charging.place / "charged").read_text() == "x"


def test_a_decided_call_lets_the_conversation_go_on_without_making_it_again(charging: Chat) -> None:
    from loom_runner.main import main

    charging.say('call charge {"amount": 5}', "--allow", "charge")
    assert main(["resolve", "0/1", "--run-id", "q", "--result", '"paid"']) == 0
    done = charging("resume", "--run-id", "q")
    assert (done.status, done.out) == (0, "charge returned: paid\n")
    assert (charging.place / "charged").read_text() == "x"


def test_a_conversation_that_another_process_drives_takes_no_message(chat: Chat) -> None:
    chat.script(
        {"when": {"last_role": "user"}, "tool_calls": [{"name": "list_files", "arguments": {}}]},
        {"text": "late", "delay_s": 600},
    )
    script = str(chat.place.parent / "script.json")
    driving = subprocess.Popen(
        (*PROGRAM, "chat", "go", "--run-id", "q", "--mock-llm"),
        cwd=chat.place,
        env=environment(chat.place, LOOM_PLUGINS__LLM_MOCK__SCRIPT=script),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert driving.stderr is not None
        assert "list_files" in driving.stderr.readline()
        busy = chat.say("are you there?")
        assert busy.status == 1
        assert busy.out == ""
        assert busy.err.count("error: ") == 1
        assert "the message was not sent" in busy.err
        assert busy.err.count("what it does: loom-run explain --run-id q --db runs.sqlite") == 1
        resumed = chat("resume", "--run-id", "q")
        assert (resumed.status, resumed.err.count("what it does: ")) == (1, 1)
        assert chat("list", "--json").data["conversations"][0]["standing"] == "running"
    finally:
        driving.kill()
        driving.wait()
        driving.stderr.close()
    assert chat("list", "--json").data["conversations"][0]["standing"] == "orphaned: resume it"
    chat.script({"text": "here"})
    assert chat.say("and now?").status == 0
    said = [m["content"] for m in chat.messages() if m["role"] == "user"]
    assert said == ["go", "and now?"]
    assert [status for kind, _, status in calls(chat.place / "runs.sqlite") if kind == "tool"] == ["done"]


def test_a_result_that_a_plugins_tool_could_not_return_decides_nothing(charging: Chat) -> None:
    from loom_runner.main import main

    charging.say('call charge {"amount": 5}', "--allow", "charge")
    charging.capture.readouterr()
    assert main(["resolve", "0/1", "--run-id", "q", "--result", "5"]) == 2
    assert "nothing that tool `charge` could return" in charging.capture.readouterr().err
    assert charging("explain", "--run-id", "q", "--json").data["in_doubt"][0]["call_id"] == "0/1"


def test_an_explanation_of_a_conversation_shows_what_was_said(chat: Chat) -> None:
    chat.say("first words")
    chat.say("second words")
    told = chat("explain", "--run-id", "q").out
    assert 'you: "first words"' in told
    assert 'you: "second words"' in told
    assert "signal" not in told.partition("What resuming")[0]
