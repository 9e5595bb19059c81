"""What a model is here: it is sent messages and says a text. One request each; who asks decides on what follows."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, Protocol

from code_labs.errors import LabsError
from code_labs.generation.budget import Budget

_LONGEST = 200
"""Characters of what a service says of an error."""


class ModelError(LabsError):
    """A model gives no answer. The message says why, and never has the key in it."""


class BusyError(ModelError):
    """It would help to ask again. ``retry_after``: seconds that the service wants us to wait; None: it does not say."""

    def __init__(self, message: str, retry_after: float | None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RefusedError(ModelError):
    """The service does not take the request as it was (400, 422).

    ``adapted``: the client has left out what was refused, and the same can be asked again.
    """

    def __init__(self, message: str, *, adapted: bool = False) -> None:
        super().__init__(message)
        self.adapted = adapted


class Form(StrEnum):
    """How an answer is asked for. What a service does not support, it refuses; then the next one is tried."""

    SCHEMA = "json_schema"
    OBJECT = "json_object"
    TEXT = "text"


@dataclass(frozen=True)
class Message:
    """What is said, and by whom."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Reply:
    """``tokens``: of the question and the answer; 0: the service does not say. ``cut``: the answer was too long."""

    text: str
    tokens: int = 0
    cut: bool = False


class Model(Protocol):
    """A model that can be asked. ``form``: the form to ask for; it is lowered where it is refused, and stays so."""

    name: str
    form: Form
    budget: Budget

    async def ask(self, messages: Sequence[Message], schema: Mapping[str, Any], most: int) -> Reply:
        """Send one request for at most so many tokens; raise ``ModelError``."""


@dataclass(frozen=True)
class Options:
    """How a model is asked. What is None is not sent. ``timeout``: seconds for an answer."""

    temperature: float | None = 0.2
    seed: int | None = 1
    timeout: float = 120.0


def response_format(form: Form, schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what OpenAI's protocol calls so."""
    if form is Form.SCHEMA:
        return {"type": "json_schema", "json_schema": {"name": "lab", "strict": True, "schema": dict(schema)}}
    return {"type": "json_object"} if form is Form.OBJECT else None


def error_of(status: int, headers: Mapping[str, str], said: str, key: str) -> ModelError:
    """Return what an answer with an HTTP status means. ``said``: the service's words; the key is taken out of them."""
    if status in (401, 403):
        return ModelError(f"the model's service refuses the key ({status}): check CODE_LABS_MODEL_KEY")
    words = " ".join((said.replace(key, "…") if key else said).split())[:_LONGEST]
    more = f": {words}" if words else ""
    if status in (400, 422):
        return RefusedError(f"the model's service refuses the request ({status}){more}")
    if status == 429 or status >= 500:
        what = "has too much to do" if status == 429 else "failed"
        return BusyError(f"the model's service {what} ({status}){more}", _seconds(headers.get("retry-after", "")))
    if status == 404:
        return ModelError(f"there is no such model, or no service at CODE_LABS_MODEL_URL (404){more}")
    return ModelError(f"the model's service answers with status {status}{more}")


def _seconds(text: str) -> float | None:
    """Read ``Retry-After``: seconds, or a date."""
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
