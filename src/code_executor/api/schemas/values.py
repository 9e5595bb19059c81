"""What fields of requests hold: paths, arguments, bytes, files."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from code_executor.core import paths, world

MAX_ARGS = 64
MAX_ARG = 4096
MAX_FILES = 64
MAX_STDINS = 32


def camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


def _path(path: str) -> str:
    paths.normal(path)  # raises, where it is none
    return path


_NAME = r"(?!\.\.?(?:/|$))(?:[\x01-\x2e\x30-\x7f]{1,255}|[^/\x00]{1,63})"
_PATH = rf"^(?:\./+)*{_NAME}(?:/+(?:\./+)*{_NAME})*$"
"""What `paths.normal` takes, as a regular expression for the description; that has no words for bytes of UTF-8."""

Path = Annotated[
    str,
    AfterValidator(_path),
    Field(json_schema_extra={"pattern": _PATH, "minLength": 1, "maxLength": paths.MAX_PATH}),
]


def _name(name: str) -> str:
    world.require_name(name)
    return name


Name = Annotated[
    str,
    AfterValidator(_name),
    Field(
        json_schema_extra={
            "pattern": r"^(?!\.\.?$)(?:[\x20-\x2e\x30-\x7e]{1,255}|[^/\x00-\x1f\x7f-\x9f\u2028\u2029]{1,63})$",
            "minLength": 1,
            "maxLength": paths.MAX_NAME_BYTES,
        }
    ),
]
"""Of a file, without a directory; as for `Path`, the description has no words for bytes of UTF-8."""


def _argument(text: str) -> str:
    if "\0" in text:
        raise ValueError("contains a null character, which no argument of a program can have")
    return text


Argument = Annotated[
    str,
    StringConstraints(max_length=MAX_ARG),
    AfterValidator(_argument),
    Field(json_schema_extra={"pattern": r"^[^\x00]*$"}),
]


def _whole(value: object) -> object:
    """Return a number without a fraction as an integer, as JSON has it; anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
"""Lets an integer be spelled with a fraction of 0."""


def _decoded(text: object) -> object:
    """Return the bytes of a text in base64; anything else as it is."""
    if not isinstance(text, str):
        return text
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(
            'not base64: letters, digits, "+" and "/", filled up with "=" to groups of four; white space may be between'
        ) from None


_BASE64_SYMBOL = r"[A-Za-z0-9+/]\s*"
_BASE64 = rf"^\s*(?:(?:{_BASE64_SYMBOL}){{4}})*(?:(?:{_BASE64_SYMBOL}){{2}}=\s*=\s*|(?:{_BASE64_SYMBOL}){{3}}=\s*)?$"
Base64 = Annotated[bytes, BeforeValidator(_decoded), WithJsonSchema({"type": "string", "pattern": _BASE64})]

_LANGUAGES = ("python", "python3", "py", "py3")


def _language(name: str) -> str:
    if name.lower() not in _LANGUAGES:
        raise ValueError('only Python can be run here: it must be "python", or be left out')
    return name


Language = Annotated[
    str, AfterValidator(_language), Field(json_schema_extra={"pattern": "^[Pp][Yy](?:[Tt][Hh][Oo][Nn])?3?$"})
]
"""Also as Piston, Dify and others call it."""


def exactly_one(*names: str) -> dict[str, Any]:
    return {"oneOf": [{"required": [name], "properties": {name: {"type": "string"}}} for name in names]}


class FileIn(BaseModel):
    """A file for the working directory: its content as text, or anything in base64."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        alias_generator=camel,
        json_schema_extra=exactly_one("content", "contentBase64"),
    )

    path: Path = Field(description="Relative to the working directory; directories are made.")
    content: str | None = None
    content_base64: Base64 | None = None

    @model_validator(mode="after")
    def _one_content(self) -> Self:
        if (self.content is None) == (self.content_base64 is None):
            raise ValueError("exactly one of content and contentBase64 is needed")
        return self

    def data(self) -> bytes:
        """Return its bytes."""
        if self.content is not None:
            return self.content.encode("utf-8", "replace")
        return self.content_base64 or b""


Files = Annotated[list[FileIn], Field(max_length=MAX_FILES)]

EnvironmentName = Annotated[str, StringConstraints(min_length=1, max_length=64)]
PolicyName = Annotated[str, StringConstraints(min_length=1, max_length=64)]
