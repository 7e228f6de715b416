"""The embedded model answers in process, one at a time, and can be stopped."""

import asyncio
import json
import os
import socket
from contextlib import aclosing
from pathlib import Path

import pytest
from loom_llm_local.backend import LocalBackend

from loom_core.contracts.models import Finish, Message, ToolCall, ToolCallEvent, Usage
from loom_core.errors import ErrorCategory, ModelFailed, ModelNotFound
from tests.plugins.llm_local.support import READ_FILE, asked, collect, run, text_of


def test_a_plain_question_is_answered_with_text_usage_and_a_finish(scripted: Path, tmp_path: Path) -> None:
    events = run(tmp_path, lambda backend: collect(backend, asked(scripted)))
    assert text_of(events) == "Hi!"
    assert isinstance(events[-2], Usage)
    assert events[-2].output_tokens > 0
    assert not events[-2].estimated
    assert events[-1] == Finish("stop")


def test_a_tool_call_comes_whole(scripted: Path, tmp_path: Path) -> None:
    events = run(tmp_path, lambda backend: collect(backend, asked(scripted, tools=(READ_FILE,))))
    calls = [event.call for event in events if isinstance(event, ToolCallEvent)]
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [("read_file", {"path": "a"})]
    assert events[-1] == Finish("tool_calls")


def test_the_result_of_a_tool_is_answered(scripted: Path, tmp_path: Path) -> None:
    conversation = (
        Message(role="user", content="read it"),
        Message(role="assistant", tool_calls=(ToolCall(id="1", name="read_file", arguments='{"path": "a"}'),)),
        Message(role="tool", tool_call_id="1", name="read_file", content="milk"),
    )
    request = asked(scripted, tools=(READ_FILE,))
    request = type(request)(model=request.model, tools=request.tools, messages=conversation)
    assert text_of(run(tmp_path, lambda backend: collect(backend, request))) == "Hi!"


def test_a_broken_tool_call_in_the_history_does_not_end_the_conversation(scripted: Path, tmp_path: Path) -> None:
    conversation = (
        Message(role="user", content="read it"),
        Message(role="assistant", tool_calls=(ToolCall(id="1", name="read_file", arguments='{"path": '),)),
        Message(role="tool", tool_call_id="1", name="read_file", content="the arguments are no JSON"),
    )
    request = type(asked(scripted))(model=str(scripted), tools=(READ_FILE,), messages=conversation)
    assert text_of(run(tmp_path, lambda backend: collect(backend, request))) == "Hi!"


def test_a_schema_binds_the_answer(scripted: Path, tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 9}}, "required": ["n"]}
    events = run(tmp_path, lambda backend: collect(backend, asked(scripted, schema=schema, max_tokens=200)))
    assert isinstance(json.loads(text_of(events))["n"], int)


def test_nothing_listens_on_tcp_and_no_socket_is_left_in_a_folder(scripted: Path, tmp_path: Path) -> None:
    before = listeners()
    seen: list[set[str]] = []

    async def use(backend: LocalBackend) -> None:
        async with aclosing(backend.stream(asked(scripted))) as stream:
            await anext(stream)
            seen.append(listeners() - before)
        await collect(backend, asked(scripted))
        seen.append(listeners() - before)

    run(tmp_path, use)
    assert seen == [set(), set()]


def listeners() -> set[str]:
    """Return the sockets of this process that listen on TCP, and the files of those that listen on Unix sockets."""
    mine = {os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_link(fd)}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in mine:
                found.add(f"{table} {fields[1]}")
    for line in Path("/proc/self/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        if len(fields) > 7 and f"socket:[{fields[6]}]" in mine and os.path.exists(fields[7]):
            found.add(fields[7])
    return found


def _is_link(fd: str) -> bool:
    return os.path.islink(f"/proc/self/fd/{fd}")


def test_the_probe_for_listeners_sees_one(tmp_path: Path) -> None:
    before = listeners()
    with socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "x.sock"))
        unix.listen()
        assert len(listeners() - before) == 2


def test_closing_early_stops_the_generation(rambling: Path, tmp_path: Path) -> None:
    async def use(backend: LocalBackend) -> object:
        async with aclosing(backend.stream(asked(rambling))) as stream:
            await anext(stream)
        return (await collect(backend, asked(rambling, max_tokens=3)))[-1]

    assert run(tmp_path, use, n_ctx=100_000) == Finish("length")


def test_the_loop_goes_on_while_the_model_loads_and_answers(rambling: Path, tmp_path: Path) -> None:
    async def use(backend: LocalBackend) -> int:
        ticks = 0
        task = asyncio.create_task(collect(backend, asked(rambling, max_tokens=300)))
        while not task.done():
            await asyncio.sleep(0)
            ticks += 1
        return ticks

    assert run(tmp_path, use) > 100


def test_two_requests_at_once_are_both_answered(scripted: Path, tmp_path: Path) -> None:
    async def use(backend: LocalBackend) -> list[str]:
        answers = await asyncio.gather(*(collect(backend, asked(scripted)) for _ in range(2)))
        return [text_of(events) for events in answers]

    assert run(tmp_path, use) == ["Hi!", "Hi!"]


def test_who_gives_up_waiting_for_the_load_takes_it_from_nobody(scripted: Path, tmp_path: Path) -> None:
    async def use(backend: LocalBackend) -> str:
        impatient = asyncio.create_task(collect(backend, asked(scripted)))
        patient = asyncio.create_task(collect(backend, asked(scripted)))
        await asyncio.sleep(0)
        impatient.cancel()
        return text_of(await patient)

    assert run(tmp_path, use) == "Hi!"


def test_closing_the_backend_cuts_an_open_stream(rambling: Path, tmp_path: Path) -> None:
    async def use(backend: LocalBackend) -> ModelFailed:
        async with aclosing(backend.stream(asked(rambling))) as stream:
            await anext(stream)
            await backend.aclose()
            with pytest.raises(ModelFailed) as caught:
                async for _ in stream:
                    pass
        return caught.value

    assert run(tmp_path, use, n_ctx=100_000).error_category is ErrorCategory.TRANSIENT


def test_a_conversation_longer_than_the_context_names_the_limit(scripted: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFailed) as caught:
        run(tmp_path, lambda backend: collect(backend, asked(scripted, "long " * 200)), n_ctx=512)
    assert caught.value.error_category is ErrorCategory.VALIDATION
    assert "512 tokens" in (caught.value.hint or "")
    assert "n_ctx" in (caught.value.hint or "")


def test_a_limit_on_tokens_ends_in_length(rambling: Path, tmp_path: Path) -> None:
    assert run(tmp_path, lambda backend: collect(backend, asked(rambling, max_tokens=5)))[-1] == Finish("length")


def test_silence_before_the_first_word_is_a_transient_failure(rambling: Path, tmp_path: Path) -> None:
    async def use(backend: LocalBackend) -> ModelFailed:
        await collect(backend, asked(rambling, max_tokens=1))
        with pytest.raises(ModelFailed) as caught:
            await collect(backend, asked(rambling, first_event_timeout_s=0.0))
        return caught.value

    assert run(tmp_path, use).is_retryable


def test_weights_that_are_not_there_say_how_to_fetch_them(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound) as caught:
        run(tmp_path, lambda backend: collect(backend, asked("smollm2")))
    assert caught.value.hint == "fetch them: loom models pull smollm2"


@pytest.mark.parametrize("model", ["nope", "/nope/x.gguf", "../etc/passwd", "", "a\x00b", ".hidden"])
def test_what_is_unknown_is_not_found(model: str, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound) as caught:
        run(tmp_path, lambda backend: collect(backend, asked(model)))
    assert "smollm2" in (caught.value.hint or "")
