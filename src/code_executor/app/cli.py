"""The command line: serve, run, check, doctor, status, cost; and what `administration` has."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from code_executor._version import __version__
from code_executor.app import administration, gradecommand, visits
from code_executor.app.bootstrap import examine_sandbox, open_executor
from code_executor.app.environments import load
from code_executor.app.kept import Kept, exposure, open_accounts
from code_executor.app.logs import configure_logging
from code_executor.app.settings import Settings
from code_executor.app.terminal import program, stdin
from code_executor.app.visits import Visit, visit_all
from code_executor.core.codec import check_object, result_object
from code_executor.core.errors import CodeExecutorError, ConfigurationError, StorageError
from code_executor.core.models import Event, Execution, Output, Reason, Result, Status
from code_executor.sandbox import doctor, origin

EXIT_TIMEOUT = 124  # as timeout(1)
EXIT_OURS = 70  # EX_SOFTWARE
EXIT_USAGE = 2
_EXIT_SIGNAL = 128


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit status."""
    parser = _parser()
    options = vars(parser.parse_args(arguments))
    command = options.pop("command")
    try:
        return _COMMANDS[command](options)
    except program.UsageError as error:
        parser.error(str(error))
    except CodeExecutorError as error:
        print(f"code-executor: {error}", file=sys.stderr)
        return EXIT_USAGE if command == "serve" else EXIT_OURS
    except KeyboardInterrupt:
        return _EXIT_SIGNAL + signal.SIGINT
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter would complain at its end
        return _EXIT_SIGNAL + signal.SIGPIPE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("code-executor", description="Run untrusted Python in locked-down sandboxes.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)

    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--engine", choices=["auto", "docker", "native"], help="the engine that makes sandboxes")
    common.add_argument("--policy", help="strict, off, or a TOML file")
    placed = argparse.ArgumentParser(add_help=False)
    placed.add_argument("--environment", default="", metavar="NAME", help="an environment other than the default")

    serve = commands.add_parser("serve", parents=[common], help="answer over HTTP")
    serve.add_argument("--host")
    serve.add_argument("--port", type=int)
    serve.add_argument("--workers", type=int, help="number of processes that answer HTTP")
    serve.add_argument("--pool-size", type=int, help="maximum number of sandboxes of each kind")
    serve.add_argument("--rate-limit", help="10/minute, or off")
    serve.add_argument("--log-format", choices=["json", "console"])

    run = commands.add_parser("run", parents=[common, placed], help="run a file (-: read the program from stdin)")
    program.add_options(run)
    run.add_argument("--timeout", type=_positive, metavar="SECONDS")
    run.add_argument("--json", action="store_true", help="print the result as JSON instead of streaming")

    check = commands.add_parser(
        "check", parents=[common, placed], help="check a file against the policy, without running it"
    )
    check.add_argument("file", metavar="FILE")
    check.add_argument("--json", action="store_true")

    examine = commands.add_parser("doctor", parents=[common], help="show which layers of protection hold here")
    examine.add_argument("--json", action="store_true")
    listing = commands.add_parser("environments", parents=[common], help="list the interpreters and their libraries")
    listing.add_argument("--json", action="store_true")
    gradecommand.add_parser(commands)
    administration.add_parsers(commands)

    status = commands.add_parser("status", help="show how a running service is")
    status.add_argument("--url", help="its address; the default is that of the settings, on this machine")
    status.add_argument("--once", action="store_true", help="one picture, instead of one each second")
    status.add_argument("--json", action="store_true", help="print it once, as JSON")

    cost = commands.add_parser("cost", help="calculate what runs cost where each second is billed")
    cost.add_argument("--url", help="the address of a running service, to calculate with what it has used")
    cost.add_argument("--runs", type=_positive, help="or with so many runs a month")
    cost.add_argument("--seconds", type=_positive, help="of so many seconds each (3)")
    cost.add_argument("--vcpu", type=_positive, help="what a job or an instance has")
    cost.add_argument("--memory", type=_positive, metavar="GB", help="likewise")
    cost.add_argument("--start", type=_not_negative, metavar="SECONDS", help="that a job takes to start")
    cost.add_argument("--instances", type=int, default=1, help="of an app")
    cost.add_argument("--hours", type=_positive, default=730.0, help="a month for which an app exists (730: always)")
    cost.add_argument("--prices", default="", metavar="FILE", help="a price list, as src/code_executor/app/prices.toml")
    cost.add_argument("--json", action="store_true")
    return parser


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"must be more than 0, not {text}")
    return number


def _not_negative(text: str) -> float:
    return 0.0 if float(text) == 0 else _positive(text)


def _settings(options: dict[str, Any], **more: Any) -> Settings:
    """Settings for a single command: one sandbox, logs for people, warnings only."""
    given = {name: options.get(name) for name in ("engine", "policy")}
    settings = Settings.load(**given, pool_size=1, pool_min=1, preload=(), preload_always=(), **more)
    configure_logging(settings.model_copy(update={"log_format": "console", "log_level": "error"}))
    return settings


def _serve(options: dict[str, Any]) -> int:
    from code_executor.app import serving  # noqa: PLC0415  # brings the HTTP framework along, for this command alone

    serving.run(Settings.load(**options))
    return 0


def _run(options: dict[str, Any]) -> int:
    settings = _settings(options)
    execution = program.execution_of(options, settings.limits())
    fed = options["file"] != "-" or bool(options["module"])  # else stdin was the program
    result = asyncio.run(_execute(execution, settings, quiet=options["json"], fed=fed))
    if options["json"]:
        print(json.dumps(result_object(result)))
    elif explanation := _explanation(result):
        print(explanation, file=sys.stderr)
    return exit_status(result)


async def _execute(execution: Execution, settings: Settings, *, quiet: bool, fed: bool = False) -> Result:
    source = stdin.inputs() if fed else contextlib.nullcontext()
    async with open_executor(settings, environment=execution.environment) as opened:
        with source as inputs:
            return await _follow(opened.executor.stream(execution, inputs), quiet=quiet)


async def _follow(run: AsyncGenerator[Event, None], *, quiet: bool) -> Result:
    async with aclosing(run) as events:
        async for event in events:
            if isinstance(event, Output) and not quiet:
                stream = sys.stdout if event.stream == "stdout" else sys.stderr
                print(event.data, end="", file=stream, flush=True)
            elif isinstance(event, Result):
                return event
    raise CodeExecutorError("the run ended without a result")


def _explanation(result: Result) -> str:
    """What the result says beyond what was streamed."""
    if result.problems:
        return result.error
    said_it_all = (Reason.COMPLETED, Reason.EXCEPTION, Reason.EXIT)
    return "" if result.reason in said_it_all else result.error.rpartition("\n")[2]


def exit_status(result: Result) -> int:
    """Return the program's own exit code, 128 and the signal's number, 124 for a timeout, 70 where we failed."""
    if result.reason is Reason.INTERNAL:
        return EXIT_OURS
    if result.status is Status.TIMEOUT:
        return EXIT_TIMEOUT
    if result.exit_code is not None:
        return result.exit_code
    if result.signal is not None:
        return _EXIT_SIGNAL + getattr(signal, result.signal, 0)
    return 1


def _check(options: dict[str, Any]) -> int:
    execution = Execution(program.read(options["file"]), check_only=True, environment=options["environment"])
    result = asyncio.run(_execute(execution, _settings(options), quiet=True))
    if options["json"]:
        ok = result.status is Status.SUCCESS
        print(json.dumps({**check_object(result), "ok": ok, "reason": None if ok else result.reason.value}))
    elif result.status is Status.SUCCESS:
        print(f"{options['file']}: allowed")
    else:
        print(result.error)
    return 0 if result.status is Status.SUCCESS else 1


def _doctor(options: dict[str, Any]) -> int:
    settings = _settings(options)
    engine, findings, made_of, exposed, others = asyncio.run(_examine(settings))
    lacking = doctor.missing(findings, engine, settings.allow_missing)
    refused = bool(exposed) and settings.require_key
    bad = bool(lacking or refused or any(each.why for each in others))
    if options["json"]:
        layers = [{"layer": f.layer, "held": f.held, "evidence": f.evidence} for f in findings]
        answer = {"engine": engine, "ok": not bad, "layers": layers, "origin": made_of.facts}
        if others:
            answer["environments"] = [each.as_object(default=False) for each in others]
        print(json.dumps(answer | {"warnings": [warning for warning in (made_of.warning, exposed) if warning]}))
        return int(bad)
    print(f"engine: {engine}")
    print(made_of.line)
    for finding in findings:
        mark = "held   " if finding.held else "MISSING"
        print(f"  {mark}  {finding.layer:<15} {finding.evidence}")
    for finding in findings:
        if finding in lacking:
            print(f"required, and missing: {finding.layer}")
        elif not finding.held and finding.excuse:
            print(f"not required here: {finding.layer} ({finding.excuse})")
    if made_of.warning:
        print(f"warning: {made_of.warning}")
    if exposed:
        print(f"{'required, and missing: a key' if refused else 'warning'}: {exposed}")
    for each in others:
        print(f"environment {each.environment.name}: {each.line}")
    return int(bad)


async def _examine(settings: Settings) -> tuple[str, list[doctor.Finding], origin.Origin, str, list[Visit]]:
    try:
        async with Kept(settings) as kept, open_accounts(settings, kept) as accounts:
            exposed = exposure(settings, accounts)
    except (ConfigurationError, StorageError) as error:  # which says nothing of the layers
        exposed = str(error)
    default, *others = load(settings)
    async with open_executor(settings, examine=False, environment="") as opened:
        engine = opened.pool.engine.name
        findings = await examine_sandbox(opened.pool, opened.executor.limits)
    visits = await visit_all(others, settings, engine)
    if engine == "docker":
        return engine, findings, await origin.of_image(default.image), exposed, visits
    return engine, findings, await origin.of_interpreter(default.python), exposed, visits


def _environments(options: dict[str, Any]) -> int:
    settings = Settings.load(engine=options["engine"], policy=options["policy"])
    configure_logging(settings.model_copy(update={"log_format": "console", "log_level": "error"}))
    return visits.run(options, settings)


def _status(options: dict[str, Any]) -> int:
    from code_executor.app.terminal import readings, status  # noqa: PLC0415  # bring an HTTP client along

    service = readings.Service(_url(options["url"]))
    with contextlib.suppress(KeyboardInterrupt):  # how one ends it
        status.show(service, once=options["once"], as_json=options["json"])
    return 0


def _cost(options: dict[str, Any]) -> int:
    from code_executor.app import costs  # noqa: PLC0415  # as above
    from code_executor.app.terminal import cost, readings  # noqa: PLC0415

    prices = costs.Prices.load(options["prices"])
    size = costs.Size(options["vcpu"] or prices.job.vcpu, options["memory"] or prices.job.gb)
    start = prices.start if options["start"] is None else options["start"]
    how = cost.Options(size, start, max(1, options["instances"]), options["hours"])
    if options["url"] and options["runs"]:
        raise ConfigurationError("give either --url or --runs")
    usage = None
    if options["url"]:
        usage = cost.usage_of(readings.Service(_url(options["url"])).read())
    elif options["runs"]:
        usage = cost.given(options["runs"], options["seconds"] or prices.planned.seconds)
    print(cost.shown(cost.estimate(prices, how, usage), as_json=options["json"]))
    return 0


def _url(given: str | None) -> str:
    """Return the address of the service: what was given, or where one with these settings would listen."""
    if given:
        return (given if "://" in given else f"http://{given}").rstrip("/")
    settings = Settings.load()
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104  # nothing is bound
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


_COMMANDS = {
    "serve": _serve,
    "run": _run,
    "check": _check,
    "doctor": _doctor,
    "environments": _environments,
    "grade": gradecommand.main,
    "status": _status,
    "cost": _cost,
    **administration.COMMANDS,
}

if __name__ == "__main__":
    sys.exit(main())
