"""The composition root: the only place that chooses classes and puts the parts together.

`open_executor` opens what runs programs, `open_service` what a front is given besides. What is opened is closed in the
other order, whatever happens. Everyone else is given plain arguments, and knows no settings.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import structlog

from code_executor._version import __version__
from code_executor.accounts.usage import Usage
from code_executor.app import preloads
from code_executor.app.jobs import Desk, run_jobs
from code_executor.app.kept import Kept
from code_executor.app.settings import Settings
from code_executor.core.errors import CodeExecutorError, EngineError
from code_executor.core.limits import Limits
from code_executor.execution.executor import ReservedExecutor
from code_executor.sandbox import doctor, hardening
from code_executor.sandbox.docker import DockerEngine
from code_executor.sandbox.engine import Engine, SharedEngine
from code_executor.sandbox.native import NativeEngine
from code_executor.sandbox.pool import Pool, PoolSize
from code_executor.service.budgets import Budgets, CountedRunner
from code_executor.service.dispatcher import Dispatcher
from code_executor.service.local import LocalHealth, LocalRates
from code_executor.service.looks import Looks
from code_executor.service.metrics import Metrics, ObservedRunner
from code_executor.service.ports import CHECKS, REQUESTS, RUNS, Service
from code_executor.service.ratelimit import RateLimiter
from code_executor.service.sessions import Sessions

log = structlog.get_logger()

_READY_WITHIN = 120.0
_LOCAL_PYTHON = ".sandbox/bin/python"


@dataclass(frozen=True)
class Opened:
    """What `open_executor` yields: what runs programs, and what the examination of its sandboxes found."""

    executor: Dispatcher
    findings: list[doctor.Finding]

    @property
    def pool(self) -> Pool:
        """The pool whose sandboxes have nothing preloaded."""
        return self.executor.pool


@contextlib.asynccontextmanager
async def open_executor(settings: Settings, *, examine: bool = True, reserve: int = 0) -> AsyncIterator[Opened]:
    """Open an executor on a warm pool, having made sure (``examine``) that the required layers hold.

    ``reserve``: sandboxes of each kind that are kept for callers that have none, where there are others.

    Raises ``EngineError`` where no engine works and ``CodeExecutorError`` naming the layers that do not hold.
    """
    engine = await choose_engine(settings)
    size = pool_size(settings, spare=1 + reserve)
    limits = settings.limits()
    async with contextlib.AsyncExitStack() as stack:
        await engine.start()
        stack.push_async_callback(engine.close)
        plain = await stack.enter_async_context(Pool(SharedEngine(engine), size))
        await plain.wait_ready(_READY_WITHIN)
        findings: list[doctor.Finding] = []
        if examine:
            findings = await examine_sandbox(plain, limits)
            require(findings, engine.name, settings)
        pools = [plain]
        kinds = settings.kinds()
        names = preloads.names(kinds)
        for number in range(len(kinds)):  # last, so that importing what is preloaded delays nothing
            modules = tuple(module for kind in kinds[: number + 1] for module in kind)
            kept = size if number == 0 else replace(size, least=min(size.least, 1), spare=0)
            pools.append(await stack.enter_async_context(Pool(SharedEngine(engine, modules), kept, names[number + 1])))
        executor = Dispatcher(
            pools,
            limits,
            most=settings.pool_size,
            looks=Looks(kinds),
            rules=settings.queue_rules(reserve),
            patience=settings.queue_timeout,
            check_time=settings.check_timeout,
        )
        stack.callback(executor.close)
        log.info("ready", engine=engine.name, pool=size.most, python=plain.introduction.get("python"))
        yield Opened(executor, findings)


@contextlib.asynccontextmanager
async def open_service(settings: Settings, desk: Desk | None = None) -> AsyncIterator[Service]:
    """Open the pools, and put the observers, the sessions and the rate limits around their dispatcher.

    ``desk``: of this process; the jobs that are asked for there, and elsewhere, are run. None: no jobs are run.
    """
    async with open_executor(settings, reserve=settings.reserve) as opened:
        metrics = Metrics()
        metrics.tell(__version__, opened.pool.engine.name, opened.executor.limits, opened.executor.most)
        metrics.watch(*opened.executor.pools)
        metrics.watch_queue(opened.executor.queue)
        budgets = Budgets()
        runs = ObservedRunner(CountedRunner(opened.executor, budgets), metrics)
        limiters = {
            RUNS: RateLimiter(settings.rate_limit, budgets),
            CHECKS: RateLimiter(settings.check_rate_limit),
            REQUESTS: RateLimiter(settings.request_rate_limit),
        }
        async with (
            Kept(settings) as kept,
            Usage(budgets, kept.store),
            Sessions(runs, settings.session_limits()) as sessions,
            run_jobs(settings, desk, runs, metrics),
        ):
            metrics.watch_sessions(sessions.book)
            yield Service(runs, sessions, LocalRates(limiters, metrics), LocalHealth(opened.executor.pools, metrics))


async def choose_engine(settings: Settings) -> Engine:
    """Make the engine that is set; ``auto`` takes Docker where an engine answers, else native. It is not started.

    Raises ``EngineError`` where there is none: code never runs outside a sandbox.
    """
    if settings.engine == "docker":
        return _docker(settings)
    if settings.engine == "native":
        return _native(settings)
    docker = _docker(settings)
    try:
        await docker.start()
    except EngineError as error:
        log.warning("no_docker", why=str(error), instead="native")
        return _native(settings)
    await docker.close()
    return docker


def _docker(settings: Settings) -> Engine:
    return DockerEngine(
        settings.image,
        settings.limits(),
        runtime=settings.runtime,
        standard=settings.preload_always,
        policy=hardening.policy_table(settings.load_policy()),
    )


def interpreter(settings: Settings) -> str:
    """Return the path of the Python that programs run on under the native engine."""
    local = os.path.abspath(_LOCAL_PYTHON)
    return settings.python or (local if os.path.exists(local) else sys.executable)


def _native(settings: Settings) -> Engine:
    return NativeEngine(
        settings.limits(),
        python=interpreter(settings),
        standard=settings.preload_always,
        policy=hardening.policy_table(settings.load_policy()),
    )


def pool_size(settings: Settings, spare: int = 1) -> PoolSize:
    """Without reuse every run uses a sandbox up, so all of them are kept warm."""
    return PoolSize(
        least=settings.pool_size if settings.reuse <= 1 else settings.pool_min,
        most=settings.pool_size,
        spare=spare,
        reuse=settings.reuse,
        lifetime=settings.lifetime,
    )


async def examine_sandbox(pool: Pool, limits: Limits) -> list[doctor.Finding]:
    """Examine one sandbox of ``pool``, with both of the probe's runs: that it is reset shows in the second."""
    async with pool.lease() as sandbox:
        return await doctor.examine(ReservedExecutor(sandbox, limits), sandbox.introduction)


def require(findings: list[doctor.Finding], engine: str, settings: Settings) -> None:
    """Raise ``CodeExecutorError`` unless every required layer holds; log the others that do not."""
    lacking = doctor.missing(findings, engine, settings.allow_missing)
    for finding in findings:
        if not finding.held and finding not in lacking:
            log.warning("layer_missing", layer=finding.layer, evidence=finding.evidence)
    if lacking:
        sentences = "; ".join(f"{finding.layer} ({finding.evidence})" for finding in lacking)
        raise CodeExecutorError(
            f"these layers of protection do not hold here: {sentences}. "
            "Run `code-executor doctor` to see all layers. To start without a layer, name it in "
            "CODE_EXECUTOR_ALLOW_MISSING."
        )
