"""Receipts: what came of a submission, signed, so that nobody can change it and a regrade can be held against it.

A receipt is a compact JWS (EdDSA). There are two of each grade, as there are two views of it: the full one, and one
with what is told to whoever may not see everything. The second has the SHA-256 of the first. That says nothing of its
content, because the signature is part of it. Which suite it was, the second has sealed, for this service alone: from
the bare hash of a small suite, its hidden tests could be found by trying.

What is signed is exactly what `views` tells.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from code_executor._version import __version__
from code_executor.core.errors import CodeExecutorError
from code_executor.core.forms.shown import limits_object
from code_executor.core.limits import Limits, RunLimits
from code_executor.grading import forms, views
from code_executor.grading.outcomes import Grade, Receipt, Receipts, Regrade, Submission
from code_executor.grading.signing import PublicKey, Ring, from_text, to_text
from code_executor.grading.suite import Suite
from code_executor.grading.views import Audience

Object = dict[str, Any]

TYPE = "code-executor-receipt+jwt"
MOST_TEXT = 1 << 20
"""Characters of a receipt; a thousand tests with the longest names have about half as many."""

_ALGORITHM = "EdDSA"
_FORM = re.compile(r"[A-Za-z0-9_-]{1,1000}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_NEEDED = ("iss", "iat", "jti", "code", "files", "env", "policy", "limits", "server", "engine", "tests", "max")
_NONCE = 12
_NOT_DETERMINISTIC = "not deterministic"
_COMPARED = {
    "code": "code",
    "files": "files",
    "env": "environment",
    "policy": "policy",
    "limits": "limits",
    "server": "server",
    "engine": "engine",
}
"""Claims that may explain why a grade is another one, beside the suite, and what they are called."""

_DECISIVE = {"code changed", "files changed", "suite changed", "environment changed"}
"""What must be the same for a test to print the same."""


class ReceiptError(CodeExecutorError):
    """A text is not a receipt of this service."""


class ReceiptFormError(ReceiptError):
    """It is no receipt at all, whoever may have signed it."""


class ReceiptForgedError(ReceiptError):
    """It has the form of one, but none of our keys has signed it as it is."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where a submission was run: the engine, the environment with its digest (None: not known), the limits."""

    engine: str
    environment: str
    digest: str | None
    limits: Limits


@dataclass(frozen=True, slots=True)
class Previous:
    """A receipt that is graded again, verified: its claims, and the SHA-256 of its text."""

    claims: Mapping[str, Any]
    digest: str


@dataclass(frozen=True, slots=True)
class Subject:
    """What was graded. ``reference``: ``name@version`` of a suite that is stored; empty of any other."""

    submission: Submission
    suite: Suite
    reference: str = ""
    previous: Previous | None = None


# ---- signing and verifying


def sign(claims: Mapping[str, Any], ring: Ring) -> str:
    """Return a receipt with these claims."""
    import jwt  # noqa: PLC0415  # a server that grades nothing need not wait for it
    from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415

    key = ed25519.Ed25519PrivateKey.from_private_bytes(ring.private)
    return jwt.encode(dict(claims), key, _ALGORITHM, headers={"kid": ring.keys[0].kid, "typ": TYPE})


def verify(text: str, keys: Sequence[PublicKey]) -> Object:
    """Return the claims of a receipt that one of these keys has signed; raise ``ReceiptError``."""
    import jwt  # noqa: PLC0415  # as above
    from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415

    if len(text) > MOST_TEXT:
        raise ReceiptFormError(f"it is longer than {MOST_TEXT} characters")
    if not _FORM.fullmatch(text):
        raise ReceiptFormError("it is not a receipt: three parts of base64url with dots between them")
    try:
        kid = _kid(jwt.get_unverified_header(text))
        from_text(text.rpartition(".")[2])  # the last character has bits that say nothing
        key = next((each for each in keys if each.kid == kid), None)
        if key is None:
            raise ReceiptForgedError("it was signed with another key than those of this service")
        public = ed25519.Ed25519PublicKey.from_public_bytes(key.x)
        options: Any = {"require": list(_NEEDED), "verify_aud": False, "verify_iat": False}
        claims: Object = jwt.decode(text, public, algorithms=[_ALGORITHM], options=options)
    except jwt.InvalidSignatureError:
        raise ReceiptForgedError("it was changed after it was signed") from None
    except (jwt.InvalidTokenError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ReceiptFormError(f"it is not a receipt: {error}") from None
    return claims


def _kid(header: Mapping[str, Any]) -> str:
    """Return which key has signed. Nothing else in a header is followed, so nothing else may be there."""
    if header.get("alg") != _ALGORITHM:
        raise ValueError(f"its algorithm must be {_ALGORITHM}")
    if header.get("typ") != TYPE:
        raise ValueError(f"its type must be {TYPE}")
    if header.keys() != {"alg", "kid", "typ"} or not isinstance(header["kid"], str):
        raise ValueError("its header must have alg, kid and typ, and nothing else")
    return str(header["kid"])


def digest_of(text: str) -> str:
    """Return the SHA-256 by which one receipt refers to another."""
    return _sha256(text)


# ---- the receipts of a grade


def issue(ring: Ring, grade: Grade, subject: Subject, site: Site, now: float) -> Grade:
    """Return the grade with its receipts, and with what is different from the previous one, if there is one.

    ``now``: seconds since 1970, which visibility depends on. A large suite takes a while.
    """
    full_view, rest_view = Audience(True, now), Audience(False, now)
    suite = subject.reference or forms.digest(subject.suite)
    full = _claims(ring, grade, subject, site, now) | {"suite": suite, "tests": _tests(grade, full_view)}
    text = sign(full, ring)
    sealed = _seal(ring, suite, grade.id)
    rest = {name: value for name, value in full.items() if name != "suite"}
    rest |= {"tests": _tests(grade, rest_view), "sealed": sealed, "full": digest_of(text)}
    if subject.previous is None:
        return replace(grade, receipts=Receipts(Receipt(text), Receipt(sign(rest, ring))))
    before = subject.previous.claims
    changed = _changed(before, full, suite_of(before, ring), suite)
    regrades = [_regrade(before, claims, changed) for claims in (full, rest)]
    flaky = frozenset(regrades[0].flaky)
    outcomes = tuple(replace(each, flaky=each.test.id in flaky) for each in grade.outcomes)
    receipts = Receipts(Receipt(text, regrades[0]), Receipt(sign(rest, ring), regrades[1]))
    return replace(grade, outcomes=outcomes, receipts=receipts)


def suite_of(claims: Mapping[str, Any], ring: Ring) -> str:
    """Return which suite a receipt is of: ``name@version``, or the SHA-256 of one that was not stored.

    Empty: it was sealed by somebody else.
    """
    if "suite" in claims:
        return str(claims["suite"])
    return _unseal(ring, str(claims.get("sealed", "")), str(claims["jti"]))


def _claims(ring: Ring, grade: Grade, subject: Subject, site: Site, now: float) -> Object:
    """Return the claims that both receipts have."""
    submission, previous = subject.submission, subject.previous
    claims: Object = {"iss": ring.issuer, "iat": int(now), "jti": grade.id}
    if submission.caller.learner:
        claims["sub"] = submission.caller.learner
    return claims | {
        "code": _sha256(submission.code),
        "files": {file.path: hashlib.sha256(file.data).hexdigest() for file in submission.files},
        "env": {"name": site.environment, "digest": site.digest},
        "policy": submission.policy_name,
        "limits": limits_object(RunLimits.of(site.limits)),
        "server": __version__,
        "engine": site.engine,
        "verdict": grade.verdict.value,
        "score": grade.score,
        "max": grade.max,
        "prev": previous and previous.digest,
    }


def _tests(grade: Grade, audience: Audience) -> list[Object]:
    return [told for outcome in grade.outcomes if (told := views.test_claims(outcome, audience)) is not None]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _seal(ring: Ring, text: str, name: str) -> str:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305  # noqa: PLC0415  # takes long to import

    nonce = os.urandom(_NONCE)
    return to_text(nonce + ChaCha20Poly1305(ring.seal).encrypt(nonce, text.encode(), name.encode()))


def _unseal(ring: Ring, sealed: str, name: str) -> str:
    """Return what was sealed; empty, if it was with another secret."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415  # as above
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305  # noqa: PLC0415

    try:
        data = from_text(sealed)
        return ChaCha20Poly1305(ring.seal).decrypt(data[:_NONCE], data[_NONCE:], name.encode()).decode()
    except (ValueError, InvalidTag):
        return ""


# ---- two receipts


def _changed(before: Mapping[str, Any], after: Mapping[str, Any], suite_before: str, suite: str) -> tuple[str, ...]:
    """Return what was another thing when the first of two receipts was made."""
    changed = [called for name, called in _COMPARED.items() if before[name] != after[name]]
    if suite_before.rpartition("@")[2] != suite.rpartition("@")[2]:
        changed.append("suite")
    return tuple(f"{called} changed" for called in changed)


def _regrade(before: Mapping[str, Any], after: Mapping[str, Any], changed: tuple[str, ...]) -> Regrade:
    """Compare two receipts, as far as both tell."""
    first, second = ({test["id"]: test for test in claims["tests"]} for claims in (before, after))
    differs = [name for name, test in second.items() if name in first and _differ(first[name], test)]
    if ("full" in before) == ("full" in after):  # both tell of the same tests, unless the suite is another
        differs += [name for name in second if name not in first]
        differs += [name for name in first if name not in second]
    flaky: tuple[str, ...] = ()
    if not _DECISIVE & set(changed):
        flaky = tuple(name for name in second if name in first and _flaky(before, first[name], second[name]))
    same = not differs and all(before.get(name) == after[name] for name in ("score", "max", "verdict"))
    return Regrade(same, tuple(differs), flaky, changed or (() if same else (_NOT_DETERMINISTIC,)))


def _differ(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    if first["score"] != second["score"]:
        return True
    if "out" in first and "out" in second:
        return bool(first["verdict"] != second["verdict"] or first["out"] != second["out"])
    return views.plain(first["verdict"]) != views.plain(second["verdict"])


def _flaky(before: Mapping[str, Any], first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether a test printed something else in the same environment; None: it printed nothing, since it was not run."""
    if before["env"]["digest"] is None or first.get("out") is None or second.get("out") is None:
        return False
    return bool(first["out"] != second["out"])
