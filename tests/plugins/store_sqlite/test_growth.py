"""What is stored grows with what is new, not with what is there."""

import asyncio
import os
import random
from pathlib import Path
from typing import Any

import apsw

from loom_core.contracts.stores import CallEnd, Settlement
from loom_core.testing.store_values import LEASE_S, OWNER, admit, encode, intent, new_run
from tests.plugins.store_sqlite.support import opened

WORDS = Path(__file__).read_text().split()


def _message(chance: random.Random, role: str) -> dict[str, str]:
    text = " ".join(chance.choices(WORDS, k=80))
    return {"role": role, "content": f"{chance.random()} {text}"[:500]}


def _text(message: dict[str, str]) -> str:
    return encode(message).text


def test_a_chat_of_200_messages_of_500_bytes_takes_at_most_400_kb(tmp_path: Path) -> None:
    async def main() -> None:
        chance = random.Random(1)
        messages: list[dict[str, str]] = []
        store = opened(tmp_path / "r")
        writer = (await store.create_run(new_run(value={"messages": messages}), OWNER, LEASE_S)).writer
        for turn in range(100):
            said = _message(chance, "user")
            messages = [*messages, said]
            sent = tuple(_text(m) for m in messages)
            if turn:
                await store.send_signal("run", "message", _text(said))
                writer = (await store.claim("run", OWNER, LEASE_S, admit)).writer
            await writer.begin_call(intent(turn, kind="model", arguments='{"model":"mock"}', messages=sent))
            answer = _message(chance, "assistant")
            result = encode({"finish": "stop", "text": answer["content"], "usage": {"input": 1}}).text
            end = CallEnd(step_index=turn, key="0", try_index=0, status="done", result=result)
            await writer.end_call(end)
            messages = [*messages, answer]
            waiting: dict[str, Any] = {"status": "waiting", "outcome": "wait", "wake_signal": "message"}
            await writer.settle(Settlement(step_index=turn, state=encode({"messages": messages}), **waiting))
        assert await store.get_state("run") == encode({"messages": messages}).text
        call = (await store.get_calls("run", newest=True, limit=1))[0]
        assert list(await store.get_messages("run", call)) == [_text(m) for m in messages[:-1]]
        assert list(await store.verify()) == []
        await store.aclose()

    asyncio.run(main())
    assert os.path.getsize(tmp_path / "r") <= 400_000


def test_a_small_change_of_a_large_state_takes_little(tmp_path: Path) -> None:
    empty_sizes: list[int] = []

    async def main() -> None:
        store = opened(tmp_path / "r")
        empty_sizes.append(os.path.getsize(tmp_path / "r"))
        noise = random.Random(2).randbytes(10_000).hex()
        writer = (await store.create_run(new_run(value={"noise": noise, "n": 0}), OWNER, LEASE_S)).writer
        for n in range(640):
            await writer.commit(n, encode({"noise": noise, "n": n + 1}))
        await store.aclose()

    asyncio.run(main())
    # 10 whole states of 20 KB (compressed to half), and 630 differences.
    assert os.path.getsize(tmp_path / "r") - empty_sizes[0] < 10 * 20_000 + 640 * 150


def test_the_same_text_is_stored_once_wherever_it_is_used(tmp_path: Path) -> None:
    async def main() -> None:
        text = _text(_message(random.Random(3), "user"))
        store = opened(tmp_path / "r")
        writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
        await store.send_signal("run", "go", text)
        for n in range(10):
            await writer.begin_call(intent(n, kind="model", arguments=text, messages=(text, text)))
            await writer.end_call(CallEnd(step_index=n, key="0", try_index=0, status="done", result=text))
            await writer.commit(n, encode(n))
        await store.aclose()

    asyncio.run(main())
    connection = apsw.Connection(str(tmp_path / "r"))
    assert connection.execute("SELECT count(*) FROM payloads WHERE length(body) > 250").fetchall() == [(1,)]
    assert connection.execute("SELECT count(*) FROM messages").fetchall() == [(2,)]
    connection.close()


def test_a_step_of_a_counter_takes_less_than_100_bytes(tmp_path: Path) -> None:
    async def main() -> None:
        store = opened(tmp_path / "r")
        writer = (await store.create_run(new_run(value={"count": 0, "total": 0}), OWNER, LEASE_S)).writer
        for n in range(5_000):
            await writer.commit(n, encode({"count": n, "total": n * 3}))
        await store.aclose()

    asyncio.run(main())
    assert os.path.getsize(tmp_path / "r") / 5_000 < 100
