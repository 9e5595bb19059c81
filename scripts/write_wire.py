"""Write web/src/wire.ts, the types of the HTTP API's JSON, from the OpenAPI description (`make docs`).

A test fails while the file is not what this script writes, so a field cannot be renamed on one side only: TypeScript's
compiler then finds every place in web/ that uses the old name.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx

from code_executor.api.app import create_app
from code_executor.api.hosts import HostNames
from code_executor.core.limits import Limits, RequestLimits

WIRE = Path(__file__).resolve().parent.parent / "web/src/wire.ts"

NAMES = {
    "ExecuteRequest": "RunRequest",
    "FileIn": "InputFile",
    "LimitsIn": "RunLimits",
    "EntryIn": "Entry",
    "ExcerptIn": "Excerpt",
    "ExecuteResponse": "Result",
    "LimitsOut": "HeldLimits",
    "LeftOut": "LeftOut",
    "ResultsResponse": "Results",
    "StreamedResult": "StreamedResult",
    "StreamedOut": "Streamed",
    "Status": "Status",
    "Reason": "Reason",
    "ProblemOut": "Problem",
    "ExceptionOut": "Raised",
    "DisplayOut": "Display",
    "PictureOut": "Picture",
    "MarkupOut": "Markup",
    "FileOut": "OutputFile",
    "CheckRequest": "CheckRequest",
    "CheckResponse": "CheckResponse",
    "SessionResponse": "SessionInfo",
    "FileListResponse": "FileList",
    "FileEntryOut": "FileEntry",
    "CellRequest": "CellRequest",
    "InputRequest": "InputRequest",
    "Event": "ServiceEvent",  # a browser has an `Event` already
    "StartedOut": "Started",
    "RateOut": "Rate",
    "PieceOut": "Piece",
    "WaitingOut": "Waiting",
    "ClientMessage": "ClientMessage",
    "StdinMessage": "StdinMessage",
    "ControlMessage": "ControlMessage",
    "GradeResponse": "Grade",
    "GradeVerdict": "GradeVerdict",
    "TestOut": "TestResult",
    "Verdict": "Verdict",
    "CaseOut": "TestCase",
    "DiffOut": "Difference",
    "GroupOut": "GroupResult",
    "UsageOut": "GradeUsage",
    "RegradeOut": "Regrade",
    "ProblemDetails": "ProblemDetails",
    "FieldError": "FieldError",
}
"""What web/ uses of the description's schemas, and its names for them."""

_HEAD = """\
/**
 * The JSON of the HTTP API, as its OpenAPI description has it (/docs of a running service).
 *
 * `make docs` writes this file, by scripts/write_wire.py, and a test fails while it is out of date. Do not edit it.
 */
"""

_SHAPE = frozenset({"$ref", "allOf", "anyOf", "const", "enum", "items", "oneOf", "properties", "required", "type"})
_REST = frozenset(
    {
        "additionalProperties",
        "default",
        "description",
        "discriminator",
        "exclusiveMinimum",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minimum",
        "pattern",
        "propertyNames",
        "title",
    }
)
"""Keywords that change nothing about the type that TypeScript has for a value."""

_MOST = 100
"""Characters of a union on one line."""

_PLAIN = {"string": "string", "number": "number", "integer": "number", "boolean": "boolean", "null": "null"}

Schema = Mapping[str, Any]


class UnknownSchemaError(Exception):
    """The description has something that this script has no TypeScript for."""


def description() -> dict[str, Any]:
    """Return the OpenAPI description of a service with the default limits; no service runs."""
    runs = SimpleNamespace(limits=Limits())
    service: Any = SimpleNamespace(runs=runs, sessions=None, rates=None, health=None, environments=None)
    app = create_app(service, RequestLimits(), "0", HostNames("127.0.0.1"))

    async def ask() -> dict[str, Any]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            answer: dict[str, Any] = (await client.get("/openapi.json")).raise_for_status().json()
            return answer

    return asyncio.run(ask())


def type_of(schema: Schema) -> str:
    """Return the TypeScript type of the values that a schema allows."""
    if unknown := schema.keys() - _SHAPE - _REST:
        raise UnknownSchemaError(f"no TypeScript for {', '.join(sorted(unknown))} in {json.dumps(schema)}")
    match schema:
        case {"$ref": str(reference)}:
            return _name(reference.rpartition("/")[2])
        case {"properties": properties}:  # a `oneOf` beside it only restricts which of them go together
            return _object(properties, schema.get("required", ()))
        case {"allOf": parts}:
            return " & ".join(_inside(part) for part in parts)
        case {"oneOf": _} | {"anyOf": _} | {"enum": _}:
            return " | ".join(_alternatives(schema))
        case {"type": "object", "additionalProperties": Mapping() as values}:
            return f"Record<string, {type_of(values)}>"
        case {"type": "object", "additionalProperties": True}:
            return "Record<string, unknown>"
        case {"const": value}:
            return json.dumps(value)
        case {"type": "array", "items": items}:
            return f"{_inside(items)}[]"
        case {"type": str(plain)} if plain in _PLAIN:
            return _PLAIN[plain]
    raise UnknownSchemaError(f"no TypeScript for {json.dumps(schema)}")


def declaration(name: str, schema: Schema) -> str:
    """Return an exported interface or type with this name, and the schema's description as its comment."""
    whole = type_of(schema)
    if "properties" in schema:
        return f"{_comment(schema)}export interface {name} {whole}\n"
    if len(whole) > _MOST and (alternatives := _alternatives(schema)):
        whole = "".join(f"\n  | {each}" for each in alternatives)
        return f"{_comment(schema)}export type {name} ={whole};\n"
    return f"{_comment(schema)}export type {name} = {whole};\n"


def written(schemas: Mapping[str, Schema]) -> str:
    """Return the text of web/src/wire.ts for the schemas of a description."""
    return "\n".join([_HEAD, *(declaration(name, schemas[schema]) for schema, name in NAMES.items())])


def _name(schema: str) -> str:
    if schema not in NAMES:
        raise UnknownSchemaError(f"{schema} needs a name in NAMES of scripts/write_wire.py")
    return NAMES[schema]


def _alternatives(schema: Schema) -> list[str]:
    if "enum" in schema:
        return [json.dumps(value) for value in schema["enum"]]
    return [_inside(part) for part in schema.get("oneOf") or schema.get("anyOf") or ()]


def _object(properties: Mapping[str, Schema], required: Any) -> str:
    fields = [
        f"{_comment(schema, '  ')}  {name}{'' if name in required else '?'}: {type_of(schema)};\n"
        for name, schema in properties.items()
    ]
    return f"{{\n{''.join(fields)}}}" if fields else "{}"


def _inside(schema: Schema) -> str:
    """Return a type that can stand inside another one."""
    if properties := schema.get("properties"):
        required = schema.get("required", ())
        fields = (f"{name}{'' if name in required else '?'}: {type_of(each)}" for name, each in properties.items())
        return f"{{ {'; '.join(fields)} }}"
    inner = type_of(schema)
    return f"({inner})" if " | " in inner or " & " in inner else inner


def _comment(schema: Schema, indent: str = "") -> str:
    text = " ".join(schema.get("description", "").split()).replace("*/", r"*\/")
    return f"{indent}/** {text} */\n" if text else ""


def main() -> None:
    text = written(description()["components"]["schemas"])
    if not WIRE.exists() or WIRE.read_text() != text:
        WIRE.write_text(text)
        print("wrote web/src/wire.ts")


if __name__ == "__main__":
    main()
