"""Models of IBM watsonx.ai, by its own library. Needs the extra `watsonx`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from code_labs.generation.budget import Budget
from code_labs.generation.model import Form, Message, ModelError, Options, Reply, error_of, response_format


class WatsonxModel:
    """One model in one project."""

    def __init__(self, name: str, *, url: str, key: str, project: str, budget: Budget, options: Options) -> None:
        if not key or not project:
            raise ModelError(
                "watsonx.ai needs a key and a project: set CODE_LABS_MODEL_KEY and CODE_LABS_MODEL_PROJECT"
            )
        self.name = name
        self.form = Form.SCHEMA
        self.budget = budget
        self._url, self._key, self._project = url, key, project
        self._options = options
        self._opening = asyncio.Lock()
        self._inference: Any = None

    async def ask(self, messages: Sequence[Message], schema: Mapping[str, Any], most: int) -> Reply:
        """Send one request; raise ``ModelError``."""
        said = [{"role": each.role, "content": each.content} for each in messages]
        asked = {
            "max_tokens": most,
            "temperature": self._options.temperature,
            "seed": self._options.seed,
            "response_format": response_format(self.form, schema),
        }
        parameters = {name: value for name, value in asked.items() if value is not None}
        try:
            async with asyncio.timeout(self._options.timeout):
                inference = await self._opened()
                came = await inference.achat(messages=said, params=parameters)
        except TimeoutError:
            raise ModelError(f"the model did not answer within {self._options.timeout:g} seconds") from None
        except ModelError:
            raise
        except Exception as error:  # noqa: BLE001  # the library raises many kinds, and some hold the whole request
            raise self._error(error) from None
        return _reply(came)

    async def _opened(self) -> Any:
        """Sign in with the first request: the library asks for a token, and waits for it."""
        async with self._opening:
            if self._inference is None:
                self._inference = await asyncio.to_thread(self._open)
            return self._inference

    def _open(self) -> Any:
        try:
            from ibm_watsonx_ai import APIClient, Credentials  # noqa: PLC0415  # an extra, and slow to import
            from ibm_watsonx_ai.foundation_models import ModelInference  # noqa: PLC0415
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("ibm_watsonx_ai"):
                raise
            raise ModelError("watsonx.ai needs the extra watsonx: pip install 'code-executor[watsonx]'") from None
        client = APIClient(Credentials(url=self._url, api_key=self._key), project_id=self._project)
        return ModelInference(model_id=self.name, api_client=client, validate=False, max_retries=0)

    def _error(self, error: Exception) -> ModelError:
        response = getattr(error, "response", None)
        status = getattr(response, "status_code", None)
        if not isinstance(status, int):
            return ModelError(
                f"watsonx.ai cannot be asked ({type(error).__name__}): check the address, key and project"
            )
        return error_of(status, getattr(response, "headers", {}), str(getattr(response, "text", "")), self._key)

    async def close(self) -> None:
        """Close the connections."""
        if self._inference is not None:
            await self._inference.aclose_persistent_connection()


def _reply(came: Any) -> Reply:
    try:
        choice = came["choices"][0]
        text = choice["message"].get("content") or ""
        tokens = int((came.get("usage") or {}).get("total_tokens", 0))
    except (AttributeError, KeyError, IndexError, TypeError, ValueError):
        raise ModelError("watsonx.ai answers in another way than it says") from None
    return Reply(str(text), max(0, tokens), choice.get("finish_reason") == "length")
