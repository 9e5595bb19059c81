"""Learners: a platform says for whom it asks, with a header or with a token that it has signed.

What a platform calls a learner is never kept: only a hash of it, which needs the server secret. So nobody can tell from
a log or a database who it was, and with another server secret nobody is the same any more.

A token is a JWT with HS256, for a browser, which must have no key. It is valid for an hour at most. Its secret is
derived from the server secret and the key's id and generation: the platform has it, and nobody keeps it.
"""

from __future__ import annotations

import base64
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from code_executor.accounts import credentials
from code_executor.accounts.keys import Key, Scope, UnknownCredentialError
from code_executor.accounts.secret import ServerSecret
from code_executor.core.caller import Caller, Terms
from code_executor.core.errors import CodeExecutorError
from code_executor.core.limits import RunLimits, tightest

AUDIENCE = "code-executor"
LONGEST = 3600
LEEWAY = 30
"""Seconds that a token may be valid for, and that clocks may differ."""

MOST_NAME = 128
MOST_TOKEN = 4096
"""Bytes of what a learner is called, and of a token."""

GRANTED = frozenset({Scope.RUN, Scope.CHECK, Scope.SESSION})
"""What a token is for if it does not say."""

GRANTABLE = GRANTED | {Scope.JOBS, Scope.GRADE, Scope.LABS, Scope.TEACH, Scope.MCP}
"""What it can be for, if it says so; the rest is for platforms. A token for a teacher has ``teach``."""

_ALGORITHM = "HS256"
_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_MAXIMA = {
    "wallTime": "wall_time",
    "cpuTime": "cpu_time",
    "memory": "memory",
    "output": "output",
    "processes": "processes",
    "disk": "disk",
}


class LearnerNameError(CodeExecutorError):
    """What a platform calls its learner, or its course, is no name."""


def checked_name(name: bytes, what: str) -> bytes:
    """Return a name of a learner or a course; raise ``LearnerNameError``."""
    if not 0 < len(name) <= MOST_NAME:
        raise LearnerNameError(f"{what} must have 1 to {MOST_NAME} bytes")
    try:
        text = name.decode()
    except UnicodeDecodeError:
        raise LearnerNameError(f"{what} must be in UTF-8") from None
    if not text.isprintable() or text != text.strip():
        raise LearnerNameError(f"{what} must be printable, without blanks around it")
    return name


def pseudonym(secret: ServerSecret, key: Key, name: bytes) -> str:
    """Return what a learner of a platform is known by here."""
    return secret.derive(key.id.encode(), name)[:16].hex()


def token_secret(secret: ServerSecret, key: Key, generation: int) -> str:
    """Return the secret that the tokens of a key are signed with: this text, as it is, is the key of HS256."""
    derived = secret.derive(b"learner-token", key.id.encode(), str(generation).encode())
    return "ces_" + base64.urlsafe_b64encode(derived).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a valid token says: until when, who asks, and for what."""

    until: float
    key: Key
    caller: Caller
    scopes: frozenset[Scope]


class Tokens:
    """Reads tokens. Those that were good are remembered, since a class sends the same ones all the time."""

    def __init__(self, most: int = 4096) -> None:
        self._most = most
        self._known: OrderedDict[bytes, Ticket] = OrderedDict()

    def read(self, token: str, find: Callable[[str], Key | None], secret: ServerSecret, now: float) -> Ticket:
        """Return what a token says; raise ``UnknownCredentialError`` unless a key that ``find`` knows has signed it."""
        if len(token) > MOST_TOKEN or not _FORM.fullmatch(token):
            raise UnknownCredentialError("the key or token is not valid")
        digest = credentials.digest(token)
        ticket = self._known.get(digest)
        if ticket is None or ticket.until <= now or find(ticket.key.id) is not ticket.key:
            self._known.pop(digest, None)
            ticket = _read(token, find, secret, now)
            if len(self._known) >= self._most:
                self._known.popitem(last=False)
            self._known[digest] = ticket
        if not ticket.key.is_valid(now):
            raise UnknownCredentialError("the key or token is not valid")
        return ticket


def _read(token: str, find: Callable[[str], Key | None], secret: ServerSecret, now: float) -> Ticket:
    import jwt  # noqa: PLC0415  # who has no learners with tokens need not wait for it

    try:
        key = find(_key_id(jwt.get_unverified_header(token)))
        if key is not None:
            claims, until = _verified(token, key, secret, now)
            return _ticket(claims, key, secret, until)
    except (jwt.InvalidTokenError, LearnerNameError, ValueError, TypeError, AttributeError, ArithmeticError):
        pass
    except RecursionError:  # JSON that is nested too deeply
        pass
    raise UnknownCredentialError("the key or token is not valid")


def _key_id(header: Mapping[str, Any]) -> str:
    """Return whose token it is. Nothing else in a header is followed, so nothing else may be there."""
    if not {"alg", "kid"} <= header.keys() <= {"alg", "kid", "typ"}:
        raise ValueError("a header with more than it may have")
    if header["alg"] != _ALGORITHM or str(header.get("typ", "JWT")).upper() != "JWT":
        raise ValueError("another algorithm")
    key_id = header["kid"]
    if not isinstance(key_id, str) or not credentials.ID.fullmatch(key_id):
        raise ValueError("not the id of a key")
    return key_id


def _verified(token: str, key: Key, secret: ServerSecret, now: float) -> tuple[dict[str, Any], float]:
    """Return the claims, and until when they hold."""
    import jwt  # noqa: PLC0415

    generations = [(key.generation, key.expires)]
    if key.has_previous(now):
        generations.append((key.generation - 1, key.previous_until))
    for generation, ends in generations:
        try:
            claims = jwt.decode(
                token,
                token_secret(secret, key, generation),
                algorithms=[_ALGORITHM],
                audience=AUDIENCE,
                leeway=LEEWAY,
                options={"require": ["exp", "aud", "sub"]},
            )
        except jwt.InvalidSignatureError:
            continue
        until = float(claims["exp"]) + LEEWAY
        if not now < until <= now + LONGEST + 2 * LEEWAY:
            raise ValueError("valid for too long")
        return claims, until if ends is None else min(until, ends)
    raise ValueError("signed by somebody else")


def _ticket(claims: Mapping[str, Any], key: Key, secret: ServerSecret, until: float) -> Ticket:
    name = checked_name(claims["sub"].encode(), "sub")
    course = checked_name(claims["course"].encode(), "course").decode() if "course" in claims else ""
    asked = frozenset(Scope(each) for each in claims["scope"].split()) if "scope" in claims else GRANTED
    caller = replace(
        key.caller,
        learner=pseudonym(secret, key, name),
        course=course,
        terms=_terms(key.caller.terms or Terms(), claims.get("max", {})),
    )
    return Ticket(until, key, caller, asked & GRANTABLE & key.scopes)


def _terms(terms: Terms, maxima: Mapping[str, Any]) -> Terms:
    """Return terms with the maxima of a token; what nothing here could hold a run to is refused."""
    if not maxima.keys() <= _MAXIMA.keys():
        raise ValueError("a limit that a token cannot have")
    for value in maxima.values():
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 1:
            raise ValueError("not a number of seconds, bytes or processes")
    most = {_MAXIMA[name]: float(value) if "Time" in name else int(value) for name, value in maxima.items()}
    RunLimits(**most)  # type: ignore[arg-type]  # which raises for what is too little for any program
    return replace(terms, **{name: tightest(getattr(terms, name), value) for name, value in most.items()})


def make_token(secret: ServerSecret, key: Key, claims: Mapping[str, Any]) -> str:
    """Return a token with these claims, as a platform makes it."""
    import jwt  # noqa: PLC0415

    signing = token_secret(secret, key, key.generation)
    return jwt.encode({"aud": AUDIENCE, **claims}, signing, algorithm=_ALGORITHM, headers={"kid": key.id})
