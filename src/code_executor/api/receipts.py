"""Receipts over HTTP: the keys that they verify with, whether one is ours, and what is graded again for one."""

from __future__ import annotations

from typing import NamedTuple

from fastapi import APIRouter, Request
from starlette.responses import Response

from code_executor.api.answers import Json, object_answer
from code_executor.api.description import request_body
from code_executor.api.problems import Refusal
from code_executor.api.receipt_schemas import KeysResponse, VerifyRequest, VerifyResponse
from code_executor.api.requests import invalid, read, require_json
from code_executor.api.schemas import PROBLEMS
from code_executor.api.suite_requests import GradeAsked
from code_executor.core.apart import CHECKED, apart
from code_executor.grading.issuer import Issuer
from code_executor.grading.receipts import Previous, ReceiptError, ReceiptForgedError
from code_executor.grading.signing import key_set
from code_executor.grading.store import Suites
from code_executor.grading.suite import Suite, SuiteUnknownError

KEYS_PATH = "/.well-known/code-executor-keys.json"
VERIFY_PATH = "/api/receipts/verify"

_KEPT_FOR = 300
"""Seconds for which whoever has read the keys need not read them again."""


def make_router(issuer: Issuer) -> APIRouter:
    """Return the routes over ``issuer``."""
    router = APIRouter(tags=["grade"])

    @router.get(
        KEYS_PATH,
        summary="Return the public keys of receipts",
        response_model=KeysResponse,
        responses={503: PROBLEMS[503]},
    )
    async def keys() -> Response:
        """Return the keys with which anybody can verify receipts of this service, also those that sign no more."""
        found = await issuer.keys()
        # before there is a key, nobody is to remember that
        kept = f"public, max-age={_KEPT_FOR}" if found else "no-store"
        return Json(key_set(found), headers={"Cache-Control": kept})

    @router.post(
        VERIFY_PATH,
        summary="Verify a receipt",
        response_model=VerifyResponse,
        responses=PROBLEMS,
        openapi_extra=request_body(VerifyRequest),
    )
    async def verify(request: Request) -> Response:
        """Say whether a receipt was given by this service and has not been changed, and what it says.

        What has not the form of a receipt, or another algorithm, is an error of the request.
        """
        require_json(request.headers.get("content-type", ""))
        body = await request.body()
        asked = await apart(lambda: read(VerifyRequest, body), len(body), CHECKED)
        try:
            previous = await issuer.verified(asked.receipt)
        except ReceiptForgedError as error:
            return Json({"valid": False, "claims": None, "why": _sentence(error)})
        except ReceiptError as error:
            raise invalid("receipt", _sentence(error)) from None
        return object_answer({"valid": True, "claims": dict(previous.claims), "why": None}, len(asked.receipt))

    return router


class Chosen(NamedTuple):
    """What a submission is graded with. ``reference``: ``name@version`` of a suite that is stored."""

    suite: Suite
    reference: str = ""
    previous: Previous | None = None


async def choose(asked: GradeAsked, suites: Suites, owner: str, issuer: Issuer) -> Chosen:
    """Return the suite that is asked for, and the receipt that is graded again, if one is.

    A version in that receipt is the one that is taken, unless another is named. Raises ``Refusal``,
    ``SuiteUnknownError`` or ``StorageError``.
    """
    previous, before = None, ""
    if asked.regrade_of:
        try:
            previous = await issuer.verified(asked.regrade_of)
        except ReceiptError as error:
            raise invalid("regradeOf", _sentence(error)) from None
        before = await issuer.suite_of(previous)
    if asked.suite is not None:
        return Chosen(asked.suite, "", previous)
    reference = _pinned(asked.reference, before)
    try:
        found, suite = await suites.find(owner, reference)
    except SuiteUnknownError:
        if reference == asked.reference:
            raise
        # which version it was, a learner's receipt does not tell
        raise SuiteUnknownError("the suite that the receipt is of, in that version, is not stored here") from None
    return Chosen(suite, found, previous)


def _pinned(asked: str, before: str) -> str:
    """Return which suite is meant by its name, if one was given, beside a receipt of the suite ``before``."""
    name, at, _ = before.partition("@")
    if asked:
        return before if at and name == asked else asked
    if not at:
        raise _not_stored()
    return before


def _not_stored() -> Refusal:
    return invalid("suite", "The receipt is of a suite that was not stored: give the suite again")


def _sentence(error: ReceiptError) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}"
