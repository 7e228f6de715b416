"""Ollama's wire protocol over a real llama.cpp engine (``xllamacpp``), for want of an Ollama on the package index.

``serve`` is for tests; ``python ollama_facade.py SPEC`` is the child, where SPEC is a JSON object.
The child ends when its standard input is closed, so that it cannot outlive a test process that was killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

NAME = "scripted"
READY_TIMEOUT_S = 60.0
SAMPLING = ("temperature", "seed", "top_p", "top_k", "stop")

Json = dict[str, Any]


@contextlib.contextmanager
def serve(gguf: Path, *, n_ctx: int = 4096) -> Iterator[str]:
    """Serve ``gguf`` as the model ``scripted`` on 127.0.0.1 and yield the base URL.

    The server is ready when this yields, and gone, reaped and its pipes closed when the block is left.
    """
    log = Path(f"{gguf}.facade.log")
    with log.open("wb") as errors:
        child = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).resolve()), json.dumps({"model": str(gguf), "n_ctx": n_ctx})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    try:
        yield _address(child, log)
    finally:
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()


def _address(child: subprocess.Popen[bytes], log: Path) -> str:
    assert child.stdout is not None
    watchdog = threading.Timer(READY_TIMEOUT_S, child.kill)
    watchdog.start()
    line = child.stdout.readline().decode().strip()
    watchdog.cancel()
    watchdog.join()
    if not line:
        raise RuntimeError(f"the engine did not start:\n{log.read_text(errors='replace')[-2000:]}")
    return line


class Engine:
    """The real engine, asked in its own form and answering in pieces."""

    def __init__(self, gguf: str, n_ctx: int) -> None:
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = gguf
        params.n_ctx = n_ctx
        params.n_parallel = 1
        params.cpuparams.n_threads = 1
        params.cpuparams_batch.n_threads = 1
        params.use_jinja = True
        params.ui = False
        params.warmup = False
        params.cache_ram_mib = 0
        params.hostnames = ["127.0.0.1"]
        params.port = 0
        self._server = xllamacpp.Server(params)

    def answer(self, request: Json, hung_up: threading.Event) -> Iterator[Json]:
        """Yield the engine's chunks; setting ``hung_up`` ends the generation."""
        chunks: queue.SimpleQueue[object] = queue.SimpleQueue()

        def receive(chunk: object) -> bool:
            for item in chunk if isinstance(chunk, list) else [chunk]:
                chunks.put(item)
            return hung_up.is_set()

        def work() -> None:
            try:
                self._server.handle_chat_completions(request, receive)
            except Exception as error:
                chunks.put({"error": {"message": str(error), "code": 500}})
            chunks.put(None)

        threading.Thread(target=work, daemon=True).start()
        while (chunk := chunks.get()) is not None:
            yield json.loads(chunk) if isinstance(chunk, str) else chunk  # type: ignore[misc]


class Handler(BaseHTTPRequestHandler):
    """Speaks Ollama's protocol."""

    protocol_version = "HTTP/1.1"
    engine: Engine

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        if self.path == "/api/version":
            return self._whole(200, {"version": "0.0.0-facade"})
        if self.path == "/api/tags":
            details = {"format": "gguf", "family": "llama", "parameter_size": "0.3M", "quantization_level": "F32"}
            return self._whole(200, {"models": [{"name": f"{NAME}:latest", "size": 2_000_000, "details": details}]})
        return self._whole(404, "404 page not found")

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not raw:
            return self._whole(400, {"error": "missing request body"})
        request = json.loads(raw)
        model = request.get("model") or ""
        if not model:
            return self._whole(400, {"error": "model is required"})
        if model.partition(":")[0] != NAME:
            return self._whole(404, {"error": f"model '{model}' not found"})
        if self.path != "/api/chat":
            return self._whole(404, {"error": "not found"})
        if request.get("think"):
            return self._whole(400, {"error": f'"{model}" does not support thinking'})
        return self._chat(model, request)

    def _chat(self, model: str, request: Json) -> None:
        hung_up, started = threading.Event(), False
        calls: dict[int, Json] = {}
        usage: Json = {}
        reason = None
        try:
            for chunk in self.engine.answer(chat_completion(request), hung_up):
                if "error" in chunk or "code" in chunk:
                    return self._fail(chunk.get("error", chunk), started=started)
                usage = chunk.get("usage") or usage
                for choice in chunk.get("choices", []):
                    reason = choice.get("finish_reason") or reason
                    delta = choice.get("delta") or {}
                    _gather(calls, delta.get("tool_calls") or [])
                    if delta.get("content"):
                        started = self._line(_line(model, content=delta["content"]), started=started)
            if calls:
                started = self._line(_line(model, content="", tool_calls=_whole_calls(calls)), started=started)
            last = _line(model, content="") | {
                "done": True,
                "done_reason": "length" if reason == "length" else "stop",
                "prompt_eval_count": usage.get("prompt_tokens", 0),
                "eval_count": usage.get("completion_tokens", 0),
            }
            self._line(last, started=started)
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True
        finally:
            hung_up.set()

    def _fail(self, error: Json, *, started: bool) -> None:
        message = {"error": error.get("message", str(error))}
        if not started:
            return self._whole(error.get("code", 500), message)
        self._line(message, started=started)
        self.wfile.write(b"0\r\n\r\n")
        return None

    def _line(self, line: Json, *, started: bool) -> bool:
        if not started:
            self.send_response(200)
            self.send_header("Content-Type", "application/x-ndjson")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
        data = json.dumps(line).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()
        return True

    def _whole(self, status: int, body: object) -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def chat_completion(request: Json) -> Json:
    """Return the request of ``/api/chat`` as the engine wants it."""
    options = request.get("options") or {}
    made: Json = {
        "messages": [_message(message) for message in request["messages"]],
        "stream": True,
        "stream_options": {"include_usage": True},
        **{name: options[name] for name in SAMPLING if name in options},
    }
    if options.get("num_predict", -1) > 0:
        made["max_tokens"] = options["num_predict"]
    if request.get("tools"):
        made["tools"] = request["tools"]
    if isinstance(request.get("format"), dict):
        made["response_format"] = {"type": "json_schema", "json_schema": {"name": "f", "schema": request["format"]}}
    return made


def _message(message: Json) -> Json:
    made: Json = {"role": message["role"], "content": message.get("content", "")}
    if message.get("tool_calls"):
        made["tool_calls"] = [
            {
                "id": call["id"],
                "type": "function",
                "function": {
                    "name": call["function"]["name"],
                    "arguments": json.dumps(_object(call["function"]["arguments"])),
                },
            }
            for call in message["tool_calls"]
        ]
    if message["role"] == "tool":
        made["tool_call_id"] = message["tool_call_id"]
    return made


def _object(arguments: object) -> object:
    """Return the arguments; Ollama refuses a text where its protocol has an object, and so does this."""
    if not isinstance(arguments, dict):
        raise TypeError(f"arguments must be an object, not {arguments!r}")
    return arguments


def _gather(calls: dict[int, Json], pieces: list[Json]) -> None:
    for piece in pieces:
        call = calls.setdefault(piece.get("index", 0), {"name": "", "arguments": ""})
        function = piece.get("function") or {}
        call["name"] += function.get("name") or ""
        call["arguments"] += function.get("arguments") or ""


def _whole_calls(calls: dict[int, Json]) -> list[Json]:
    return [
        {
            "id": f"call_{uuid.uuid4().hex[:8]}",
            "function": {"index": index, "name": call["name"], "arguments": json.loads(call["arguments"] or "{}")},
        }
        for index, call in sorted(calls.items())
    ]


def _line(model: str, **message: object) -> Json:
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return {"model": model, "created_at": now, "message": {"role": "assistant", **message}, "done": False}


def _serve_until_stdin_closes(spec: Json) -> None:
    Handler.engine = Engine(spec["model"], spec["n_ctx"])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    sys.stdin.buffer.read()
    os._exit(0)  # the engine's own shutdown waits for open connections


if __name__ == "__main__":
    _serve_until_stdin_closes(json.loads(sys.argv[1]))
