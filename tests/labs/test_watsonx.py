"""IBM watsonx.ai, up to the edge: what its library is called with, and what becomes of what it says.

The library stands in for itself here: it would sign in at IBM's before anything else.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from code_labs.generation.answer import SCHEMA
from code_labs.generation.budget import Budget, Ledger
from code_labs.generation.model import BusyError, Form, Message, ModelError, Options, RefusedError
from code_labs.generation.watsonxmodel import WatsonxModel

pytestmark = pytest.mark.anyio

KEY = "watsonx-SECRET-key"
MESSAGES = [Message("system", "be brief"), Message("user", "hello")]


class HttpError(Exception):
    """As the library's: it holds the answer."""

    def __init__(self, status: int, text: str = "", **headers: str) -> None:
        super().__init__(f"request with {KEY} failed")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.response = SimpleNamespace(status_code=status, text=text, headers=named)


@dataclass
class Library:
    """What the library was called with. ``says``: what it answers, or raises."""

    says: Any = None
    seconds: float = 0.0
    opened: list[dict[str, Any]] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    closed: int = 0

    def module(self) -> ModuleType:
        library = self

        class Inference:
            def __init__(self, **more: Any) -> None:
                library.opened.append(more)

            async def achat(self, **more: Any) -> Any:
                library.asked.append(more)
                await asyncio.sleep(library.seconds)
                if isinstance(library.says, Exception):
                    raise library.says
                return library.says

            async def aclose_persistent_connection(self) -> None:
                library.closed += 1

        made: Any = ModuleType("ibm_watsonx_ai")
        made.Credentials = lambda **more: more
        made.APIClient = lambda credentials, **more: {**credentials, **more}
        made.foundation_models = ModuleType("ibm_watsonx_ai.foundation_models")
        made.foundation_models.ModelInference = Inference
        result: ModuleType = made
        return result


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    made = Library()
    module: Any = made.module()
    monkeypatch.setitem(sys.modules, "ibm_watsonx_ai", module)
    monkeypatch.setitem(sys.modules, "ibm_watsonx_ai.foundation_models", module.foundation_models)
    return made


def model(**more: Any) -> WatsonxModel:
    budget = Budget(Ledger(1000))
    url = "https://eu-de.ml.cloud.ibm.com"
    return WatsonxModel("ibm/granite", url=url, key=KEY, project="p-1", budget=budget, options=Options(**more))


def said(text: str, finish: str = "stop") -> dict[str, Any]:
    return {"choices": [{"message": {"content": text}, "finish_reason": finish}], "usage": {"total_tokens": 42}}


async def test_it_signs_in_once_and_asks(library: Library) -> None:
    asked = model(seed=7)
    library.says = said("hello")
    first, second = await asyncio.gather(*(asked.ask(MESSAGES, SCHEMA, 500) for _ in range(2)))
    assert (first.text, first.tokens, first.cut) == (second.text, 42, False)
    (opened,) = library.opened
    assert opened["api_client"] == {"url": "https://eu-de.ml.cloud.ibm.com", "api_key": KEY, "project_id": "p-1"}
    assert (opened["model_id"], opened["max_retries"]) == ("ibm/granite", 0)
    said_to, parameters = library.asked[0]["messages"], library.asked[0]["params"]
    assert said_to == [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}]
    assert (parameters["max_tokens"], parameters["temperature"], parameters["seed"]) == (500, 0.2, 7)
    assert parameters["response_format"]["type"] == "json_schema"
    asked.form = Form.TEXT
    library.says = said("cut", "length")
    assert (await asked.ask(MESSAGES, SCHEMA, 500)).cut
    assert "response_format" not in library.asked[-1]["params"]
    await asked.close()
    assert library.closed == 1


@pytest.mark.parametrize(
    ("says", "kind", "words"),
    [
        (HttpError(429, "wait", retry_after="3"), BusyError, r"has too much to do \(429\): wait"),
        (HttpError(503), BusyError, "503"),
        (HttpError(400, f"no schema, {KEY}"), RefusedError, r"refuses the request \(400\): no schema, …"),
        (HttpError(401, KEY), ModelError, "refuses the key"),
        (HttpError(404, "no model"), ModelError, "no such model"),
        (RuntimeError(KEY), ModelError, "RuntimeError"),
        ({"errors": []}, ModelError, "in another way"),
    ],
)
async def test_what_goes_wrong_is_said_without_the_key(
    library: Library, says: Any, kind: type[Exception], words: str
) -> None:
    library.says = says
    with pytest.raises(kind, match=words) as raised:
        await model().ask(MESSAGES, SCHEMA, 500)
    assert KEY not in str(raised.value)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
    if isinstance(raised.value, BusyError):
        assert raised.value.retry_after == (3.0 if "429" in str(raised.value) else None)


async def test_it_waits_no_longer_than_it_may(library: Library) -> None:
    library.seconds = 5
    with pytest.raises(ModelError, match=r"within 0\.01 seconds"):
        await model(timeout=0.01).ask(MESSAGES, SCHEMA, 500)


async def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ibm_watsonx_ai", None)
    with pytest.raises(ModelError, match=r"pip install 'code-executor\[watsonx\]'"):
        await model().ask(MESSAGES, SCHEMA, 500)
