"""What operators and their machines ask: is it alive, can it run programs, and how is it doing."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response

from code_executor.api.problems import Refusal
from code_executor.api.schemas import described
from code_executor.service.ports import Health

_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


def make_router(health: Health) -> APIRouter:
    """Return the routes over ``health``."""
    router = APIRouter(tags=["operations"])

    @router.get("/healthz", summary="Is the process alive?")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/readyz", summary="Can it run programs?", responses={503: described("Not now; see detail.")})
    async def readyz() -> dict[str, str]:
        readiness = await health.readiness()
        if not readiness.ready:
            raise Refusal(503, readiness.why, {"Retry-After": "5"})
        return {"status": "ready", "engine": readiness.engine}

    @router.get("/metrics", summary="Prometheus metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        return Response(await health.metrics(), media_type=_PROMETHEUS)

    return router
