"""What operators and their machines ask: is it alive, can it run programs, and how is it doing."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from code_executor.api.accept import wants_open_metrics
from code_executor.api.problems import Refusal
from code_executor.api.schemas import described
from code_executor.service.ports import Health

_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
_OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


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

    @router.get(
        "/metrics",
        summary="Prometheus metrics",
        response_class=PlainTextResponse,
        responses={200: {"content": {"application/openmetrics-text": {"schema": {"type": "string"}}}}},
    )
    async def metrics(request: Request) -> Response:
        """Tell them in Prometheus' text format, or in OpenMetrics' if you accept that and want it more."""
        exemplars = wants_open_metrics(request.headers.getlist("accept"))
        media_type = _OPEN_METRICS if exemplars else _PROMETHEUS
        return Response(await health.metrics(exemplars=exemplars), media_type=media_type)

    return router
