"""The settings of jobs, batches and labs, apart from those in `settings`, which has them too."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from code_executor.app.access import AccessSettings
from code_executor.core.sizes import parse_size
from code_executor.jobs.models import JobRules

_RULES = JobRules()
Size = Annotated[int, BeforeValidator(parse_size)]


class JobSettings(AccessSettings):
    """See each field's description."""

    jobs: int = Field(
        _RULES.queued,
        ge=0,
        le=1_000_000,
        description="Maximum number of jobs that may wait ([jobs](http-api.md#jobs)). `0`: there are no jobs.",
    )
    jobs_per_client: int = Field(
        _RULES.queued_per_caller,
        ge=1,
        le=1_000_000,
        description="Maximum number of jobs of one client that may wait; then the answer is 429.",
    )
    jobs_at_once: int = Field(
        0,
        ge=0,
        le=10_000,
        description="Maximum number of jobs that this server takes out of the queue at once. `0`: 8 per sandbox, and "
        "16.",
    )
    jobs_size: Size = Field(
        _RULES.size,
        ge=1 << 20,
        description="Size limit of the requests and results of all jobs that are kept, compressed; then the answer is "
        "503.",
    )
    job_results: float = Field(
        _RULES.results,
        ge=60,
        le=31_536_000,
        description="Longest time in seconds that the result of a job is kept.",
    )
    job_requests: float = Field(
        _RULES.requests,
        ge=0,
        le=31_536_000,
        description="Longest time in seconds that the program of a job is kept after its end.",
    )
    max_batch: Size = Field(
        32 << 20, ge=1 << 10, le=1 << 30, description="Size limit of the body of a request at `/api/batches`."
    )

    labs: bool = Field(
        False,
        description="Whether there are courses with videos and labs ([labs](labs.md#over-http)). Needs "
        "`pip install 'code-executor[labs]'` and the database.",
    )
    labs_retention: float = Field(
        365.0,
        ge=1,
        le=36_500,
        allow_inf_nan=False,
        description="Days for which programs that learners handed in, and what pages told of them, are kept. How "
        "learners stand with labs is kept until it is erased.",
    )

    def job_rules(self) -> JobRules:
        return JobRules(self.jobs, self.jobs_per_client, self.jobs_size, self.job_results, self.job_requests)
