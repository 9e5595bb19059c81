"""Models behind OpenAI's protocol: OpenAI, Azure, Ollama, vLLM, llama.cpp, gateways. Needs the extra `llm`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from code_labs.generation.budget import Budget
from code_labs.generation.model import (
    Form,
    Message,
    ModelError,
    Options,
    RefusedError,
    Reply,
    error_of,
    response_format,
)

_NO_KEY = "none"
"""What is sent without a key: else the library would look for one meant for another service."""


class OpenAIModel:
    """One model at one address."""

    def __init__(self, name: str, *, url: str, key: str, budget: Budget, options: Options) -> None:
        try:
            import openai  # noqa: PLC0415  # an extra, and slow to import
        except ModuleNotFoundError as error:
            if error.name != "openai":
                raise
            raise ModelError("models need the extra llm: pip install 'code-executor[llm]'") from None
        self.name = name
        self.form = Form.SCHEMA
        self.budget = budget
        self._openai = openai
        self._key = key
        self._timeout = options.timeout
        self._client = openai.AsyncOpenAI(api_key=key or _NO_KEY, base_url=url, timeout=options.timeout, max_retries=0)
        self._most = "max_tokens"
        sampling = {"temperature": options.temperature, "seed": options.seed}
        self._sampling: dict[str, Any] = {name: value for name, value in sampling.items() if value is not None}

    async def ask(self, messages: Sequence[Message], schema: Mapping[str, Any], most: int) -> Reply:
        """Send one request; raise ``ModelError``."""
        openai = self._openai
        asked: dict[str, Any] = {
            "model": self.name,
            "messages": [{"role": each.role, "content": each.content} for each in messages],
            self._most: most,
            **self._sampling,
        }
        if form := response_format(self.form, schema):
            asked["response_format"] = form
        try:
            came = await self._client.chat.completions.create(**asked)
        except openai.APIStatusError as error:
            made = error_of(error.status_code, error.response.headers, _words(error), self._key)
            if isinstance(made, RefusedError):
                made.adapted = self._leave_out(str(error.param or ""))
            raise made from None
        except openai.APITimeoutError:
            raise ModelError(f"the model did not answer within {self._timeout:g} seconds") from None
        except openai.APIConnectionError:
            raise ModelError("the model's service cannot be reached: check CODE_LABS_MODEL_URL") from None
        except (openai.OpenAIError, ValueError):
            raise ModelError("the model's service answers in another way than OpenAI's protocol has it") from None
        return _reply(came)

    def _leave_out(self, parameter: str) -> bool:
        """Leave out a parameter that the model does not take, as newer ones refuse some; return whether it was one."""
        if parameter == self._most == "max_tokens":
            self._most = "max_completion_tokens"
            return True
        return self._sampling.pop(parameter, None) is not None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def _words(error: Any) -> str:
    """Return what the service says; the library puts the status before it, or the whole answer."""
    said = error.body.get("message") if isinstance(error.body, dict) else None
    return str(said or error.message).removeprefix(f"Error code: {error.status_code} - ")


def _reply(came: Any) -> Reply:
    try:
        choice = came.choices[0]
        text = choice.message.content or ""
        tokens = int(came.usage.total_tokens) if came.usage else 0
    except (AttributeError, IndexError, TypeError, ValueError):
        raise ModelError("the model's service answers in another way than OpenAI's protocol has it") from None
    return Reply(str(text), max(0, tokens), choice.finish_reason == "length")
