"""Every setting is read from its variable, and a wrong value is an error that names it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from code_executor.app import preloads
from code_executor.app.preloads import parse_list
from code_executor.app.settings import PREFIX, Settings
from code_executor.core.errors import ConfigurationError
from code_executor.core.sizes import parse_size

Set = Callable[..., None]

WRONG: dict[str, list[str]] = {
    "engine": ["podman", "Docker"],
    "port": ["-1", "65536", "http", "80.5"],
    "workers": ["0", "65", "two"],
    "rate_limit": ["10", "ten/minute", "0/minute", "10/minute;1/second"],
    "check_rate_limit": ["10"],
    "request_rate_limit": ["10"],
    "trusted_proxies": ["localhost", "10.0.0.0/33", "10.0.0.1,proxy"],
    "env": ["PATH", "PYTHON*", "LD_PRELOAD", "A=1", "COURSE ID"],
    "allowed_hosts": ["https://code.example.org", "code.example.org:443", "a b", "*.", "code.*.org"],
    "send_timeout": ["0", "3601", "inf", "x"],
    "send_rate": ["0", "1t", "x"],
    "max_owed": ["-1", "1t", "x"],
    "max_owed_per_client": ["-1", "1t", "x"],
    "connections": ["0", "60001", "x"],
    "connections_per_client": ["0", "60001", "x"],
    "pool_size": ["0", "10001", "x"],
    "pool_min": ["-1", "x"],
    "trusted_pool_size": ["-1", "10001", "x"],
    "queue_size": ["-1", "x"],
    "queue_timeout": ["0", "-1", "x"],
    "queue_per_client": ["0", "x"],
    "runs_per_client": ["-1", "x"],
    "client_share": ["0", "1.1", "x"],
    "reserve": ["-1", "x"],
    "check_timeout": ["0", "61", "x"],
    "reuse": ["-1", "x"],
    "lifetime": ["0", "x"],
    "memory": ["1m", "512 parsecs", "x", "-1", "1.5g"],
    "cpus": ["0", "-1", "257", "x"],
    "max_processes": ["0", "1001", "x"],
    "disk": ["1k", "x"],
    "max_files": ["63", "x"],
    "max_output": ["0", "2g", "x"],
    "max_timeout": ["0", "3601", "x"],
    "max_cpu_time": ["0.5", "3601", "x"],
    "input_timeout": ["0", "86401", "x"],
    "max_attachments": ["-1", "1g", "x"],
    "sessions": ["-1", "x"],
    "sessions_per_client": ["0", "x"],
    "session_list": ["maybe"],
    "session_idle": ["0", "x"],
    "session_lifetime": ["0", "x"],
    "session_cpu_time": ["0", "x"],
    "cpu_period": ["0.09", "1.1", "x"],
    "max_code": ["0", "65m", "x"],
    "max_stdin": ["-1", "65m", "x"],
    "jobs": ["-1", "1000001", "x"],
    "jobs_per_client": ["0", "x"],
    "jobs_at_once": ["-1", "10001", "x"],
    "jobs_size": ["1k", "x"],
    "job_results": ["59", "x"],
    "job_requests": ["-1", "x"],
    "max_batch": ["1", "2g", "x"],
    "labs": ["maybe"],
    "labs_retention": ["0", "36501", "nan", "x"],
    "body_timeout": ["0", "3601", "x"],
    "require_key": ["x"],
    "webhook_allow": ["https://example.org", "10.0.0.0/33", "a b", "hooks.example.org,*"],
    "webhook_timeout": ["0", "61", "nan", "x"],
    "webhook_retries": ["-1", "inf", "5,x", "nan", ",".join(["1"] * 21)],
    "webhooks_at_once": ["0", "1001", "x"],
    "policies": ["course", "course=", "=x", "-a=x", "strict=x", "off=x", "a=x,a=y", "off,off"],
    "log_format": ["xml"],
    "log_level": ["loud", "INFO"],
}
"""The settings that are not in here are names and texts that only an engine can judge."""

FREE = {
    "data",
    "database",
    "keys",
    "secret_file",
    "image",
    "environments",
    "runtime",
    "python",
    "preload",
    "preload_always",
    "host",
    "allowed_origins",
    "allow_missing",
    "policy",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Set:
    """Set variables of an otherwise empty environment: ``environment(PORT="80")``, without the prefix for ours."""
    for name in [name for name in os.environ if name.startswith(PREFIX) or name == "PORT"]:
        monkeypatch.delenv(name)

    def set_variables(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name if name == "PORT" else PREFIX + name.upper(), value)

    return set_variables


def test_every_setting_is_tested() -> None:
    assert set(WRONG) | FREE == set(Settings.model_fields)
    assert not set(WRONG) & FREE


def test_every_setting_is_described() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_value_is_an_error_that_names_its_variable(environment: Set, name: str, value: str) -> None:
    environment(**{name: value})
    with pytest.raises(ConfigurationError) as caught:
        Settings.load()
    assert str(caught.value).startswith(f"{PREFIX}{name.upper()}: ")
    assert "(it is " in str(caught.value)


@pytest.mark.parametrize(
    "name", ["cpus", "cpu_period", "max_timeout", "queue_timeout", "max_cpu_time", "input_timeout"]
)
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_what_is_no_number_of_seconds_is_wrong(environment: Set, name: str, value: str) -> None:
    environment(**{name: value})
    with pytest.raises(ConfigurationError, match=PREFIX + name.upper()):
        Settings.load()


def test_all_that_is_wrong_is_said_at_once(environment: Set) -> None:
    environment(engine="x", port="x", memory="x")
    with pytest.raises(ConfigurationError) as caught:
        Settings.load()
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == [
        f"{PREFIX}ENGINE",
        f"{PREFIX}PORT",
        f"{PREFIX}MEMORY",
    ]


def test_a_variable_that_means_nothing_is_an_error_that_names_it(environment: Set) -> None:
    environment(rate_limits="10/minute")
    with pytest.raises(ConfigurationError, match="CODE_EXECUTOR_RATE_LIMITS"):
        Settings.load()


def test_the_variables_are_read(environment: Set) -> None:
    environment(
        engine="native",
        memory="1g",
        cpus="1.5",
        preload="numpy, scipy",
        trusted_proxies="10.0.0.0/8,127.0.0.1",
        rate_limit="off",
        max_output="64k",
    )
    settings = Settings.load()
    assert (settings.engine, settings.cpus, settings.rate_limit) == ("native", 1.5, "off")
    assert (settings.memory, settings.max_output) == (1 << 30, 64 << 10)
    assert settings.preload == (("numpy", "scipy"),)
    assert settings.trusted_proxies == ("10.0.0.0/8", "127.0.0.1")


def test_an_empty_variable_is_as_none(environment: Set) -> None:
    default = Settings.load()
    environment(engine="", memory="", rate_limit="", pool_size="", port="")
    assert Settings.load() == default


def test_an_empty_preload_says_that_nothing_is(environment: Set) -> None:
    environment(preload="")
    assert Settings.load().preload == ()
    assert Settings.load(preload=("json",)).preload == (("json",),)
    assert Settings.load(preload="a, b;; c").preload == (("a", "b"), ("c",))


def test_what_is_given_wins_over_the_variable(environment: Set) -> None:
    environment(port="1", engine="native")
    settings = Settings.load(port=2, engine=None)
    assert (settings.port, settings.engine) == (2, "native")


@pytest.mark.parametrize(
    ("variables", "given", "port"),
    [
        ({}, {}, 8000),
        ({"PORT": "81"}, {}, 81),
        ({"PORT": "81", "port": "82"}, {}, 82),
        ({"PORT": "81"}, {"port": 83}, 83),
        ({"PORT": ""}, {}, 8000),
        ({"PORT": "0"}, {}, 0),
    ],
)
def test_a_platforms_port_is_honoured(environment: Set, variables: Any, given: Any, port: int) -> None:
    environment(**variables)
    assert Settings.load(**given).port == port


def test_a_platforms_port_that_is_none_is_an_error(environment: Set) -> None:
    environment(PORT="http")
    with pytest.raises(ConfigurationError, match="PORT"):
        Settings.load()


def test_a_small_pool_needs_no_second_variable(environment: Set) -> None:
    environment(pool_size="1")
    assert Settings.load().pool_min == 1
    assert Settings.load(pool_size=3).pool_min <= 3


def test_a_least_above_the_most_is_an_error_that_names_both(environment: Set) -> None:
    environment(pool_size="2", pool_min="3")
    with pytest.raises(ConfigurationError, match=r"CODE_EXECUTOR_POOL_MIN \(3\).*CODE_EXECUTOR_POOL_SIZE \(2\)"):
        Settings.load()


def test_settings_cannot_be_changed(environment: Set) -> None:
    with pytest.raises(ValidationError):
        Settings.load().port = 1


def test_the_limits_are_the_settings(environment: Set) -> None:
    environment(memory="128m", max_timeout="7", max_cpu_time="3", max_processes="4", disk="2m", max_files="100")
    limits = Settings.load().limits()
    assert (limits.memory, limits.wall_time, limits.cpu_time) == (128 << 20, 7.0, 3.0)
    assert (limits.processes, limits.disk, limits.files) == (4, 2 << 20, 100)


# ---- values


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("512", 512),
        ("1k", 1 << 10),
        ("512m", 512 << 20),
        ("512 MB", 512 << 20),
        ("512MiB", 512 << 20),
        (" 1G ", 1 << 30),
    ],
)
def test_a_size_is_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "m", "1t", "1.5g", "-1", "1 2", "0x10", "1mm", "²"])
def test_nothing_else_is_a_size(text: str) -> None:
    with pytest.raises(ValueError, match="not a size"):
        parse_size(text)


@pytest.mark.parametrize(("text", "names"), [("", ()), (" , ", ()), ("a", ("a",)), ("a, b,c ", ("a", "b", "c"))])
def test_a_list_is_read(text: str, names: tuple[str, ...]) -> None:
    assert parse_list(text) == names


@pytest.mark.parametrize(
    ("sessions", "pool_size", "most"), [("2", "4", 2), ("9", "4", 3), ("2", "1", 0), ("0", "4", 0)]
)
def test_sessions_never_have_the_last_sandbox(environment: Set, sessions: str, pool_size: str, most: int) -> None:
    environment(sessions=sessions, pool_size=pool_size)
    assert Settings.load().session_limits().open == most


def test_settings_go_to_another_process_whole_and_the_environment_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    given = Settings.load(pool_size=64, pool_min=20, preload=("numpy",), trusted_proxies="10.0.0.0/8, ::1", memory="1g")
    sent = json.loads(json.dumps(given.model_dump(mode="json")))
    monkeypatch.setenv(f"{PREFIX}POOL_SIZE", "3")
    monkeypatch.setenv(f"{PREFIX}PRELOAD", "scipy")
    assert Settings.resolved(sent) == given


def test_kinds_are_called_as_in_the_docs_and_others_by_their_first_module() -> None:
    assert preloads.names(preloads.KINDS) == ("plain", "data", "plots", "science")
    assert preloads.names(preloads.KINDS[:1]) == ("plain", "data")
    assert preloads.names((("numpy",), ("numpy", "scipy"), ("matplotlib.pyplot",))) == (
        *("plain", "numpy"),
        *("numpy-2", "plots"),
    )
