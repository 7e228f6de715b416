"""A process that ends while the engine computes ends soon, with the status that it would have had without it."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.engines.scripted_gguf import build

PREPARE = """
import asyncio, os, sys, signal
from contextlib import aclosing
from pathlib import Path
from loom_core.contracts.models import Message, ModelRequest
from loom_llm_local.backend import LocalBackend
from loom_llm_local.config import LocalConfig

backend = LocalBackend(LocalConfig(n_threads=1, n_ctx=100_000), cache_dir=Path(sys.argv[2]))
text = sys.argv[3] if len(sys.argv) > 3 else "hello"
request = ModelRequest(model=sys.argv[1], messages=(Message(role="user", content=text),))

def started():
    print("started", flush=True)
"""

ENDINGS = {
    "return": """
        async def main():
            stream = backend.stream(request)
            await anext(stream)
            started()
        asyncio.run(main())
    """,
    "exception": """
        async def main():
            stream = backend.stream(request)
            await anext(stream)
            started()
            raise SystemExit(7)
        asyncio.run(main())
    """,
    "closed": """
        async def main():
            async with aclosing(backend.stream(request)) as stream:
                await anext(stream)
                started()
            await backend.aclose()
        asyncio.run(main())
    """,
    "idle": """
        async def main():
            async for _ in backend.stream(ModelRequest(model=sys.argv[1], messages=request.messages, max_tokens=2)):
                pass
            started()
        asyncio.run(main())
    """,
    "loading": """
        async def main():
            task = asyncio.create_task(anext(backend.stream(request)))
            await asyncio.sleep(0)
            started()
            raise SystemExit(0)
        asyncio.run(main())
    """,
}
FOREVER = """
    async def main():
        async for _ in backend.stream(request):
            started()
    asyncio.run(main())
"""


def start(code: str, *arguments: object) -> "subprocess.Popen[str]":
    program = PREPARE + textwrap.dedent(code)
    command = [sys.executable, "-X", "faulthandler", "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_process_ends_by_itself_with_its_own_status(ending: str, rambling: Path, tmp_path: Path) -> None:
    with start(ENDINGS[ending], rambling, tmp_path) as child:
        out, err = child.communicate(timeout=30)
    assert out == "started\n"
    assert err == ""
    assert child.returncode == (7 if ending == "exception" else 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_of_an_answer_ends_the_process(
    number: signal.Signals, rambling: Path, tmp_path: Path
) -> None:
    with start(FOREVER, rambling, tmp_path) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "started\n"
        child.send_signal(number)
        _, err = child.communicate(timeout=30)
    assert child.returncode == -number
    assert "Fatal" not in err
    if number == signal.SIGINT:
        assert err.rstrip().endswith("KeyboardInterrupt")
    else:
        assert err == ""


def test_ctrl_c_while_a_long_prompt_is_read_ends_the_process(tmp_path: Path) -> None:
    code = """
        async def main():
            warm = ModelRequest(model=sys.argv[1], messages=(Message(role="user", content="hello"),), max_tokens=1)
            async for _ in backend.stream(warm):
                pass
            task = asyncio.create_task(anext(backend.stream(request)))
            await asyncio.sleep(0)
            started()
            await task
            print("read", flush=True)
        asyncio.run(main())
    """
    patient = build(tmp_path / "patient.gguf", context=100_000)
    with start(code, patient, tmp_path, "long " * 15_000) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "started\n"
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=30)
    assert out == "", "the prompt was read before the signal came"
    assert child.returncode == -signal.SIGINT
    assert err.rstrip().endswith("KeyboardInterrupt")


def test_the_engine_is_silent_unless_it_is_asked_to_talk(scripted: Path, tmp_path: Path) -> None:
    code = """
        async def main(verbose):
            loud = LocalBackend(LocalConfig(n_threads=1, verbose=verbose), cache_dir=Path(sys.argv[2]))
            async for _ in loud.stream(request):
                pass
            await loud.aclose()
        asyncio.run(main(verbose=VERBOSE))
    """
    errors = []
    for verbose in ("False", "True"):
        with start(code.replace("VERBOSE", verbose), scripted, tmp_path) as child:
            out, err = child.communicate(timeout=30)
        assert out == ""
        errors.append(err)
    assert errors[0] == ""
    assert "model" in errors[1]
