"""Puts the parts together: the only place that chooses classes, and one of two that read settings."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import structlog

from code_executor import doctor
from code_executor.errors import CodeExecutorError, EngineError
from code_executor.executor import Executor
from code_executor.models import Limits
from code_executor.sandbox import hardening
from code_executor.sandbox.base import Engine, SharedEngine
from code_executor.sandbox.docker import DockerEngine
from code_executor.sandbox.native import NativeEngine
from code_executor.sandbox.pool import Pool, PoolSize, Reserved
from code_executor.settings import Settings

log = structlog.get_logger()

_READY_WITHIN = 120.0
_BUILT_ON_NUMPY = ("matplotlib", "scipy", "seaborn", "sklearn", "statsmodels", "networkx", "skimage")
_LOCAL_PYTHON = ".sandbox/bin/python"


def configure_logging(settings: Settings) -> None:
    """Log lines go to stderr: JSON for machines, or for people. Never a program's code or output."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, settings.log_level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


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
        preload=settings.preload,
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
        preload=settings.preload,
        policy=hardening.policy_table(settings.load_policy()),
    )


def pool_size(settings: Settings) -> PoolSize:
    """Without reuse every run uses a sandbox up, so all of them are kept warm."""
    return PoolSize(
        least=settings.pool_size if settings.reuse <= 1 else settings.pool_min,
        most=settings.pool_size,
        waiting=settings.queue_size,
        patience=settings.queue_timeout,
        reuse=settings.reuse,
        lifetime=settings.lifetime,
    )


@dataclass(frozen=True)
class Opened:
    """What `open_executor` yields."""

    executor: Executor
    findings: list[doctor.Finding]

    @property
    def pool(self) -> Pool:
        """The pool whose sandboxes have nothing preloaded."""
        return self.executor.pool


@contextlib.asynccontextmanager
async def open_executor(
    settings: Settings, *, examine: bool = True, kind: type[Executor] = Executor
) -> AsyncIterator[Opened]:
    """Open an executor on a warm pool, having made sure (``examine``) that the required layers hold.

    ``kind``: the class to make it of.
    Raises ``EngineError`` where no engine works and ``CodeExecutorError`` naming the layers that do not hold.
    """
    engine = await choose_engine(settings)
    size = pool_size(settings)
    async with contextlib.AsyncExitStack() as stack:
        await engine.start()
        stack.push_async_callback(engine.close)
        plain = await stack.enter_async_context(Pool(SharedEngine(engine, preload=False), size))
        await plain.wait_ready(_READY_WITHIN)
        findings: list[doctor.Finding] = []
        if examine:
            findings = await examine_sandbox(plain, settings.limits())
            require(findings, engine.name, settings)
        pools = [plain]
        if settings.preload:  # last, so that importing what is preloaded delays nothing
            pools.append(await stack.enter_async_context(Pool(SharedEngine(engine, preload=True), size)))
        executor = kind(pools, settings.limits(), preloaded={*settings.preload, *_BUILT_ON_NUMPY})
        log.info("ready", engine=engine.name, pool=size.most, python=plain.introduction.get("python"))
        yield Opened(executor, findings)


async def examine_sandbox(pool: Pool, limits: Limits) -> list[doctor.Finding]:
    """Examine one sandbox of ``pool``, with both of the probe's runs: that it is reset shows in the second."""
    async with pool.lease() as sandbox:
        return await doctor.examine(Executor([Reserved(pool, sandbox)], limits), sandbox.introduction)


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
            "See `code-executor doctor`; CODE_EXECUTOR_ALLOW_MISSING accepts a layer's absence."
        )
