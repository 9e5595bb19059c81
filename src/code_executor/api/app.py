"""The application: a factory that is given its service. Importing this does nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence

import structlog
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from code_executor.accounts.accounts import Accounts
from code_executor.api import (
    batches,
    check,
    description,
    environments,
    execute,
    grade,
    jobs,
    operations,
    pages,
    problems,
    receipts,
    session_files,
    sessions,
    suites,
)
from code_executor.api.execute import Endpoint
from code_executor.api.gate import Gate
from code_executor.api.hosts import HostNames, Hosts
from code_executor.api.idempotency import REPLAYED, Idempotency
from code_executor.api.identity import Identity
from code_executor.api.job_requests import Reading
from code_executor.api.middleware import BodyLimit, RateLimit
from code_executor.api.mounts import Mounting
from code_executor.api.outbox import Ledger, Outbox, telling
from code_executor.core.limits import RequestLimits, SendLimits
from code_executor.grading.issuer import Issuer
from code_executor.grading.signing import RingFile
from code_executor.grading.store import Suites
from code_executor.jobs.desk import JobDesk
from code_executor.jobs.idempotency import Answers
from code_executor.service.ports import CHECKS, RUNS, Service

log = structlog.get_logger()

_DESCRIPTION = "Untrusted Python, run in locked-down containers. See the README for limits and what protects you."
_COUNTED = {
    ("POST", execute.PATH): RUNS,
    ("POST", "/api/sessions"): RUNS,
    ("POST", "/api/sessions/*/cells"): RUNS,
    ("POST", "/api/sessions/*/restart"): RUNS,
    ("POST", "/api/check"): CHECKS,
    ("POST", jobs.PATH): RUNS,
    ("POST", grade.PATH): RUNS,
}
"""All else under /api/ is counted as `REQUESTS`. A batch counts its jobs itself."""

_NO_TELEMETRY = dict.fromkeys(("tracing", "metrics", "logs", "operation_spans", "auto_configure"), False)
_SENDING = SendLimits()
_EXPOSED = (
    "Location",
    REPLAYED,
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "RateLimit-Policy",
    "Retry-After",
)


class Pages(CORSMiddleware):
    """Lets the pages of some origins read our answers: those that are allowed, and those of a key.

    Which key it is, a browser does not say when it asks first; `Gate` looks at that later.
    """

    def __init__(self, app: ASGIApp, origins: tuple[str, ...], accounts: Accounts) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=[
                "Authorization",
                "Content-Type",
                "Idempotency-Key",
                "If-Match",
                "If-None-Match",
                "Last-Event-ID",
                "Prefer",
                "X-API-Key",
            ],
            expose_headers=_EXPOSED,
        )
        self._accounts = accounts
        self._any = bool(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._any or self._accounts.has_origins:
            await super().__call__(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def is_allowed_origin(self, origin: str) -> bool:
        return super().is_allowed_origin(origin) or self._accounts.is_origin(origin)


class Shortcut:
    """Takes runs past the framework, whose layers take longer than all that this service does for a run itself.

    It is the innermost middleware: nothing that says who asks, or that limits, is behind it.
    """

    def __init__(self, app: ASGIApp, endpoint: Endpoint) -> None:
        self._app = app
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != execute.PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            response = await self._endpoint(Request(scope, receive))
        except Exception as error:
            response = problems.answer(error)
            if response.status_code == 500 and not isinstance(error, problems.Refusal):
                log.exception("execute_failed")
        await response(scope, receive, send)


async def _no_store(_: bool) -> None:
    """There is no store, and none is made."""


def create_app(
    service: Service,
    bounds: RequestLimits,
    version: str,
    names: HostNames,
    *,
    origins: tuple[str, ...] = (),
    sending: SendLimits = _SENDING,
    accounts: Accounts | None = None,
    described: Sequence[str] = (),
    offered: Sequence[str] = (),
    desk: JobDesk | None = None,
    answers: Answers | None = None,
    kept_suites: Suites | None = None,
    receipt_keys: RingFile | None = None,
    mounts: Sequence[Mounting] = (),
) -> ASGIApp:
    """Return the ASGI application over ``service``, whose owner keeps it open for as long as the app is served.

    ``names``: the hosts that it answers to. ``origins``: whose pages may call it from a browser, besides its own.
    ``sending``: what clients may leave unread. ``accounts``: the keys; None: nobody needs one. ``described``: the names
    of the environments: jobs name one, and the description has them if no key is needed to know them. ``offered``:
    likewise those of the policies that a request may choose. ``desk``: where jobs are asked for; None: there are none.
    ``answers``: those that are given again; None: none are. ``kept_suites``: those that are stored; None: none can be.
    ``receipt_keys``: what grades are signed with; None: none are. ``mounts``: what other packages add.
    """
    accounts = accounts or Accounts()
    desk = desk or JobDesk()
    # "offline": the pages under /docs bring their scripts along instead of loading them from somebody's CDN
    app = FastAPIOffline(
        title="Code Executor",
        version=version,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        static_url=pages.DOCS_ASSETS,
        # its spans would have paths, and so the secret ids of sessions; ours are in `api.tracing`
        telemetry=_NO_TELEMETRY,
    )
    pages.redirect_slashes(app)
    kept_suites = kept_suites or Suites(_no_store)
    issuer = Issuer(receipt_keys, service.environments, service.health, service.runs.limits)
    reading = Reading(service.runs, bounds, described, kept_suites, issuer, offered)
    for_jobs = jobs.Endpoints(service, desk, reading)
    endpoint = execute.make_endpoint(service, bounds, for_jobs.post_execution)
    app.include_router(execute.make_router(service, bounds, endpoint, origins))
    app.include_router(check.make_router(service, bounds))
    app.include_router(environments.make_router(service.environments))
    app.include_router(operations.make_router(service.health))
    app.include_router(sessions.make_router(service, bounds, origins))
    app.include_router(session_files.make_router(service, bounds))
    app.include_router(jobs.make_router(for_jobs))
    app.include_router(batches.make_router(batches.Endpoints(service, desk, reading)))
    app.include_router(grade.make_router(service, kept_suites, bounds, issuer, for_jobs.post_grade))
    app.include_router(receipts.make_router(issuer))
    app.include_router(suites.make_router(service, kept_suites, bounds))
    counted = dict(_COUNTED)
    for mounting in mounts:
        mounted = mounting(service, bounds, issuer)
        counted |= mounted.counted
        for router in mounted.routers:
            app.include_router(router)
    known = ((), ()) if accounts.closed else (described, offered)
    description.install(app, service.runs.limits, bounds, *known)
    problems.install(app)
    pages.install_docs(app)
    pages.install(app, embedders=origins or ("*",), labs=bool(mounts))

    whole: ASGIApp = Shortcut(app, endpoint)
    whole = Idempotency(whole, answers, service.health)
    whole = BodyLimit(whole, bounds.body, bounds.arrival, {batches.PATH: bounds.batch})
    whole = RateLimit(whole, service.rates, counted)
    whole = Gate(whole)
    whole = Pages(whole, origins, accounts)
    whole = Outbox(Hosts(whole, names), Ledger(sending, time.monotonic, telling(service.health)))
    return Identity(whole, accounts)
