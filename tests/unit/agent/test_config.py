"""The configuration of an agent survives its way into the sandbox, and nothing else passes for one."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_executor.app import policies
from sandbox_agent.contract.config import AgentConfig, Mount
from sandbox_agent.contract.limits import Limits

TEXTS = st.text(max_size=20)
NAMES = st.lists(TEXTS, max_size=4).map(tuple)
COUNTS = st.integers(0, 2**40)
CONFIGS = st.builds(
    AgentConfig,
    uid=st.none() | COUNTS,
    box=TEXTS,
    writable=NAMES,
    readable=NAMES,
    mounts=st.lists(st.builds(Mount, TEXTS, TEXTS), max_size=3).map(tuple),
    limits=st.builds(Limits, *[COUNTS] * len(dataclasses.fields(Limits))),
    open_files=COUNTS,
    uid_processes=COUNTS,
    preload=NAMES,
    policies=st.dictionaries(TEXTS, st.just({"extends": "strict"}) | st.just({}), max_size=3),
    require_landlock=st.booleans(),
    layers_off=NAMES,
)


@pytest.mark.fuzz
@given(CONFIGS)
def test_a_configuration_survives_json(config: AgentConfig) -> None:
    assert AgentConfig.from_json(config.to_json()) == config


def test_what_is_left_out_has_its_default() -> None:
    assert AgentConfig.from_json("{}") == AgentConfig()


def test_by_default_everything_is_on() -> None:
    config = AgentConfig()
    assert config.require_landlock
    assert config.layers_off == ()
    assert not any(path in ("/", "/proc", "/sys", "/dev", "/etc", "/root", "/home", "/var") for path in config.readable)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"unknown": 1}',
        '{"mounts": [{"path": "/x"}]}',
        '{"mounts": [1]}',
        '{"limits": {"x": 1}}',
    ],
)
def test_nothing_else_is_a_configuration(text: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        AgentConfig.from_json(text)


def test_it_is_one_argument_for_a_command_line() -> None:
    text = AgentConfig(policies={"": {"deny": {"names": ["x" * (policies.MOST - 100)]}}}).to_json()
    assert "\n" not in text
    assert len(text) < 100_000  # the kernel takes 128 KB for one
    assert json.loads(text)["uid"] is None
