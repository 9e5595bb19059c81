"""The settings of models: variables that begin with ``CODE_LABS_MODEL_``. `docs/labs-admin.md` is written from them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from code_executor.app.access import AccessSettings
from code_labs.generation.budget import Budget, Ledger
from code_labs.generation.model import Model, ModelError, Options
from code_labs.generation.openaimodel import OpenAIModel
from code_labs.generation.watsonxmodel import WatsonxModel

PREFIX = "CODE_LABS_MODEL_"
_LEDGER = "model-tokens.json"
_LONGEST_KEY = 8192
_HOMES = {"openai": "https://api.openai.com/v1", "watsonx": "https://us-south.ml.cloud.ibm.com"}


class ModelSettings(BaseSettings):
    """See each field's description."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True)

    name: str = Field("", description="The model, as its service names it. Empty: labs are made without a model.")
    provider: Literal["openai", "watsonx"] = Field(
        "openai",
        description="How the service is spoken to: `openai` for OpenAI and all that speak its protocol (needs the "
        "extra `llm`), `watsonx` for IBM watsonx.ai (needs the extra `watsonx`).",
    )
    url: str = Field(
        "",
        description="The address of the service, such as `http://localhost:11434/v1` for Ollama. Empty: OpenAI's, or "
        "watsonx.ai's in Dallas.",
    )
    key: SecretStr = Field(SecretStr(""), description="The key for the service. Empty: it wants none.")
    key_file: str = Field("", description="A file with the key, instead of the variable.")
    project: str = Field("", description="The id of the project (watsonx alone).")
    temperature: float | None = Field(
        0.2, ge=0, le=2, description="How freely the model chooses words. Models that take none get none."
    )
    seed: int | None = Field(1, description="With the same seed, some services answer the same to the same question.")
    timeout: float = Field(120.0, gt=0, le=900, description="Seconds to wait for one answer.")
    max_tokens: int = Field(6_000, ge=200, description="The most tokens of one answer.")
    tokens_per_job: int = Field(60_000, ge=500, description="The most tokens for one lab: all questions and answers.")
    tokens_per_day: int = Field(1_000_000, ge=500, description="The most tokens on one day (UTC).")
    ledger: str = Field(
        "",
        description="The file in which the tokens of the day are counted, by all processes of this machine. Empty: "
        "`model-tokens.json` in the directory of `CODE_EXECUTOR_DATA`.",
    )

    @field_validator("url")
    @classmethod
    def _plain_address(cls, value: str) -> str:
        scheme, _, rest = value.partition("://")
        if value and (scheme not in ("http", "https") or not rest or "@" in rest.partition("/")[0]):
            raise ValueError("must be as https://api.example.org/v1, without a name or password")
        return value.rstrip("/")

    @classmethod
    def load(cls, **given: Any) -> ModelSettings:
        """Read the variables; raise ``ModelError`` that names the one that is wrong, and never its value."""
        try:
            return cls(**given)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            name = "_".join(map(str, first["loc"])).upper()
            raise ModelError(f"{PREFIX}{name}: {first['msg'].removeprefix('Value error, ')}") from None

    def read_key(self) -> str:
        """Return the key; raise ``ModelError``."""
        key = self.key.get_secret_value().strip()
        if not self.key_file:
            return key
        if key:
            raise ModelError(f"{PREFIX}KEY and {PREFIX}KEY_FILE are both set: keep one")
        try:
            with open(self.key_file, encoding="ascii") as file:
                key = file.read(_LONGEST_KEY).strip()
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not ASCII"
            raise ModelError(f"{PREFIX}KEY_FILE: {self.key_file} cannot be read: {why}") from None
        if not key:
            raise ModelError(f"{PREFIX}KEY_FILE: {self.key_file} is empty")
        return key

    def budget(self) -> Budget:
        path = self.ledger or os.path.join(AccessSettings.model_validate({}).data_directory(), _LEDGER)
        return Budget(Ledger(self.tokens_per_day, path), self.max_tokens, self.tokens_per_job)


@contextlib.asynccontextmanager
async def open_model(settings: ModelSettings) -> AsyncIterator[Model]:
    """Open the model that the settings name, for any number of labs; raise ``ModelError``."""
    if not settings.name:
        raise ModelError(f"no model is set: {PREFIX}NAME says which one")
    url = settings.url or _HOMES[settings.provider]
    options = Options(settings.temperature, settings.seed, settings.timeout)
    key = settings.read_key()
    model: OpenAIModel | WatsonxModel
    if settings.provider == "watsonx":
        model = WatsonxModel(
            settings.name, url=url, key=key, project=settings.project, budget=settings.budget(), options=options
        )
    else:
        model = OpenAIModel(settings.name, url=url, key=key, budget=settings.budget(), options=options)
    try:
        yield model
    finally:
        await model.close()
