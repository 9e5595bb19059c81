"""Two environments side by side: each program has its own interpreter and libraries, and none of the other's."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from code_executor import Executor
from code_executor.core.errors import EngineError, EnvironmentUnknownError
from code_executor.core.models import Result, Status
from tests.conftest import IMAGE
from tests.venvs import BASE, make_venv

pytestmark = pytest.mark.anyio

SETTINGS: dict[str, Any] = {"policy": "off", "pool_size": 2, "pool_min": 1, "preload": ()}

OTHER = '[environments.other]\ndescription = "Another"\n'

FIND = """
import os, sys
found = []
for top in ("/opt/sandbox", "/usr/local", "/usr/lib"):
    for directory, below, names in os.walk(top):
        found += [os.path.join(directory, name) for name in below if name.startswith(PREFIX)]
print(found)
"""


def output(result: Result) -> str:
    assert result.status is Status.SUCCESS, result.error
    return result.output.strip()


def system_python() -> str:
    """Return the path of the interpreter in the image that its own was made of."""
    question = "import os, sys; print(os.path.realpath(sys.executable))"
    asked = ["docker", "run", "--rm", "--network=none", "--entrypoint", "/opt/sandbox/bin/python", IMAGE]
    done = subprocess.run([*asked, "-c", question], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def answers(python: str) -> str:
    """Return the version of an interpreter, as 3.11; empty if it does not answer."""
    asked = [python, "-c", "import sys; print(*sys.version_info[:2], sep='.')"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


@pytest.fixture(scope="module")
async def both(engine: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Executor]:
    """An executor whose other environment has no libraries of the default, and under the native engine one of its own.

    Under Docker it is the system's interpreter in the same image.
    """
    directory = tmp_path_factory.mktemp("environments")
    table = OTHER
    if engine == "docker":
        table += f'interpreter = "{system_python()}"\n'
    else:
        table += f'python = "{make_venv(directory / "venv", abacus="1.2")}"\n'
        table += 'kinds = { data = ["abacus"] }\n'
    path = directory / "environments.toml"
    path.write_text(table)
    async with Executor.open(engine=engine, environments=str(path), **SETTINGS) as opened:
        yield opened


async def test_a_program_has_the_libraries_of_its_own_environment_alone(both: Executor, engine: str) -> None:
    code = "import importlib.util as u; print([u.find_spec(name) is not None for name in ('numpy', 'abacus')])"
    assert output(await both.run(code)) == "[True, False]"
    assert output(await both.run(code, environment="default")) == "[True, False]"
    assert output(await both.run(code, environment="other")) == f"[False, {engine == 'native'}]"


async def test_what_is_installed_in_one_cannot_even_be_read_in_the_other(both: Executor) -> None:
    find = FIND.replace("PREFIX", "'numpy'")
    assert "site-packages/numpy" in output(await both.run(find))
    assert output(await both.run(find, environment="other")) == "[]"
    steal = "import sys; sys.path += [f'/opt/sandbox/lib/python3.{n}/site-packages' for n in range(20)]; import numpy"
    stolen = await both.run(steal, environment="other")
    assert "ModuleNotFoundError" in stolen.error


async def test_the_answer_says_which_environment_was_asked_for(both: Executor) -> None:
    assert (await both.run("")).environment == ""
    assert (await both.run("", environment="other")).environment == "other"
    with pytest.raises(EnvironmentUnknownError, match="'third' here, but default, other"):
        await both.run("", environment="third")


async def test_what_a_program_leaves_is_in_neither_environment(both: Executor) -> None:
    leave = "open('/tmp/left', 'w').write('x'); open('left', 'w').write('x')"
    look = "import os; print(os.listdir('/tmp'), sorted(set(os.listdir()) - {'main.py'}))"
    for name in ("", "other", ""):
        await both.run(leave, environment=name)
        assert output(await both.run(look, environment=name)) == "[] []"
        assert output(await both.run(look, environment="other" if not name else "")) == "[] []"


async def test_a_session_stays_in_its_environment(both: Executor, engine: str) -> None:
    library = "abacus" if engine == "native" else "json"
    async with both.session(environment="other") as session:
        assert output(await session.run(f"import {library} as found")) == ""
        assert "ModuleNotFoundError" in (await session.run("import numpy")).error
        assert library in output(await session.run("found.__name__"))


async def test_it_lists_what_each_has_as_its_interpreter_says(both: Executor, engine: str) -> None:
    default, other = await both.environments()
    assert (default.name, default.default, other.name, other.default) == ("default", True, "other", False)
    assert other.description == "Another"
    version = "import numpy, platform; print(platform.python_version(), numpy.__version__)"
    assert output(await both.run(version)) == f"{default.python} {default.packages['numpy']}"
    assert "numpy" not in other.packages
    if engine == "native":
        assert dict(other.packages) == {"abacus": "1.2"}
        assert other.kinds == (("plain", ()), ("data", ("abacus",)))
    assert default.digest != other.digest
    assert await both.environments() == [default, other]


async def test_a_digest_is_of_what_there_is_wherever_it_is(tmp_path: Path) -> None:
    """Two directories with the same packages, and one with a newer one."""
    tables = ""
    for name, version in (("one", "1.0"), ("same", "1.0"), ("newer", "1.1")):
        tables += f'[environments.{name}]\npython = "{make_venv(tmp_path / name, abacus=version)}"\n'
    (tmp_path / "environments.toml").write_text(tables)
    digests = []
    for _ in range(2):  # it outlives a restart
        async with Executor.open(
            engine="native", environments=str(tmp_path / "environments.toml"), **SETTINGS
        ) as opened:
            digests.append([each.digest for each in (await opened.environments())[1:]])
    one, same, newer = digests[0]
    assert one == same != newer
    assert digests[1] == digests[0]


def another_python() -> Path | None:
    """Return an interpreter of another version than the tests', if this machine has one."""
    found = [shutil.which(f"python3.{minor}") for minor in range(11, 20)]
    kept = [str(each) for each in sorted(BASE.parents[2].glob("3.1[1-9]*/bin/python3"))]
    versions: dict[str, Path] = {}
    for path in filter(None, (*found, *kept)):
        versions.setdefault(answers(path), Path(path))
    own = BASE.name.removeprefix("python")
    return next((path for version, path in versions.items() if version not in ("", own)), None)


async def test_programs_run_on_another_python_beside_the_default(tmp_path: Path) -> None:
    python = another_python()
    if python is None:
        pytest.skip("this machine has one Python")
    (tmp_path / "environments.toml").write_text(
        f'[environments.other]\npython = "{make_venv(tmp_path / "venv", python, abacus="2.0")}"\n'
    )
    async with Executor.open(engine="native", environments=str(tmp_path / "environments.toml"), **SETTINGS) as opened:
        version = "import sys; print(*sys.version_info[:2], sep='.')"
        ours, other = output(await opened.run(version)), output(await opened.run(version, environment="other"))
        assert ours != other
        assert [each.python.rpartition(".")[0] for each in await opened.environments()] == [ours, other]
        generic = "def first[T](items: list[T]) -> T: return items[0]"  # since 3.12
        checks = {
            name: (await opened.run(generic, environment=each, check_only=True)).reason
            for name, each in ((ours, ""), (other, "other"))
        }
        assert {version: reason == "completed" for version, reason in checks.items()} == {
            version: tuple(map(int, version.split("."))) >= (3, 12) for version in (ours, other)
        }


@pytest.mark.parametrize(
    ("python", "why"), [("/nonexistent/python", "cannot use /nonexistent/python"), ("/bin/false", "cannot use")]
)
async def test_what_cannot_be_started_is_told_with_its_name(tmp_path: Path, python: str, why: str) -> None:
    (tmp_path / "environments.toml").write_text(f'[environments.broken]\npython = "{python}"\n')
    with pytest.raises(EngineError, match=f"environment broken: {why}"):
        async with Executor.open(engine="native", environments=str(tmp_path / "environments.toml"), **SETTINGS):
            pass
