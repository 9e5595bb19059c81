"""Keys in a TOML file: what is written is read again, and what is wrong is named."""

from __future__ import annotations

import os
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from code_executor.accounts.keyfile import KeyFile, read_keys, written
from code_executor.accounts.keys import KeyLimits, Scope
from code_executor.accounts.secret import ServerSecret
from code_executor.core.errors import ConfigurationError
from tests.unit.accounts.test_keys import made

pytestmark = pytest.mark.anyio

GOOD = f'id = "k3x9q2pa"\nhash = "{"ab" * 32}"\n'


def test_what_is_written_is_read_again() -> None:
    limits = KeyLimits(rate="600/minute", seconds_per_day=3600, weight=2.5, origins=("https://a.example",), running=3)
    _, key = made("cs1.2027", scopes=frozenset({Scope.RUN, Scope.GRADE}), limits=limits, expires=1_800_000_000.0)
    key = replace(key, server="0123456789abcdef")
    assert read_keys(tomllib.loads(written(key))) == [key]


def test_dates_and_previous_secrets_are_read() -> None:
    more = f'expires = 2027-07-31\nprevious = "{"cd" * 32}"\nprevious_until = 2027-01-01T00:00:00Z\ngeneration = 2\n'
    (key,) = read_keys(tomllib.loads("[keys.a]\n" + GOOD + more))
    assert (key.expires, key.previous_until, key.generation) == (1816992000.0, 1798761600.0, 2)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("keys = 3", "tables"),
        ("[other]\n", "has 'other'"),
        ('[keys.a]\nid = "x"\n', "keys.a: id must be 8"),
        ('[keys.a]\nid = "k3x9q2pa"\nhash = "short"\n', "keys.a: hash must be"),
        ("[keys.a]\n" + GOOD + 'colour = "blue"\n', "keys.a: colour"),
        ("[keys.a]\n" + GOOD + 'scopes = ["everything"]\n', "keys.a: there is no scope"),
        ("[keys.a]\n" + GOOD + 'expires = "soon"\n', "keys.a: a time must be written"),
        ("[keys.a]\n" + GOOD + "[keys.b]\n" + GOOD, "same id"),
        ('[keys."a b"]\n' + GOOD, "a name has"),
    ],
)
def test_what_is_wrong_is_named(text: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        read_keys(tomllib.loads(text))


async def test_a_file_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text("[keys.a]\n" + GOOD)
    file = KeyFile(str(path))
    assert [key.name for key in await file.keys()] == ["a"]
    path.write_text("[keys.longer]\n" + GOOD)
    assert [key.name for key in await file.keys()] == ["longer"]
    path.write_text("[keys")
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"CODE_EXECUTOR_KEYS: .*keys\.toml: "):
            await file.keys()
    os.unlink(path)
    with pytest.raises(ConfigurationError, match="No such file"):
        await file.keys()


# ---- the server secret


def test_a_server_secret_is_made_once_and_for_its_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "a/secret"
    assert ServerSecret.read(str(path)) is None
    made_once = ServerSecret.make(str(path))
    again = ServerSecret.make(str(path))
    assert made_once.fingerprint == again.fingerprint
    assert made_once.derive(b"x") == again.derive(b"x") != again.derive(b"y")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["secret"]
    assert path.read_text().strip() not in repr(again) + again.fingerprint


@pytest.mark.parametrize("text", ["", "ab", "x" * 64, "ä" * 64])
def test_a_short_or_broken_server_secret_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "secret").write_text(text)
    with pytest.raises(ConfigurationError, match="must be 64 hexadecimal digits"):
        ServerSecret.read(str(tmp_path / "secret"))
