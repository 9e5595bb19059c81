"""A service that speaks OpenAI's protocol on loopback. What each of its models answers is written down before."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


@dataclass(frozen=True)
class Play:
    """One answer. ``text``: what the model says. ``status`` other than 200: an error with this ``message``."""

    text: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    message: str = ""
    param: str | None = None
    finish: str = "stop"
    tokens: int | None = 900
    seconds: float = 0.0


@dataclass(frozen=True)
class Asked:
    """One request: its JSON, and its headers."""

    said: dict[str, Any]
    headers: dict[str, str]

    @property
    def form(self) -> str:
        return str((self.said.get("response_format") or {}).get("type", "text"))

    @property
    def messages(self) -> list[str]:
        return [each["content"] for each in self.said["messages"]]


class Stub:
    """``url``: where it is. A model's last answer is repeated."""

    def __init__(self) -> None:
        self.url = ""
        self.key = ""
        """The only one that it takes."""

        self._plays: dict[str, list[Play]] = {}
        self._asked: dict[str, list[Asked]] = {}

    def play(self, model: str, *plays: Play) -> None:
        self._plays[model] = list(plays)
        self._asked[model] = []

    def asked(self, model: str) -> list[Asked]:
        return self._asked[model]

    async def answer(self, request: Request) -> Response:
        said = json.loads(await request.body())
        asked = self._asked[said["model"]]
        asked.append(Asked(said, dict(request.headers)))
        if request.headers["authorization"] != f"Bearer {self.key}":
            told = f"Incorrect API key provided: {request.headers['authorization']}"
            return JSONResponse({"error": {"message": told, "code": "invalid_api_key"}}, 401)
        plays = self._plays[said["model"]]
        play = plays[min(len(asked), len(plays)) - 1]
        await asyncio.sleep(play.seconds)
        if play.status != 200:
            error = {"message": play.message, "param": play.param, "type": "x", "code": None}
            return JSONResponse({"error": error}, play.status, play.headers)
        message = {"role": "assistant", "content": play.text}
        choice = {"index": 0, "message": message, "finish_reason": play.finish}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": play.tokens} if play.tokens else None
        made = {"id": "x", "object": "chat.completion", "created": 1, "model": said["model"], "choices": [choice]}
        return JSONResponse(made | {"usage": usage})


@contextmanager
def served(stub: Stub) -> Iterator[Stub]:
    """Serve it in a thread, with a loop of its own."""
    app = Starlette(routes=[Route("/v1/chat/completions", stub.answer, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        stub.url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield stub
        finally:
            server.should_exit = True
            thread.join()
