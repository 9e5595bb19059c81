"""The page's sources: their types are those of the API, their unit tests pass, and their README names every file."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
WEB = ROOT / "web"


@pytest.fixture(scope="module")
def write_wire() -> ModuleType:
    """``scripts/write_wire.py`` as a module."""
    spec = importlib.util.spec_from_file_location("write_wire", ROOT / "scripts/write_wire.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_types_of_the_page_are_those_of_the_description(write_wire: ModuleType) -> None:
    schemas = write_wire.description()["components"]["schemas"]
    assert (WEB / "src/wire.ts").read_text() == write_wire.written(schemas), "run `make docs`"


def test_a_field_that_is_renamed_changes_the_types(write_wire: ModuleType) -> None:
    schemas = write_wire.description()["components"]["schemas"]
    before = write_wire.written(schemas)
    properties = schemas["ExecuteResponse"]["properties"]
    properties["outputs"] = properties.pop("output")
    assert write_wire.written(schemas) != before


def test_what_has_no_type_is_an_error(write_wire: ModuleType) -> None:
    unknowns: list[dict[str, object]] = [{"not": {}}, {"type": "object"}, {"$ref": "#/components/schemas/Nobody"}]
    for unknown in unknowns:
        with pytest.raises(write_wire.UnknownSchemaError):
            write_wire.type_of(unknown)


def test_the_readme_names_every_source_and_no_other() -> None:
    named = set(re.findall(r"`(src/[\w.-]+)`", (WEB / "README.md").read_text()))
    assert named == {f"src/{path.name}" for path in (WEB / "src").glob("*.ts")}


@pytest.mark.parametrize("task", ["check", "test"])
def test_the_pages_types_and_unit_tests_pass(task: str) -> None:
    if shutil.which("npm") is None or not (WEB / "node_modules").exists():
        if os.environ.get("CI") == "true":
            pytest.fail("CI=true, and npm is not installed, or the page was not built")
        pytest.skip("NOT TESTED: npm is not installed, or the page was not built")
    done = subprocess.run(["npm", "run", task], cwd=WEB, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
