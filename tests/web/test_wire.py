"""web/src/wire.ts says what the OpenAPI description says: neither side can rename a field alone."""

from __future__ import annotations

import copy
import importlib.util
import shutil
import subprocess
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.browser.conftest import need
from tests.web.conftest import NO_NPM, WEB

ROOT = Path(__file__).parents[2]


@cache
def writer() -> ModuleType:
    """``scripts/write_wire.py`` as a module."""
    spec = importlib.util.spec_from_file_location("write_wire", ROOT / "scripts/write_wire.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def schemas() -> dict[str, Any]:
    described: dict[str, Any] = writer().description()["components"]["schemas"]
    return described


def test_the_types_of_the_page_are_those_of_the_description(schemas: dict[str, Any]) -> None:
    assert writer().WIRE.read_text() == writer().written(schemas), "run `make docs`"


@pytest.mark.parametrize(
    ("schema", "field"),
    [
        ("ExecuteRequest", "stdin"),
        ("ExecuteResponse", "executionTime"),
        ("ProblemOut", "message"),
        ("PictureOut", "contentBase64"),
        ("FileOut", "size"),
        ("CheckResponse", "problems"),
        ("SessionResponse", "idleTimeout"),
        ("InputRequest", "data"),
        ("StartedOut", "rateLimit"),
        ("RateOut", "remaining"),
        ("PieceOut", "data"),
        ("StdinMessage", "data"),
        ("ProblemDetails", "detail"),
        ("TestOut", "hint"),
        ("GroupOut", "passed"),
    ],
)
def test_a_page_that_uses_an_old_name_does_not_compile(
    schemas: dict[str, Any], schema: str, field: str, tmp_path: Path
) -> None:
    need(NO_NPM)
    renamed = copy.deepcopy(schemas)
    fields, required = renamed[schema]["properties"], renamed[schema].get("required", [])
    fields["another"] = fields.pop(field)
    if field in required:
        required[required.index(field)] = "another"
    for name in ("src", "pages"):
        shutil.copytree(WEB / name, tmp_path / name)
    shutil.copy(WEB / "tsconfig.json", tmp_path)
    (tmp_path / "node_modules").symlink_to(WEB / "node_modules")
    (tmp_path / "src/wire.ts").write_text(writer().written(renamed))
    command = ["node_modules/.bin/tsc", "--noEmit"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert f"'{field}'" in done.stdout
    assert "src/wire.ts(" not in done.stdout


@pytest.mark.parametrize(
    ("schema", "type_"),
    [
        ({"type": "integer", "description": "Bytes."}, "number"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "string | null"),
        ({"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "null"}]}}, "(string | null)[]"),
        ({"enum": ["a", "b"], "type": "string"}, '"a" | "b"'),
        ({"const": "python", "type": "string"}, '"python"'),
        ({"$ref": "#/components/schemas/FileIn", "description": "A file."}, "InputFile"),
        (
            {"allOf": [{"properties": {"type": {"const": "x"}}, "required": ["type"]}, {"$ref": "#/x/FileOut"}]},
            '{ type: "x" } & OutputFile',
        ),
        ({"properties": {"a": {"type": "boolean"}}}, "{\n  a?: boolean;\n}"),
        ({"type": "object", "additionalProperties": True}, "Record<string, unknown>"),
    ],
)
def test_schemas_are_written_as_types(schema: dict[str, Any], type_: str) -> None:
    assert writer().type_of(schema) == type_


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "patternProperties": {"^x": {"type": "string"}}},
        {"type": "object"},
        {"type": ["string", "null"]},
        {"$ref": "#/components/schemas/Unnamed"},
        {},
    ],
)
def test_what_the_writer_does_not_know_is_an_error(schema: dict[str, Any]) -> None:
    with pytest.raises(writer().UnknownSchemaError):
        writer().type_of(schema)
