"""What teachers may know of learners (scope ``teach``), as JSON or CSV."""

from __future__ import annotations

import csv
import io
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from code_executor.api.answers import object_answer
from code_labs.api.desk import ANSWERS, Desk, LabsRoute
from code_labs.api.schemas import Course
from code_labs.api.teachers import TEACH
from code_labs.progress.analytics import Rows

Which = Annotated[
    Literal["attention", "labs", "errors", "segments", "pace"], Path(description="What is asked.", alias="which")
]
Format = Annotated[Literal["json", "csv"], Query(alias="format")]

COLUMNS: dict[str, tuple[str, ...]] = {
    "attention": ("learner", "lab", "why", "since"),
    "labs": (
        "lab", "title", "opened", "ran", "submitted", "passed", "attempts", "minutes", "lastHint", "left",
    ),
    "errors": ("lab", "error", "test", "count", "programs"),
    "segments": ("video", "start", "end", "clicks", "passedAfter"),
    "pace": ("day", "passed", "active"),
}  # fmt: skip

_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a cell begins with that programs for tables take for a formula, also in their wide forms."""


def make_router(desk: Desk) -> APIRouter:
    """Return the routes over ``desk``."""
    router = APIRouter(tags=["labs for teachers"], prefix=TEACH, route_class=LabsRoute)

    @router.get(
        "/courses/{course}/analytics/{which}",
        summary="Say how learners stand",
        responses={200: {"content": {"text/csv": {}}}, **ANSWERS},
    )
    async def analytics(request: Request, course: Course, which: Which, kind: Format = "json") -> Response:
        """Say who needs a teacher (`attention`), where learners are lost (`labs`), why (`errors`), which explanations
        are looked up (`segments`), and how it goes (`pace`). Shares are null where they are of fewer than 5 learners.
        """
        labs, found = await desk.course(request, course)
        rows: Rows = await getattr(labs.analytics, which)(found)
        if kind == "csv":
            headers = {"Content-Disposition": f'attachment; filename="{found.name}-{which}.csv"'}
            return Response(written(rows, COLUMNS[which]), media_type="text/csv; charset=utf-8", headers=headers)
        return object_answer({"rows": rows}, sum(len(str(row)) for row in rows))

    return router


def written(rows: Rows, columns: tuple[str, ...]) -> str:
    """Return rows as CSV (RFC 4180). Text that would be a formula has an apostrophe before it."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_cell(row[name]) for name in columns] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> str | float:
    if isinstance(value, bool | int | float):
        return value
    text = "" if value is None else "\n\n".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"'{text}" if text.startswith(_FORMULAS) else text
