"""Learner tokens: whatever is not exactly what a platform signed for now is nothing; and nobody's name is kept."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_executor.accounts import learners
from code_executor.accounts.accounts import Accounts, Identity, Presented
from code_executor.accounts.keys import Key, KeyLimits, MissingScopeError, Scope, UnknownCredentialError
from code_executor.accounts.learners import (
    AUDIENCE,
    LEEWAY,
    LearnerNameError,
    Tokens,
    make_token,
    pseudonym,
    token_secret,
)
from code_executor.accounts.secret import ServerSecret
from tests.unit.accounts.test_keys import Source, made

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning"),  # forgers do not mind
]

SECRET = ServerSecret(bytes(range(32)))
NOW = 1_800_000_000.0


class At(dt.datetime):
    """A clock that stands still."""

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:  # type: ignore[override]
        return dt.datetime.fromtimestamp(NOW, tz)


@pytest.fixture(autouse=True)
def stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyJWT asks a clock of its own."""
    monkeypatch.setattr("jwt.api_jwt.datetime", At)


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


class Platform:
    """A key, a service that knows it, and the secret for tokens that its owner was shown."""

    def __init__(self, **more: Any) -> None:
        self.credential, self.key = made(**more)
        self.secret = token_secret(SECRET, self.key, 1)
        self.source = Source(self.key)
        self.clock = Clock()
        self.accounts = Accounts([self.source], lambda: SECRET, now=self.clock)

    async def ready(self) -> Platform:
        await self.accounts.refresh()
        return self

    def claims(self, **more: Any) -> dict[str, Any]:
        given = {"aud": AUDIENCE, "sub": "ada", "exp": int(NOW) + 600, **more}
        return {name: value for name, value in given.items() if value is not None}

    def token(self, *, secret: str | bytes | None = None, headers: Mapping[str, Any] | None = None, **more: Any) -> str:
        """Sign as any library of a platform would."""
        header = {"kid": self.key.id, **(headers or {})}
        return jwt.encode(self.claims(**more), secret or self.secret, algorithm="HS256", headers=header)

    def who(self, token: str, **more: Any) -> Identity:
        return self.accounts.identify(Presented(token, **more), "192.0.2.1")

    def refuses(self, token: str) -> bool:
        with pytest.raises(UnknownCredentialError, match=r"^the key or token is not valid$"):
            self.who(token)
        return True


@pytest.fixture
async def platform() -> Platform:
    return await Platform(scopes=frozenset(Scope), limits=KeyLimits(weight=3, wall_time=10)).ready()


# ---- what is good


async def test_a_token_says_who_it_is_for_and_what(platform: Platform) -> None:
    who = platform.who(platform.token(course="cs1", scope="run check", max={"wallTime": 4, "cpuTime": 2}))
    assert who.caller.id == f"ce_{platform.key.id}"
    assert who.caller.learner == pseudonym(SECRET, platform.key, b"ada")
    assert (who.caller.course, who.caller.weight) == ("cs1", 3)
    assert who.scopes == frozenset({Scope.RUN, Scope.CHECK})
    assert who.caller.terms
    assert (who.caller.terms.wall_time, who.caller.terms.cpu_time) == (4, 2)


async def test_a_token_has_every_limit_of_a_run() -> None:
    platform = await Platform(limits=KeyLimits.read({"memory": "128m", "disk": 1 << 20})).ready()
    asked = {"memory": 64 << 20, "output": 1000, "processes": 4, "disk": 2 << 20}
    terms = platform.who(platform.token(max=asked)).caller.terms
    assert terms
    assert (terms.memory, terms.output, terms.processes, terms.disk) == (64 << 20, 1000, 4, 1 << 20)
    for wrong in ({"memory": 1 << 20}, {"disk": 10}, {"memory": "64m"}, {"files": 3}, {"processes": True}):
        with pytest.raises(UnknownCredentialError):
            platform.who(platform.token(max=wrong))


async def test_a_token_widens_nothing(platform: Platform) -> None:
    who = platform.who(platform.token(max={"wallTime": 3600}, scope=" ".join(Scope)))
    assert who.caller.terms
    assert who.caller.terms.wall_time == 10
    assert who.scopes == learners.GRANTABLE
    for scope in (Scope.ADMIN, Scope.METRICS, Scope.LEARNER_ANY, Scope.GRADE_FULL, Scope.SUITES):
        with pytest.raises(MissingScopeError):
            who.require(scope)


async def test_a_token_is_for_labs_and_for_a_teacher_only_if_it_says_so(platform: Platform) -> None:
    assert not {Scope.LABS, Scope.TEACH} & (platform.who(platform.token()).scopes or frozenset())
    assert platform.who(platform.token(scope="labs")).scopes == frozenset({Scope.LABS})
    assert platform.who(platform.token(scope="teach")).scopes == frozenset({Scope.TEACH})


async def test_a_token_has_no_scope_that_its_key_has_not() -> None:
    narrow = await Platform(scopes=frozenset({Scope.CHECK})).ready()
    assert narrow.who(narrow.token()).scopes == frozenset({Scope.CHECK})
    assert narrow.who(narrow.token(scope="run")).scopes == frozenset()


async def test_what_we_make_is_what_a_platform_makes(platform: Platform) -> None:
    claims = {"sub": "ada", "exp": int(NOW) + 600}
    assert platform.who(make_token(SECRET, platform.key, claims)) == platform.who(platform.token())


async def test_a_good_token_is_read_once(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    token = platform.token()
    first = platform.who(token)
    monkeypatch.setattr(learners, "_read", None)
    assert platform.who(token) == first


# ---- what is not


@pytest.mark.parametrize(
    "more",
    [
        {"exp": None},
        {"aud": None},
        {"sub": None},
        {"exp": int(NOW) - LEEWAY - 1},
        {"exp": int(NOW) + 3600 + 2 * LEEWAY + 60},
        {"exp": 10**400},
        {"exp": "soon"},
        {"exp": float("inf")},
        {"aud": "somebody-else"},
        {"aud": 7},
        {"nbf": int(NOW) + 120},
        {"iat": int(NOW) + 120},
        {"sub": ""},
        {"sub": 7},
        {"sub": "x" * 129},
        {"sub": "ü" * 65},
        {"sub": "a\nb"},
        {"sub": " a"},
        {"sub": "\ud800"},
        {"sub": "a\u202eb"},
        {"course": ""},
        {"course": 7},
        {"course": "x" * 129},
        {"scope": "everything"},
        {"scope": ["run"]},
        {"max": {"memory": 5}},
        {"max": {"wallTime": 0}},
        {"max": {"wallTime": -1}},
        {"max": {"wallTime": True}},
        {"max": {"wallTime": float("nan")}},
        {"max": {"wallTime": "4"}},
        {"max": [1]},
    ],
    ids=str,
)
async def test_wrong_claims_are_none(platform: Platform, more: dict[str, Any]) -> None:
    assert platform.refuses(platform.token(**more))


async def test_an_expired_token_is_none_also_if_it_was_read_before(platform: Platform) -> None:
    token = platform.token(exp=int(NOW) + 60)
    assert platform.who(token)
    platform.clock.now = NOW + 60 + LEEWAY + 1
    assert platform.refuses(token)


def encoded(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


async def test_an_unsigned_token_is_none(platform: Platform) -> None:
    for name in ("none", "None", "NONE", "nOnE", ""):
        body = encoded({"alg": name, "kid": platform.key.id}) + "." + encoded(platform.claims())
        for signature in ("", platform.token().rpartition(".")[2]):
            assert platform.refuses(f"{body}.{signature}")
    assert platform.refuses(platform.token().rpartition(".")[0] + ".")


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
async def test_another_algorithm_is_none_although_the_secret_fits(platform: Platform, algorithm: str) -> None:
    token = jwt.encode(platform.claims(), platform.secret, algorithm=algorithm, headers={"kid": platform.key.id})
    assert platform.refuses(token)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA", "HS257", 7, None, ["HS256"]])
async def test_a_header_that_names_another_algorithm_is_none(platform: Platform, algorithm: object) -> None:
    _, body, signature = platform.token().split(".")
    assert platform.refuses(f"{encoded({'alg': algorithm, 'kid': platform.key.id})}.{body}.{signature}")


@pytest.mark.parametrize(
    "headers",
    [
        {"jwk": {"kty": "oct", "k": "AA"}},
        {"jku": "https://attacker.example/keys"},
        {"x5u": "https://attacker.example/cert"},
        {"crit": ["exp"]},
        {"b64": False, "crit": ["b64"]},
        {"typ": "JWE"},
        {"zip": "DEF"},
        {"kid": "../../etc/passwd"},
        {"kid": ""},
        {"kid": "' OR 1=1"},
    ],
    ids=str,
)
async def test_nothing_else_in_a_header_is_followed(platform: Platform, headers: dict[str, Any]) -> None:
    assert platform.refuses(platform.token(headers=headers))


async def test_what_others_sign_is_none(platform: Platform) -> None:
    other = await Platform().ready()
    own_key = platform.key
    for secret in (
        other.secret,  # of another key
        token_secret(SECRET, own_key, 2),  # of a generation that is not yet
        token_secret(ServerSecret(bytes(32)), own_key, 1),  # of another server
        own_key.hash,
        own_key.hash.hex(),
        platform.credential,
        own_key.id,
        SECRET.derive(b"learner-token"),
    ):
        assert platform.refuses(platform.token(secret=secret))
    assert platform.refuses(other.token())  # of a key that is not known here
    assert other.refuses(other.token(headers={"kid": own_key.id}))


async def test_a_token_that_was_changed_is_none(platform: Platform) -> None:
    token = platform.token()
    head, _, signature = token.split(".")
    changed = encoded(platform.claims(sub="bob"))
    assert platform.refuses(f"{head}.{changed}.{signature}")
    for cut in range(len(token)):
        assert platform.refuses(token[:cut])
    for more in (token + "A", token + ".", "." + token, token + "=", f"{token} ", token + "\n", token * 2):
        assert platform.refuses(more)


@pytest.mark.parametrize(
    "token",
    [
        "a.b.c",
        "..",
        "x" * 1_000_000,
        "." * 5000,
        "é.é.é",
        "\ud800",
        "\0",
        "eyJ" + "A" * 8000 + ".e30.x",
        f"{base64.urlsafe_b64encode(b'[' * 2900).decode().rstrip('=')}.e30.x",
        f"{encoded([])}.e30.x",
        f"{encoded('HS256')}.e30.x",
        f"{encoded(b'{}')}.{encoded(b'{}')}.",
    ],
    ids=lambda text: ascii(text)[:20],
)
async def test_what_is_no_token_is_none(platform: Platform, token: str) -> None:
    assert platform.refuses(token)


async def test_a_large_token_is_refused_before_it_is_looked_at(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = platform.token(padding="x" * 5000)
    monkeypatch.setattr(learners, "_read", None)
    assert platform.refuses(token)


@pytest.mark.fuzz
@given(st.text(), st.text(), st.text())
def test_no_text_is_a_token(head: str, body: str, signature: str) -> None:
    tokens = Tokens()
    _, key = made()
    for token in (f"{head}.{body}.{signature}", f"{encoded(head)}.{encoded(body)}.{encoded(signature)}"):
        with pytest.raises(UnknownCredentialError):
            tokens.read(token, lambda _: key, SECRET, NOW)


# ---- keys that end


async def changed(platform: Platform, key: Key) -> None:
    platform.source.all = [key]
    await platform.accounts.refresh()


@pytest.mark.parametrize("change", [{"revoked": NOW - 1}, {"expires": NOW - 1}])
async def test_a_token_ends_with_its_key(platform: Platform, change: dict[str, Any]) -> None:
    token = platform.token()
    assert platform.who(token)
    await changed(platform, replace(platform.key, **change))
    assert platform.refuses(token)


async def test_a_token_of_the_secret_before_is_good_while_that_is(platform: Platform) -> None:
    old = platform.token()
    assert platform.who(old)
    rotated = replace(platform.key, generation=2, hash=bytes(32), previous=platform.key.hash, previous_until=NOW + 60)
    await changed(platform, rotated)
    assert platform.who(old)
    assert platform.who(platform.token(secret=token_secret(SECRET, rotated, 2)))
    platform.clock.now = NOW + 61
    assert platform.refuses(old)


async def test_a_key_that_has_fewer_scopes_now_has_them_for_its_tokens_too(platform: Platform) -> None:
    token = platform.token()
    assert Scope.RUN in (platform.who(token).scopes or ())
    await changed(platform, replace(platform.key, scopes=frozenset({Scope.CHECK})))
    assert platform.who(token).scopes == frozenset({Scope.CHECK})


# ---- names in headers


async def test_a_platform_may_name_its_learner(platform: Platform) -> None:
    who = platform.who(platform.credential, learner=b"ada", course=b"cs1")
    assert (
        who.caller.learner == pseudonym(SECRET, platform.key, b"ada") == platform.who(platform.token()).caller.learner
    )
    assert who.caller.course == "cs1"
    assert who.caller != platform.who(platform.credential).caller


async def test_whoever_may_not_name_a_learner_is_refused_and_not_ignored() -> None:
    narrow = await Platform(scopes=frozenset({Scope.RUN})).ready()
    for named in ({"learner": b"ada"}, {"course": b"cs1"}, {"learner": b""}):
        with pytest.raises(MissingScopeError, match="learner:any"):
            narrow.who(narrow.credential, **named)
        with pytest.raises(MissingScopeError, match="learner:any"):
            narrow.who(narrow.token(), **named)


async def test_a_learner_cannot_become_another_one(platform: Platform) -> None:
    with pytest.raises(MissingScopeError, match="learner:any"):
        platform.who(platform.token(), learner=b"bob")


@pytest.mark.parametrize("name", [b"", b"x" * 129, b"a\tb", b"a\0b", b"\xff", b" a", "a\u2028b".encode(), b"\x7f"])
async def test_what_is_no_name_is_refused(platform: Platform, name: bytes) -> None:
    with pytest.raises(LearnerNameError):
        platform.who(platform.credential, learner=name)
    with pytest.raises(LearnerNameError):
        platform.who(platform.credential, course=name)


async def test_while_no_key_is_needed_names_are_ignored() -> None:
    accounts = Accounts()
    assert accounts.identify(Presented(None, b"ada", b"cs1"), "192.0.2.1").caller.learner == ""


# ---- what is kept


async def test_a_learner_is_kept_under_a_name_that_only_this_server_can_make(platform: Platform) -> None:
    other = await Platform().ready()
    names = {
        pseudonym(SECRET, platform.key, b"ada"),
        pseudonym(SECRET, platform.key, b"bob"),
        pseudonym(SECRET, other.key, b"ada"),
        pseudonym(ServerSecret(bytes(32)), platform.key, b"ada"),
    }
    assert len(names) == 4
    assert {len(name) for name in names} == {32}
    assert "ada" not in repr(platform.who(platform.token()))


async def test_the_secret_for_tokens_is_kept_nowhere(platform: Platform) -> None:
    assert platform.secret.startswith("ces_")
    assert len(platform.secret) == 4 + 43
    assert platform.secret not in repr(platform.key) + repr(vars(platform.accounts))
    assert token_secret(SECRET, platform.key, 2) != platform.secret
