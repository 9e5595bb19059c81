"""The composition root: the only place that chooses classes and puts the parts together.

`open_executor` opens what runs programs, `open_service` what a front is given besides. What is opened is closed in the
other order, whatever happens. Everyone else is given plain arguments, and knows no settings.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import structlog

from code_executor._version import __version__
from code_executor.accounts.usage import Usage
from code_executor.app import telemetry
from code_executor.app.environments import EnvironmentSettings, alone, load, require_room
from code_executor.app.jobs import Desk, run_jobs
from code_executor.app.settings import Settings
from code_executor.core.environments import Contents
from code_executor.core.errors import CodeExecutorError, ConfigurationError, EngineError
from code_executor.core.limits import Limits
from code_executor.execution.executor import ReservedExecutor
from code_executor.grading.issuer import Issuer
from code_executor.sandbox import contents as contents_of
from code_executor.sandbox import doctor, hardening
from code_executor.sandbox.book import PoolSize
from code_executor.sandbox.docker import DockerEngine
from code_executor.sandbox.engine import Engine, SharedEngine
from code_executor.sandbox.native import NativeEngine
from code_executor.sandbox.pool import Pool
from code_executor.service.budgets import Budgets, CountedRunner
from code_executor.service.dispatcher import Dispatcher
from code_executor.service.environments import Described, Environments
from code_executor.service.kinds import Kinds
from code_executor.service.local import LocalHealth, LocalRates
from code_executor.service.looks import Looks
from code_executor.service.metrics import Metrics, ObservedRunner
from code_executor.service.ports import CHECKS, REQUESTS, RUNS, Service
from code_executor.service.ratelimit import RateLimiter
from code_executor.service.sessions import Sessions

log = structlog.get_logger()

_READY_WITHIN = 120.0


@dataclass(frozen=True)
class Opened:
    """What `open_executor` yields: what runs programs, and what the examination of its sandboxes found.

    ``environments``: what the operator says of each, the default first; ``contents``: of some, what is in it.
    """

    executor: Dispatcher
    findings: list[doctor.Finding]
    environments: Sequence[EnvironmentSettings] = ()
    contents: Mapping[str, Contents] = field(default_factory=dict)

    @property
    def pool(self) -> Pool:
        """The pool whose sandboxes have nothing preloaded."""
        return self.executor.pool


@contextlib.asynccontextmanager
async def open_executor(
    settings: Settings, *, examine: bool = True, reserve: int = 0, environment: str | None = None
) -> AsyncIterator[Opened]:
    """Open an executor on a warm pool, having made sure (``examine``) that the required layers hold.

    ``reserve``: sandboxes of each kind that are kept for callers that have none, where there are others.
    ``environment``: the only one that is wanted, if one is; empty: the default.

    Raises ``EngineError`` where no engine works and ``CodeExecutorError`` naming the layers that do not hold.
    """
    environments = load(settings)
    if environment is None:
        require_room(environments, settings)
    else:
        environments = (alone(environments, environment, settings),)
    default, *others = environments
    uids = hardening.Uids()
    engine = await choose_engine(settings, default, uids)
    size = replace(pool_size(settings, spare=1 + reserve), **_least(settings, default))
    limits = settings.limits()
    async with contextlib.AsyncExitStack() as stack:
        await engine.start()
        stack.push_async_callback(engine.close)
        plain = await stack.enter_async_context(Pool(SharedEngine(engine), size, environment=default.name))
        await plain.wait_ready(_READY_WITHIN)
        findings: list[doctor.Finding] = []
        if examine:
            findings = await examine_sandbox(plain, limits)
            require(findings, engine.name, settings)
        # last, so that importing what is preloaded delays nothing
        pools = [plain, *await _open_further(stack, engine, default, size)]
        trusted = [await _open_trusted(stack, settings, engine, default)]
        contents: dict[str, Contents] = {}
        kinds = []
        for each in others:
            another = await _open_another(stack, settings, each, engine.name, uids)
            kinds.append(another.kinds)
            trusted.append(another.trusted)
            contents[each.name] = another.contents
        executor = Dispatcher(
            pools,
            limits,
            most=settings.pool_size,
            looks=Looks(default.further),
            name=default.name,
            others=kinds,
            rules=settings.queue_rules(reserve),
            patience=settings.queue_timeout,
            check_time=settings.check_timeout,
            trusted=_trusting(trusted, settings),
            policies=settings.offered_policies,
        )
        stack.callback(executor.close)
        log.info("ready", engine=engine.name, pool=size.most, python=plain.introduction.get("python"))
        yield Opened(executor, findings, environments, contents)


def _least(settings: Settings, environment: EnvironmentSettings) -> dict[str, int]:
    return {} if settings.reuse <= 1 else {"least": environment.minimum}


async def _open_further(
    stack: contextlib.AsyncExitStack, engine: Engine, environment: EnvironmentSettings, size: PoolSize
) -> list[Pool]:
    """Open the pools of the kinds after the plain one; of the first, as many sandboxes are kept."""
    pools = []
    kinds = environment.kinds
    for number in range(1, len(kinds)):
        modules = tuple(module for _, kind in kinds[: number + 1] for module in kind)
        kept = size if number == 1 else replace(size, least=min(size.least, 1), spare=0)
        pool = Pool(SharedEngine(engine, modules), kept, kinds[number][0], environment.name)
        pools.append(await stack.enter_async_context(pool))
    return pools


async def _open_trusted(
    stack: contextlib.AsyncExitStack, settings: Settings, engine: Engine, environment: EnvironmentSettings
) -> Kinds:
    """Open the pool for what graders trust, of one environment: there is none until somebody asks for one."""
    modules = (*environment.kinds[min(1, len(environment.kinds) - 1)][1], "pytest")
    size = PoolSize(0, _trusted_size(settings), 0, settings.reuse, settings.lifetime)
    pool = Pool(SharedEngine(engine, modules), size, "trusted", environment.name)
    return Kinds([await stack.enter_async_context(pool)], name=environment.name, on_demand=True)


def _trusted_size(settings: Settings) -> int:
    return settings.trusted_pool_size or max(1, settings.pool_size // 2)


def _trusting(trusted: Sequence[Kinds], settings: Settings) -> Dispatcher:
    """Return what runs what graders trust. All such sandboxes are of one use: none is kept from anybody."""
    default, *others = trusted
    return Dispatcher(
        default.pools,
        settings.limits(),
        most=_trusted_size(settings),
        name=default.name,
        others=others,
        rules=settings.queue_rules(0),
        patience=settings.queue_timeout,
        owned=True,
    )


class _Another(NamedTuple):
    kinds: Kinds
    trusted: Kinds
    contents: Contents


async def _open_another(
    stack: contextlib.AsyncExitStack,
    settings: Settings,
    environment: EnvironmentSettings,
    engine_name: str,
    uids: hardening.Uids,
) -> _Another:
    """Open the pools of an environment beside the default, having made sure that the required layers hold there too.

    Raises ``CodeExecutorError``, which names it.
    """
    least = environment.minimum
    try:
        engine = make_engine(settings, environment, engine_name, uids)
        await engine.start()
        stack.push_async_callback(engine.close)
        findings, contents = await visit(engine, settings.limits())
        require(findings, engine_name, settings)
    except CodeExecutorError as error:
        raise EngineError(f"environment {environment.name}: {error}") from None
    size = PoolSize(least, settings.pool_size, 0, settings.reuse, settings.lifetime)
    plain = await stack.enter_async_context(Pool(SharedEngine(engine), size, environment=environment.name))
    further = await _open_further(stack, engine, environment, replace(size, least=min(least, 1)))
    log.info("environment", name=environment.name, python=contents.python, digest=contents.digest)
    kinds = Kinds([plain, *further], Looks(environment.further), name=environment.name, on_demand=not least)
    return _Another(kinds, await _open_trusted(stack, settings, engine, environment), contents)


@contextlib.asynccontextmanager
async def open_service(settings: Settings, desk: Desk) -> AsyncIterator[Service]:
    """Open the pools, and put the observers, the sessions and the rate limits around their dispatcher.

    ``desk``: of this process; the jobs that are asked for there, and elsewhere, are run.
    """
    async with open_executor(settings, reserve=settings.reserve) as opened:
        exemplar = desk.observer.exemplar if desk.observer is not None and telemetry.has_traces() else None
        metrics = Metrics(by_environment=bool(settings.environments), exemplar=exemplar)
        metrics.tell(__version__, opened.pool.engine.name, opened.executor.limits, opened.executor.most)
        metrics.watch(*opened.executor.all_pools)
        metrics.watch_queue(opened.executor.queue)
        budgets = Budgets()
        runs = ObservedRunner(CountedRunner(opened.executor, budgets), metrics)
        limiters = {
            RUNS: RateLimiter(settings.rate_limit, budgets),
            CHECKS: RateLimiter(settings.check_rate_limit),
            REQUESTS: RateLimiter(settings.request_rate_limit),
        }
        health = LocalHealth(opened.executor.default_pools, metrics)
        environments = desk_of(opened)
        issuer = Issuer(desk.receipt_keys, environments, health, runs.limits)
        async with (
            Usage(budgets, desk.kept.store),
            Sessions(runs, settings.session_limits()) as sessions,
            run_jobs(settings, desk, runs, metrics, issuer),
        ):
            metrics.watch_sessions(sessions.book)
            yield Service(runs, sessions, LocalRates(limiters, metrics), health, environments)


def desk_of(opened: Opened) -> Environments:
    """Return what lists the environments."""
    described = [Described(each.name, each.kinds, each.description) for each in opened.environments]
    return Environments(opened.executor, described, opened.contents)


async def choose_engine(
    settings: Settings, environment: EnvironmentSettings | None = None, uids: hardening.Uids | None = None
) -> Engine:
    """Make the engine that is set; ``auto`` takes Docker where an engine answers, else native. It is not started.

    ``environment``: what its sandboxes are made of; None: the default. Raises ``EngineError`` where there is none: code
    never runs outside a sandbox.
    """
    default = load(settings)[0] if environment is None else environment
    if settings.engine != "auto":
        return make_engine(settings, default, settings.engine, uids)
    docker = make_engine(settings, default, "docker", uids)
    try:
        await docker.start()
    except EngineError as error:
        log.warning("no_docker", why=str(error), instead="native")
        return make_engine(settings, default, "native", uids)
    await docker.close()
    return docker


def make_engine(
    settings: Settings, environment: EnvironmentSettings, name: str, uids: hardening.Uids | None = None
) -> Engine:
    """Make the engine of this name for the sandboxes of an environment; raise ``ConfigurationError``."""
    limits, policies = settings.limits(), settings.policy_tables()
    if name == "docker":
        if not (environment.image or environment.interpreter):
            raise ConfigurationError("it has no image, which the Docker engine needs")
        return DockerEngine(
            environment.image or settings.image,
            limits,
            runtime=settings.runtime,
            interpreter=environment.interpreter or hardening.INTERPRETER,
            uids=uids,
            standard=settings.preload_always,
            policies=policies,
        )
    if not environment.python:
        raise ConfigurationError("it has no python, which the native engine needs")
    python = environment.python
    return NativeEngine(limits, python=python, uids=uids, standard=settings.preload_always, policies=policies)


def pool_size(settings: Settings, spare: int = 1) -> PoolSize:
    """Without reuse every run uses a sandbox up, so all of them are kept warm."""
    return PoolSize(
        least=settings.pool_size if settings.reuse <= 1 else settings.pool_min,
        most=settings.pool_size,
        spare=spare,
        reuse=settings.reuse,
        lifetime=settings.lifetime,
    )


async def visit(engine: Engine, limits: Limits) -> tuple[list[doctor.Finding], Contents]:
    """Examine a sandbox that is made for that alone, and ask what is in it; raise ``CodeExecutorError``."""
    sandbox = await engine.create(preload=())
    try:
        runner = ReservedExecutor(sandbox, limits)
        findings = await doctor.examine(runner, sandbox.introduction)
        return findings, await contents_of.read(runner)
    finally:
        await sandbox.destroy()


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
