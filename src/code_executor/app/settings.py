"""The settings: one frozen object, read once, by whoever starts a process (`cli`, `library`), from the environment.

A wrong value is a `ConfigurationError` at start that names the variable. `docs/settings.md` is written from it. The
processes that a server starts get the whole object as JSON (`Settings.resolved`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from code_executor.app import policies, preloads, variables
from code_executor.app.hooksettings import HookSettings
from code_executor.app.jobsettings import JobSettings, Size
from code_executor.core.errors import ConfigurationError
from code_executor.core.limits import Limits, RequestLimits, SendLimits, SessionLimits
from code_executor.core.proxies import parse_proxy
from code_executor.core.sizes import parse_size
from code_executor.service.fairqueue import Rules
from code_executor.service.ratelimit import parse_rate

__all__ = ["PREFIX", "Settings", "parse_size"]

PREFIX = "CODE_EXECUTOR_"

# the defaults
_LIMITS, _SESSIONS, _REQUESTS, _SENDING = Limits(), SessionLimits(), RequestLimits(), SendLimits()
_RULES = Rules()

_HOST_PATTERN = re.compile(r"\*|(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?|\[?[0-9A-Fa-f:.]+\]?")


def _checked_rate(value: str) -> str:
    try:
        parse_rate(value)
    except ConfigurationError as error:
        raise ValueError(str(error)) from None
    return value


def _checked_proxies(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        try:
            parse_proxy(value)
        except ValueError:
            raise ValueError(f"not an address or network: {value!r} (as 10.0.0.0/8, ::1, or *)") from None
    return values


def _checked_hosts(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not _HOST_PATTERN.fullmatch(value):
            raise ValueError(f"not a host: {value!r} (as code.example.org, *.example.org, or *; no scheme, no port)")
    return values


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(preloads.parse_list)]
Kinds = Annotated[tuple[tuple[str, ...], ...], NoDecode, BeforeValidator(preloads.parse_kinds)]
Proxies = Annotated[Names, AfterValidator(_checked_proxies)]
Hosts = Annotated[Names, AfterValidator(_checked_hosts)]
Variables = Annotated[Names, AfterValidator(variables.checked)]
Policies = Annotated[Names, AfterValidator(policies.checked)]
Rate = Annotated[str, AfterValidator(_checked_rate)]


def _cores() -> int:
    return len(os.sched_getaffinity(0))


class Settings(JobSettings, HookSettings):
    """See each field's description. Sizes take k, m and g; lists are separated by commas."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True)

    engine: Literal["auto", "docker", "native"] = Field(
        "auto",
        description="What makes sandboxes: `docker`, `native` (bubblewrap), or `auto` (Docker if an engine answers, "
        "else native).",
    )
    image: str = Field("code-executor:latest", min_length=1, description="The image of a sandbox (Docker only).")
    runtime: str = Field(
        "",
        description="The OCI runtime for containers, as the Docker engine names it; `runsc` is gVisor.",
    )
    python: str = Field(
        "",
        description="The interpreter that programs run on (native only). Empty: `.sandbox/bin/python` if it exists, "
        "else the server's.",
    )
    environments: str = Field(
        "",
        description="The path of a TOML file with more interpreters and libraries that requests may choose "
        "(docs/environments.md). Empty: there is the default alone.",
    )
    preload: Kinds = Field(
        preloads.KINDS,
        description="Modules to import, and to use once, before programs arrive, in sandboxes for programs that name "
        "them. A semicolon parts kinds of sandboxes; each has the modules of those before it too. Empty: plain ones "
        "alone.",
    )
    preload_always: Names = Field(
        preloads.STANDARD,
        description="Modules to import before programs arrive, in every sandbox. A program that imports one has it at "
        "once. Empty: none.",
    )

    host: str = Field("127.0.0.1", description="The address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="The port to listen on. The variable `PORT` works too.")
    workers: int = Field(
        1, ge=1, le=64, description="Number of processes that answer HTTP. They share the pool and the rate limit."
    )
    trusted_proxies: Proxies = Field(
        (), description="Addresses or networks of proxies whose `X-Forwarded-For` the server trusts. `*`: everyone."
    )
    allowed_hosts: Hosts = Field(
        (),
        description="Names that clients may call this server by (the header `Host`): `code.example.org`, or "
        "`*.example.org` for all below. `localhost`, the address in `CODE_EXECUTOR_HOST` and the hosts of "
        "`CODE_EXECUTOR_ALLOWED_ORIGINS` are allowed anyway; on `0.0.0.0` and `::`, so is every address. `*`: every "
        "host.",
    )
    connections: int = Field(
        4096,
        ge=1,
        le=60_000,
        description="Maximum number of open connections of a process that answers HTTP. Fewer, if the limit of open "
        "files leaves no room for more beside the pool.",
    )
    connections_per_client: int = Field(
        256,
        ge=1,
        le=60_000,
        description="Maximum number of open connections per client and process. A quarter of all at most. "
        "Trusted proxies have no such limit.",
    )

    rate_limit: Rate = Field(
        "10/minute", description="Maximum rate of runs per client: `10/minute`, `100/hour`, or `off`."
    )
    check_rate_limit: Rate = Field(
        "120/minute",
        description="Maximum rate of checks (`/api/check`) per client. Checks are counted separately from runs.",
    )
    request_rate_limit: Rate = Field(
        "1200/minute",
        description="Maximum rate of all other requests under `/api/` per client, such as input for a session or its "
        "files. They are counted separately.",
    )
    allowed_origins: Names = Field(
        (), description="Origins (`https://…`) whose pages may call this service from a browser. `*`: every page."
    )
    policy: str = Field("strict", description="The check of the source: `strict`, `off`, or the path of a TOML file.")
    policies: Policies = Field(
        (),
        description="Further policies, one of which a request may choose (`policy`): `strict`, `off`, or a name and "
        "the path of a TOML file, as `week3=/etc/code-executor/week3.toml`.",
    )

    pool_size: int = Field(
        default_factory=lambda: 2 * _cores(),
        ge=1,
        le=10_000,
        description="Maximum number of programs that run at once, in sandboxes of all kinds together.",
    )
    pool_min: int = Field(
        default_factory=_cores,
        ge=0,
        description="Number of plain sandboxes, and of those of the first kind in `CODE_EXECUTOR_PRELOAD`, that are "
        "always kept warm. Of each further kind it is one.",
    )
    trusted_pool_size: int = Field(
        0,
        ge=0,
        le=10_000,
        description="Maximum number of sandboxes, beside those, for checkers and unit tests of suites, which are made "
        "when somebody grades with such tests. `0`: half of `CODE_EXECUTOR_POOL_SIZE`.",
    )
    queue_size: int = Field(
        _RULES.waiting, ge=0, description="Maximum number of executions that may wait for a sandbox."
    )
    queue_per_client: int = Field(
        _RULES.places,
        ge=1,
        description="Maximum number of executions of one client that may wait, half of them checks; then the answer is "
        "429.",
    )
    runs_per_client: int = Field(
        _RULES.running,
        ge=0,
        description="Maximum number of sandboxes that run programs of one client at once. `0`: no limit but the next "
        "two.",
    )
    client_share: float = Field(
        _RULES.share,
        gt=0,
        le=1,
        description="Largest part of all sandboxes that one client gets while others wait for them.",
    )
    reserve: int = Field(
        _RULES.reserve,
        ge=0,
        description="Number of free sandboxes that are kept for clients that have none, and of ready ones of each kind "
        "that keeps several ready. The only one is never kept.",
    )
    queue_timeout: float = Field(
        30.0,
        gt=0,
        allow_inf_nan=False,
        description="Longest time in seconds that an execution waits for a sandbox; then the answer is 503.",
    )
    reuse: int = Field(
        10_000,
        ge=0,
        description="Maximum number of runs per sandbox, each after a proved reset. A sandbox may be replaced up to a "
        "quarter earlier, so that not all are replaced at once. `0`: a fresh sandbox for every run.",
    )
    lifetime: float = Field(
        3600.0, gt=0, description="Age in seconds at which a sandbox is replaced, or up to a quarter earlier."
    )

    memory: Size = Field(_LIMITS.memory, ge=64 << 20, description="Memory limit of a sandbox.")
    cpus: float = Field(_LIMITS.cpus, gt=0, le=256, description="Processor cores that a sandbox may use.")
    cpu_period: float = Field(
        _LIMITS.cpu_period,
        ge=0.1,
        le=1,
        description="Seconds after which a sandbox that has used up its processor time gets more. A program can use "
        "that much at once, and a timeout can be late by it. A shorter one makes streams smoother and plots slower.",
    )
    max_processes: int = Field(
        _LIMITS.processes,
        ge=1,
        le=1000,
        description="Number of processes or threads that a program can use at once beside its first one. "
        "With the helpers of libraries, the most is 3 times as many, and 7.",
    )
    disk: Size = Field(
        _LIMITS.disk, ge=1 << 20, description="Size limit of the files of a program. They are kept in memory."
    )
    max_files: int = Field(_LIMITS.files, ge=64, description="Maximum number of files and directories of a program.")
    max_output: Size = Field(_LIMITS.output, ge=1, le=1 << 30, description="Size limit of stdout and stderr together.")
    max_timeout: float = Field(
        _LIMITS.wall_time,
        gt=0,
        le=3600,
        description="Longest run time in seconds; the default if a request has no `timeout`.",
    )
    max_cpu_time: float = Field(
        _LIMITS.cpu_time, ge=1, le=3600, description="Longest processor time of a run, in seconds."
    )
    check_timeout: float = Field(
        _REQUESTS.check,
        ge=0.1,
        le=60,
        description="Longest time of a check (`/api/check`) in seconds, by the clock and of the processor.",
    )
    input_timeout: float = Field(
        _LIMITS.input_time,
        ge=1,
        le=86400,
        description="Longest time in seconds that an interactive run may wait for input, in total.",
    )
    sessions: int = Field(
        _SESSIONS.open,
        ge=0,
        le=10_000,
        description="Maximum number of open sessions. `0`: no sessions. One sandbox is always left for other runs.",
    )
    sessions_per_client: int = Field(
        _SESSIONS.open_per_caller, ge=1, le=10_000, description="Maximum number of open sessions per client."
    )
    session_list: bool = Field(
        _SESSIONS.listed,
        description="Whether clients may list their sessions, with their ids. Switch it off where clients that do not "
        "trust each other have one address.",
    )
    session_idle: float = Field(
        _SESSIONS.idle, gt=0, le=86400, description="Time in seconds without a running cell after which a session ends."
    )
    session_lifetime: float = Field(
        _SESSIONS.age, gt=0, le=604800, description="Longest life of a session, in seconds."
    )
    session_cpu_time: float = Field(
        _LIMITS.session_cpu_time,
        ge=1,
        le=604800,
        description="Longest processor time of all cells of a session together, in seconds.",
    )
    max_attachments: Size = Field(
        _LIMITS.attachments,
        ge=0,
        le=256 << 20,
        description="Size limit, each, for files sent in, pictures shown and files returned.",
    )
    max_code: Size = Field(_REQUESTS.code, ge=1, le=64 << 20, description="Size limit of the source.")
    max_stdin: Size = Field(_REQUESTS.stdin, ge=0, le=64 << 20, description="Size limit of stdin.")
    env: Variables = Field(
        (),
        description="Variables that a request may set in the environment of its program (`env`): names, or globs such "
        "as `COURSE_*`. What the sandbox needs, such as `PATH` and `PYTHON*`, can never be set.",
    )
    body_timeout: float = Field(
        _REQUESTS.arrival, gt=0, le=3600, description="Longest time in seconds in which a request must arrive."
    )
    send_timeout: float = Field(
        _SENDING.stall,
        gt=0,
        le=3600,
        description="Longest time in seconds in which a client takes no byte of its answer. Then its connection is "
        "closed.",
    )
    send_rate: Size = Field(
        _SENDING.rate,
        ge=1,
        description="Lowest rate, in bytes per second on the whole, at which a client may take its answer.",
    )
    max_owed: Size = Field(
        _SENDING.owed,
        ge=0,
        description="Bytes of answers that the server holds for clients that have not read them. Above it, the slowest "
        "connections are closed. At least one answer of the largest size fits into it, for each of `WORKERS`.",
    )
    max_owed_per_client: Size = Field(
        _SENDING.owed_per_caller,
        ge=0,
        description="The same for one client. At least one answer of the largest size fits.",
    )

    allow_missing: Names = Field(
        (), description="Protection layers the server may start without (see `code-executor doctor`)."
    )
    log_format: Literal["json", "console"] = Field("json", description="Format of log lines: JSON, or for people.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest level of log lines that are written."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.pool_min > self.pool_size:
            raise ValueError(
                f"{PREFIX}POOL_MIN ({self.pool_min}) must not be more than {PREFIX}POOL_SIZE ({self.pool_size})"
            )
        return self

    @classmethod
    def load(cls, **given: Any) -> Settings:
        """Read the environment; ``given`` values (the command line's) win. Raises ``ConfigurationError``."""
        values = {name: value for name, value in given.items() if value is not None}
        if "port" not in values and os.environ.get("PORT") and not os.environ.get(f"{PREFIX}PORT"):
            values["port"] = os.environ["PORT"]
        size = str(values.get("pool_size") or os.environ.get(f"{PREFIX}POOL_SIZE"))
        if size.isdigit() and "pool_min" not in values and not os.environ.get(f"{PREFIX}POOL_MIN"):
            values["pool_min"] = min(int(size), _cores())  # a small pool needs no second variable
        if os.environ.get(f"{PREFIX}PRELOAD") == "":  # an empty variable counts as not set, but here it says something
            values.setdefault("preload", ())
        if os.environ.get(f"{PREFIX}PRELOAD_ALWAYS") == "":  # likewise
            values.setdefault("preload_always", ())
        unknown = {name for name in os.environ if name.startswith(PREFIX)} - {
            PREFIX + name.upper() for name in cls.model_fields
        }
        if unknown:
            raise ConfigurationError(f"unknown setting {min(unknown)} (see docs/settings.md)")
        try:
            return cls(**values)
        except ValidationError as error:
            raise ConfigurationError("\n".join(_explain(problem) for problem in error.errors())) from None

    @classmethod
    def resolved(cls, values: dict[str, Any]) -> Settings:
        """Make them again from what ``model_dump`` returned. All are given, so that the environment has no say."""
        return cls(**values)

    def kinds(self) -> tuple[tuple[str, ...], ...]:
        """Return what each kind of sandbox has beyond those before it, from the second on.

        A sandbox that serves one program is not worth more than a second of imports.
        """
        return self.preload[:1] if self.reuse <= 1 else self.preload

    def limits(self) -> Limits:
        return Limits(
            memory=self.memory,
            cpus=self.cpus,
            cpu_period=self.cpu_period,
            processes=self.max_processes,
            disk=self.disk,
            files=self.max_files,
            output=self.max_output,
            wall_time=self.max_timeout,
            cpu_time=self.max_cpu_time,
            input_time=self.input_timeout,
            attachments=self.max_attachments,
            session_cpu_time=self.session_cpu_time,
        )

    def queue_rules(self, reserve: int) -> Rules:
        return Rules(
            waiting=self.queue_size,
            places=self.queue_per_client,
            running=self.runs_per_client,
            share=self.client_share,
            reserve=reserve,
        )

    def session_limits(self) -> SessionLimits:
        return SessionLimits(
            open=min(self.sessions, self.pool_size - 1),
            open_per_caller=self.sessions_per_client,
            idle=self.session_idle,
            age=self.session_lifetime,
            input=self.max_stdin,
            listed=self.session_list,
        )

    def request_limits(self) -> RequestLimits:
        return RequestLimits(
            self.max_code,
            self.max_stdin,
            self.max_attachments,
            self.body_timeout,
            self.check_timeout,
            self.env,
            batch=self.max_batch,
        )

    def send_limits(self) -> SendLimits:
        """Return the limits of one of the processes that answer."""
        return SendLimits.for_runs(
            self.limits(), self.max_owed // self.workers, self.max_owed_per_client, self.send_timeout, self.send_rate
        )

    @property
    def offered_policies(self) -> tuple[str, ...]:
        """The names of those that a request may choose."""
        return policies.offered(self.policy, self.policies)

    def policy_tables(self) -> Mapping[str, Mapping[str, Any]]:
        """Return all policies, as `policies.tables` does; raise ``ConfigurationError`` for a file that is not one."""
        return policies.tables(self.policy, self.policies)


def _explain(problem: Any) -> str:
    name = "".join(f"{PREFIX}{part.upper()}: " for part in problem["loc"][:1])
    message = problem["msg"].removeprefix("Value error, ")
    return f"{name}{message}" + (f" (it is {problem['input']!r})" if problem["loc"] else "")
