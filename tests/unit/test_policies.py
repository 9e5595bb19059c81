"""Which policies a server has, which of them a request may choose, and what is said about a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from code_executor.app import policies
from code_executor.app.settings import PREFIX, Settings
from code_executor.core.caller import Caller, Terms
from code_executor.core.errors import ConfigurationError, PolicyRefusedError, PolicyUnknownError
from code_executor.core.policies import require
from sandbox_agent.contract.policy.rules import OFF, STRICT, Policy

KEY = Caller("ce_k", terms=Terms(policies=("off", "course")))
NARROW = Caller("ce_n", terms=Terms(policies=("week3",)))


def loaded(**settings: object) -> dict[str, Policy]:
    """Return the policies that sandboxes get, as their supervisors read them."""
    tables = Settings.load(**settings).policy_tables()
    return {name: Policy.from_table(table) for name, table in tables.items()}


# ---- a server's own


def test_its_own_is_built_in_or_read(tmp_path: Path) -> None:
    assert loaded()[""] == STRICT
    assert loaded(policy="off")[""] == OFF
    file = tmp_path / "policy.toml"
    file.write_text('allow = ["open"]\n[deny.names]\nsum = "write the loop"\n')
    policy = loaded(policy=str(file))[""]
    assert "open" not in policy.names
    assert policy.names["sum"] == "write the loop"


@pytest.mark.parametrize("text", ["allow = [", 'allow = "os"', "unknown = 1", "\0", "deny = 1", 'extends = ["strict"]'])
def test_a_file_that_is_none_is_an_error_that_names_variable_and_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(text)
    for setting, value in (("policy", str(file)), ("policies", f"course={file}")):
        with pytest.raises(ConfigurationError) as caught:
            loaded(**{setting: value})
        assert str(caught.value).startswith(f"{PREFIX}{setting.upper()}: {file}: ")


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_such_an_error_too(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "policy.toml"
    if content is not None:
        file.write_bytes(content)
    for setting, value in (("policy", str(file)), ("policies", f"course={file}")):
        with pytest.raises(ConfigurationError, match=f"{PREFIX}{setting.upper()}: {file}"):
            loaded(**{setting: value})


# ---- those that a request may choose


def test_they_have_names_of_their_own_and_the_built_in_ones_theirs(tmp_path: Path) -> None:
    file = tmp_path / "course.toml"
    file.write_text('extends = "off"\n[deny.names]\nsum = "write the loop"\n')
    found = loaded(policies=f"off, course = {file}")
    assert found == {"": STRICT, "strict": STRICT, "off": OFF, "course": Policy(names={"sum": "write the loop"})}


@pytest.mark.parametrize(
    ("own", "further", "expected"),
    [
        ("strict", (), ("strict",)),
        ("off", (), ("off",)),
        ("/p.toml", (), ()),
        ("strict", ("off", "course=/c.toml"), ("strict", "off", "course")),
        ("strict", ("course=/c.toml", "strict"), ("strict", "course")),
        ("/p.toml", ("course=/p.toml", "strict"), ("course", "strict")),
    ],
)
def test_those_that_are_named_are_offered_and_off_only_if_the_operator_says_so(
    own: str, further: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert policies.offered(own, policies.checked(further)) == expected
    assert Settings.load(policy=own, policies=further).offered_policies == expected


def test_all_together_fit_into_what_starts_a_sandbox(tmp_path: Path) -> None:
    large, small = tmp_path / "large.toml", tmp_path / "small.toml"
    large.write_text(f'[deny.names]\nsum = "{"x" * 40_000}"\n')
    small.write_text('[deny.names]\nsum = "write the loop"\n')
    assert len(loaded(policies=f"one={large},two={small}")) == 4
    with pytest.raises(ConfigurationError, match=f"^{PREFIX}POLICIES: all policies together have 80[0-9]+ bytes, and"):
        loaded(policies=f"one={large},two={large}")


def test_who_names_none_is_never_asked() -> None:
    require("", NARROW, ("strict",))
    require("", Caller("a"), ())


def test_a_name_must_be_offered() -> None:
    for caller in (Caller("a"), KEY, Caller("ce_free", terms=Terms())):
        require("off", caller, ("strict", "off"))
    with pytest.raises(PolicyUnknownError, match=r"^there is no policy 'off' here; a request may choose strict$"):
        require("off", Caller("a"), ("strict",))
    with pytest.raises(PolicyUnknownError, match="may choose none"):
        require("strict", Caller("a"), ())


def test_a_key_chooses_of_its_own_alone() -> None:
    require("course", KEY, ("strict", "off", "course"))
    with pytest.raises(PolicyRefusedError, match=r"^this key may not choose that policy; it may choose off, course$"):
        require("strict", KEY, ("strict", "off", "course"))
    with pytest.raises(PolicyRefusedError, match="it may choose none"):  # and does not learn whether there is one
        require("third", NARROW, ("strict", "off", "course"))
    with pytest.raises(PolicyUnknownError, match="'week3' here; a request may choose none"):
        require("week3", NARROW, ("strict", "off", "course"))
