"""Where a server of `code_executor` finds the learning loop: its entry point names `mount`."""

from __future__ import annotations

from code_executor.api.mounts import Given, Mounted
from code_executor.core.limits import RequestLimits
from code_executor.grading.issuer import Issuer
from code_executor.service.ports import RUNS, Service
from code_labs.api import learners, reports, submit, teachers, videos, work
from code_labs.api.desk import Desk


def mount(service: Service, bounds: RequestLimits, issuer: Issuer, given: Given) -> Mounted:
    """Return the routes below ``/api/labs/v1``. Nothing is opened before the first request."""
    desk = Desk(service, bounds, issuer, given)
    routers = [module.make_router(desk) for module in (learners, submit, teachers, videos, work, reports)]
    return Mounted(routers, {("POST", path): RUNS for path in (submit.SUBMIT, *work.COUNTED)})
