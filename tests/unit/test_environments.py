"""Environments: what a file may say of them, which one a request gets, and what makes two of them equal."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from code_executor.app.bootstrap import make_engine, open_executor
from code_executor.app.environments import EnvironmentSettings, alone, load, read
from code_executor.app.settings import Settings
from code_executor.core.caller import LOCAL, Caller, Terms
from code_executor.core.environments import Contents, Environment, choose
from code_executor.core.errors import ConfigurationError, EnvironmentRefusedError, EnvironmentUnknownError
from code_executor.sandbox.docker import DockerEngine
from code_executor.sandbox.hardening import INTERPRETER, readable_for
from sandbox_agent.contract.config import READABLE

PLAIN = ("plain", ())


def settings(**given: object) -> Settings:
    usual: dict[str, Any] = {"python": "/usr/bin/python3", "pool_size": 4, "pool_min": 2, "preload": (("numpy",),)}
    return Settings(**usual | given)


def environments(text: str, **given: object) -> tuple[EnvironmentSettings, ...]:
    return read(tomllib.loads(text), settings(**given))


# ---- the file


def test_without_a_file_there_is_the_default_of_the_settings() -> None:
    (only,) = load(settings())
    assert (only.name, only.python, only.minimum) == ("default", "/usr/bin/python3", 2)
    assert only.kinds == (PLAIN, ("numpy", ("numpy",)))


def test_a_table_adds_an_environment_that_starts_on_demand_beside_the_default() -> None:
    default, another = environments('[environments.py311]\nimage = "ours:py311"\npython = "/srv/py311/bin/python"')
    assert (default.name, default.minimum) == ("default", 2)
    assert another == EnvironmentSettings("py311", "ours:py311", "", "/srv/py311/bin/python", (PLAIN,), 0, "")


def test_a_table_may_say_everything() -> None:
    text = """
    [environments.py312]
    image = "ours:two"
    interpreter = "/opt/py312/bin/python"
    minimum = 1
    description = "Two"
    [environments.py312.kinds]
    data = ["numpy", "pandas"]
    plots = ["matplotlib.pyplot"]
    """
    another = environments(text)[1]
    assert another.kinds == (PLAIN, ("data", ("numpy", "pandas")), ("plots", ("matplotlib.pyplot",)))
    assert another.further == (("numpy", "pandas"), ("matplotlib.pyplot",))
    assert (another.interpreter, another.minimum, another.description) == ("/opt/py312/bin/python", 1, "Two")
    assert environments(text, reuse=0)[1].further == (("numpy", "pandas"),)  # as of the default


@pytest.mark.parametrize("name", ["default", "py313"])
def test_what_the_table_of_the_default_leaves_out_is_as_in_the_settings(name: str) -> None:
    flag = "" if name == "default" else "default = true\n"
    default, another = environments(f'[environments.x]\nimage = "x"\n[environments.{name}]\n{flag}description = "Ours"')
    assert (default.name, default.python, default.minimum, default.description) == (
        *(name, "/usr/bin/python3", 2),
        "Ours",
    )
    assert default.kinds == (PLAIN, ("numpy", ("numpy",)))
    assert another.name == "x"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[environments.x]\nimagee = 'a'", "environments.x.imagee: Extra inputs are not permitted"),
        ("[environments.x]\nimage = 3", "environments.x.image: Input should be a valid string"),
        ("[environments.x]\nimage = ''", "environments.x.image: String should have at least 1 character"),
        ("[environments.x]\nminimum = -1", "environments.x.minimum: Input should be greater than or equal to 0"),
        ("[environments.x]\nminimum = true", "environments.x.minimum: Input should be a valid integer"),
        ("[environments.'a b']", "environments.a b: a name has up to 64 letters, digits, dots, dashes and underscores"),
        ("environments = 3", "has 'environments', and must have tables [environments.NAME] alone"),
        ("environment = 3", "has 'environment', and must have tables [environments.NAME] alone"),
        ("[environments]\nx = 3", "environments.x: Input should be a valid dictionary or instance of _Table"),
        ("[environments.x.kinds]\nplain = ['a']", "environments.x.kinds: a kind cannot be called 'plain'"),
        ("[environments.x.kinds]\ndata = []", "environments.x.kinds: the kind data has no modules"),
        ("[environments.x.kinds]\ndata = ['a;b']", "environments.x.kinds: not a module: 'a;b'"),
        (
            "[environments.x]\ndefault = true\n[environments.y]\ndefault = true",
            "environments.y: x is the default already",
        ),
        (
            "[environments.x]\ndefault = true\n[environments.default]",
            "environments.default: must have another name, since x is the default",
        ),
    ],
)
def test_a_bad_file_is_told_in_one_line_that_names_the_table(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "environments.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load(settings(environments=str(path)))
    assert str(caught.value) == f"CODE_EXECUTOR_ENVIRONMENTS: {path}: {why}"


@pytest.mark.parametrize("interpreter", ["python3", "/bin/python3", "/python", "/opt/../bin/python", "/opt/x/python"])
def test_an_interpreter_has_a_directory_of_its_own_in_the_image(interpreter: str) -> None:
    with pytest.raises(ConfigurationError, match="not the path of an interpreter in an image"):
        environments(f'[environments.x]\ninterpreter = "{interpreter}"')


def test_no_file_and_no_toml_are_told_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.toml: No such file or directory$"):
        load(settings(environments=str(tmp_path / "none.toml")))
    (tmp_path / "bad.toml").write_text("[")
    with pytest.raises(ConfigurationError, match=r"bad\.toml: "):
        load(settings(environments=str(tmp_path / "bad.toml")))


@pytest.mark.anyio
async def test_no_environment_keeps_more_sandboxes_than_there_may_be(tmp_path: Path) -> None:
    path = tmp_path / "environments.toml"
    path.write_text('[environments.x]\nimage = "x"\nminimum = 5')
    with pytest.raises(ConfigurationError, match=r"environments\.x: minimum: .*POOL_SIZE \(4\)$"):
        async with open_executor(settings(environments=str(path))):
            pass


def test_a_directory_stands_for_the_interpreter_in_it(tmp_path: Path) -> None:
    assert environments(f'[environments.x]\npython = "{tmp_path}"')[1].python == f"{tmp_path}/bin/python"


def test_an_environment_of_another_engine_alone_is_no_environment_of_this_one() -> None:
    docker_only, native_only = environments('[environments.a]\nimage = "x"\n[environments.b]\npython = "/y"')[1:]
    with pytest.raises(ConfigurationError, match="no python"):
        make_engine(settings(), docker_only, "native")
    with pytest.raises(ConfigurationError, match="no image"):
        make_engine(settings(), native_only, "docker")
    assert isinstance(make_engine(settings(), docker_only, "docker"), DockerEngine)


def test_a_single_command_takes_one_environment_and_preloads_nothing() -> None:
    both = environments('[environments.x]\nimage = "x"\nkinds = { data = ["numpy"] }')
    assert alone(both, "", settings()).name == "default"
    assert alone(both, "x", settings(pool_min=1)) == EnvironmentSettings("x", "x", minimum=1)
    with pytest.raises(ConfigurationError, match="there is no environment 'y' here, but default, x"):
        alone(both, "y", settings())


# ---- what a program may read


def test_a_program_may_read_the_libraries_of_its_own_interpreter_alone() -> None:
    assert readable_for(INTERPRETER) == READABLE
    assert "/opt/sandbox" in READABLE
    another = readable_for("/opt/py312/bin/python")
    assert set(READABLE) ^ set(another) == {"/opt/sandbox", "/opt/py312"}
    assert set(READABLE) - set(readable_for("/usr/bin/python3.11")) == {"/opt/sandbox"}
    assert "/usrlocal" in readable_for("/usrlocal/bin/python")


# ---- which one a request gets

KNOWN = ("default", "py311", "py312")


def holder(*names: str) -> Caller:
    return Caller("ce_x", terms=Terms(environments=names))


def test_a_request_gets_what_it_names_and_else_the_default() -> None:
    assert [choose(name, LOCAL, KNOWN) for name in ("", "default", "py312")] == ["default", "default", "py312"]
    assert choose("py312", holder(), KNOWN) == "py312"  # a key without such a limit


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(EnvironmentUnknownError, match="there is no environment 'py27' here, but default, py311, py312"):
        choose("py27", LOCAL, KNOWN)


def test_a_key_may_use_its_own_alone_and_learns_nothing_of_others() -> None:
    key = holder("py312", "py311", "gone")
    assert choose("", key, KNOWN) == "py311"
    assert choose("py312", key, KNOWN) == "py312"
    for name in ("default", "py27"):
        with pytest.raises(EnvironmentRefusedError, match=r"that environment, but py311, py312$"):
            choose(name, key, KNOWN)
    with pytest.raises(EnvironmentUnknownError, match="there is no environment 'gone' here, but py311, py312"):
        choose("gone", key, KNOWN)
    with pytest.raises(EnvironmentRefusedError, match="none of the environments"):
        choose("", holder("gone"), KNOWN)


def test_the_terms_of_a_caller_come_whole_to_another_process() -> None:
    caller = holder("py311")
    assert Caller.of_object(caller.as_object()).terms == caller.terms
    chooses = Caller("ce_x", terms=Terms(policies=("off",)))
    assert Caller.of_object(json.loads(json.dumps(chooses.as_object()))).terms == chooses.terms


# ---- what makes two equal

CONTENTS = Contents("cpython", "3.13.1", {"numpy": "2.3.1", "attrs": "25.1"}, "aa")


def test_equal_contents_have_one_digest_in_whatever_order_they_are_found() -> None:
    again = Contents("cpython", "3.13.1", {"attrs": "25.1", "numpy": "2.3.1"}, "aa")
    assert again.digest == CONTENTS.digest
    assert CONTENTS.digest == "sha256:04a2bf83136b921f6a5779575a29a419583758d85bb41253e9b750e3bf328f15"


@pytest.mark.parametrize(
    "other",
    [
        Contents("pypy", "3.13.1", CONTENTS.packages, "aa"),
        Contents("cpython", "3.13.2", CONTENTS.packages, "aa"),
        Contents("cpython", "3.13.1", {"numpy": "2.3.2", "attrs": "25.1"}, "aa"),
        Contents("cpython", "3.13.1", {"numpy": "2.3.1"}, "aa"),
        Contents("cpython", "3.13.1", CONTENTS.packages, "ab"),
    ],
)
def test_anything_else_has_another(other: Contents) -> None:
    assert other.digest != CONTENTS.digest


def test_an_environment_is_the_same_after_it_was_sent() -> None:
    told = Environment("x", "3.13.1", {"b": "1", "a": "2"}, (PLAIN, ("data", ("numpy",))), "sha256:x", True, "Ours")
    assert Environment.of_object(told.as_object()) == told
    assert list(told.as_object()["packages"]) == ["a", "b"]
