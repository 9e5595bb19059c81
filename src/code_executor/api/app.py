"""The application: a factory that is given its service. Importing this does nothing."""

from __future__ import annotations

from fastapi_offline import FastAPIOffline
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp

from code_executor.api import errors
from code_executor.api.middleware import BodyLimit, RateLimit
from code_executor.api.routes import RequestLimits, make_router
from code_executor.service import Service

_DESCRIPTION = "Untrusted Python, run in locked-down containers. See the README for limits and what protects you."
_COUNTED = frozenset({("POST", "/api/execute")})


def create_app(service: Service, most: RequestLimits, version: str) -> ASGIApp:
    """Return the ASGI application over ``service``, whose owner keeps it open for as long as the app is served."""
    # "offline": the pages under /docs bring their scripts along instead of loading them from somebody's CDN
    app = FastAPIOffline(
        title="Code Executor", version=version, description=_DESCRIPTION, redoc_url=None, static_url="/docs-assets"
    )
    app.include_router(make_router(service, most))
    errors.install(app)

    @app.get("/", include_in_schema=False)
    async def root() -> RedirectResponse:
        return RedirectResponse("docs")

    return RateLimit(BodyLimit(app, most.body), service, _COUNTED)
