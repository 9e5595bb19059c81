"""``/api/environments``: which interpreters and libraries a request can choose."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from code_executor.api.answers import Json
from code_executor.api.identity import caller_of
from code_executor.api.schemas import PROBLEMS
from code_executor.service.ports import EnvironmentDesk

PATH = "/api/environments"

_PROBLEMS: dict[int | str, dict[str, Any]] = {code: PROBLEMS[code] for code in (429, 500, 503)}


class KindOut(BaseModel):
    """A kind of sandboxes."""

    name: str
    preload: list[str] = Field(description="Modules that it has imported, beyond those of the kinds before it.")


class EnvironmentOut(BaseModel):
    """An interpreter with its libraries."""

    name: str = Field(description="What a request calls it: `environment`.")
    python: str = Field(description="The version of the interpreter.")
    packages: dict[str, str] = Field(description="Names and versions of what is installed.")
    kinds: list[KindOut]
    digest: str = Field(
        description="A hash of the interpreter, the packages and what runs programs: it changes exactly if they do."
    )
    default: bool = Field(description="Whether requests get it that name no other.")
    description: str


def make_router(environments: EnvironmentDesk) -> APIRouter:
    """Return the route over ``environments``."""
    router = APIRouter(tags=["execute"])

    @router.get(PATH, summary="List the environments", response_model=list[EnvironmentOut], responses=_PROBLEMS)
    async def environments_of_caller(request: Request) -> Response:
        """Say which environments a request may name, the default first, and what is installed in each.

        It is asked of each environment once, inside a sandbox. A key that may use only some sees only those.
        """
        found = await environments.list(caller_of(request.scope))
        return Json([each.as_object() for each in found])

    return router
