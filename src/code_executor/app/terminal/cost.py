"""``code-executor cost``: what a month of runs costs, by the planned numbers and by the price list."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import Any

from code_executor.app.costs import MONTH, Amounts, Prices, Size, Usage
from code_executor.app.terminal.readings import Reading
from code_executor.core.errors import CodeExecutorError

Object = dict[str, Any]

_LEAVES_OUT = (
    "The price: ${planned:.8f} for a vCPU second is not that of the list, ${listed:.8f}.",
    "Half of the processor: a run is charged with a whole vCPU, while the free runs are counted with half of one.",
    "Memory: it is billed as well, for as long as the job exists.",
    "The start: pulling the image and starting Python is billed like the run itself.",
    "The free tier: it is one line of its own, and not taken off the prices.",
    "An app: its instances are billed for as long as they exist, and each request; but many runs share an instance.",
    "Everything else: the registry, logs, the web application, traffic, and people.",
)


@dataclass(frozen=True)
class Options:
    """How it would be deployed: jobs and instances of a ``size``; so many instances for so many ``hours`` a month."""

    size: Size
    start: float
    instances: int
    hours: float


def usage_of(reading: Reading) -> Usage:
    """Return what a service has used since it started; raise ``CodeExecutorError`` if it has run nothing yet."""
    runs = reading.total("code_executor_execution_seconds_count")
    if not runs:
        raise CodeExecutorError("the service has run nothing yet, so there is nothing to calculate with")
    run_seconds = reading.total("code_executor_execution_seconds_sum")
    return Usage(
        seconds=max(1.0, time.time() - reading.total("process_start_time_seconds")),
        runs=runs,
        run_seconds=run_seconds,
        requests=runs + reading.total("code_executor_refused_total"),
        cpu_seconds=reading.total("code_executor_cpu_seconds_total") + reading.total("process_cpu_seconds_total"),
        gb_seconds=reading.total("code_executor_memory_bytes_sum") / runs * run_seconds / 1e9,
    )


def given(runs: float, seconds: float) -> Usage:
    """Return the usage of a month with so many runs of so many seconds."""
    return Usage(seconds=MONTH, runs=runs, run_seconds=runs * seconds, requests=runs)


def estimate(prices: Prices, options: Options, usage: Usage | None) -> Object:
    """Return everything as an object for JSON, in US dollars."""
    return {
        "prices": {
            "name": prices.name,
            "date": prices.date.isoformat(),
            "sources": list(prices.sources),
            "each": _amounts(prices.each),
            "freePerMonth": _amounts(prices.free),
        },
        "size": asdict(options.size),
        "planned": _planned(prices, options),
        "leavesOut": [
            each.format(planned=prices.planned.vcpu_second, listed=prices.each.vcpu_seconds) for each in _LEAVES_OUT
        ],
        "usage": _usage(usage) if usage else None,
        "month": _month(prices, options, usage) if usage else None,
    }


def _planned(prices: Prices, options: Options) -> Object:
    planned = prices.planned
    alone = options.size.for_seconds(planned.seconds)
    started = options.size.for_seconds(planned.seconds + options.start)

    def row(runs: int, price: float) -> Object:
        return {
            "runs": runs,
            "planned": price,
            "vcpu": prices.cost(Amounts(alone.vcpu_seconds * runs)),
            "withMemory": prices.cost(alone.times(runs)),
            "withStart": prices.cost(started.times(runs)),
            "lessFree": prices.month(started.times(runs)),
        }

    return {
        "seconds": planned.seconds,
        "start": options.start,
        "rows": [row(1, planned.run), *(row(*each) for each in planned.runs.items())],
        "freeRuns": {
            "planned": planned.free_runs,
            "withMemory": prices.free_runs(alone),
            "withStart": prices.free_runs(started),
        },
    }


def _usage(usage: Usage) -> Object:
    return {
        "seconds": round(usage.seconds, 1),
        "runs": int(usage.runs),
        "requests": int(usage.requests),
        "runSeconds": round(usage.run_seconds, 3),
        "cpuSeconds": None if usage.cpu_seconds is None else round(usage.cpu_seconds, 3),
        "gbSecondsAtMost": None if usage.gb_seconds is None else round(usage.gb_seconds, 3),
        "cores": None if usage.cpu_seconds is None else round(usage.cpu_seconds / usage.seconds, 4),
    }


def _month(prices: Prices, options: Options, usage: Usage) -> Object:
    runs = usage.runs * usage.in_a_month
    jobs = usage.as_jobs(options.size, options.start)
    app = usage.as_app(options.size, options.instances, options.hours)
    return {
        "runs": round(runs, 1),
        "jobs": {"amounts": _amounts(jobs), "price": prices.month(jobs)},
        "app": {
            "instances": options.instances,
            "hours": options.hours,
            "amounts": _amounts(app),
            "price": prices.month(app),
        },
    }


def _amounts(amounts: Amounts) -> Object:
    return {
        "vcpuSeconds": round(amounts.vcpu_seconds, 9),
        "gbSeconds": round(amounts.gb_seconds, 9),
        "requests": round(amounts.requests, 9),
    }


# ---- what it looks like


def shown(told: Object, *, as_json: bool) -> str:
    """Return the text to print."""
    if as_json:
        return json.dumps(told)
    prices = told["prices"]
    lines = [f"{prices['name']}, prices in US dollars as of {prices['date']}:", *_price_lines(prices), ""]
    if told["usage"]:
        return "\n".join([*lines, *_month_lines(told)])
    return "\n".join(
        [*lines, *_planned_lines(told), "", "What the planned numbers leave out:"]
        + [f"- {each}" for each in told["leavesOut"]]
    )


def _price_lines(prices: Object) -> list[str]:
    each, free = prices["each"], prices["freePerMonth"]
    return [
        f"  {name:<14}{each[key]:.9f}".rstrip("0") + f"   {free[key]:,.0f} a month are free"
        for name, key in (("vCPU second", "vcpuSeconds"), ("GB second", "gbSeconds"), ("HTTP request", "requests"))
    ] + [f"  from: {source}" for source in prices["sources"]]


def _planned_lines(told: Object) -> list[str]:
    planned, size = told["planned"], told["size"]
    free = planned["freeRuns"]
    has = f"{size['vcpu']:g} vCPU and {size['gb']:g} GB"
    lines = [
        f"A job of {planned['seconds']:g} s for each run, with {has}; it takes {planned['start']:g} s to start:",
        f"{'':<18}{'planned':>12}{'vCPU alone':>12}{'with memory':>13}{'with start':>12}{'less free':>12}",
    ]
    for row in planned["rows"]:
        cells = zip(("planned", "vcpu", "withMemory", "withStart", "lessFree"), (12, 12, 13, 12, 12), strict=True)
        title = f"{row['runs']:,} run{'s' * (row['runs'] > 1)}"
        lines.append(f"  {title:<16}" + "".join(f"{_dollars(row[key]):>{width}}" for key, width in cells))
    lines.append(
        f"  {'free in a month':<16}{free['planned']:>12,}{'':>12}{free['withMemory']:>13,}{free['withStart']:>12,}"
    )
    return lines


def _month_lines(told: Object) -> list[str]:
    usage, month, size = told["usage"], told["month"], told["size"]
    jobs, app = month["jobs"], month["app"]
    mean = usage["runSeconds"] / usage["runs"]
    lines = [f"Used: {usage['runs']:,} runs of {mean:.3f} s on average in {usage['seconds'] / 3600:,.1f} hours."]
    if usage["cores"] is not None:
        lines += [
            f"  programs and server: {usage['cpuSeconds']:,.1f} s of processor, {usage['cores']:.3f} cores on average",
            f"  programs: at most {usage['gbSecondsAtMost']:,.1f} GB seconds",
        ]
    lines += ["", f"A month of that ({month['runs']:,.0f} runs), with {size['vcpu']:g} vCPU and {size['gb']:g} GB:"]
    title = f"{app['instances']} instance{'s' * (app['instances'] > 1)} of an app, {app['hours']:g} hours"
    for name, part in (("a job for each run", jobs), (title, app)):
        amounts = part["amounts"]
        lines.append(
            f"  {name:<34}{_dollars(part['price']):>10}   {amounts['vcpuSeconds']:,.0f} vCPU s, "
            f"{amounts['gbSeconds']:,.0f} GB s, {amounts['requests']:,.0f} requests"
        )
    lines.append("The free tier is taken off. The time for which an app exists is billed, and not that of its runs.")
    if usage["cores"] is not None and usage["cores"] * MONTH > size["vcpu"] * app["instances"] * app["hours"] * 3600:
        lines.append("Such an app has less processor than was used. Give --instances, --hours or --vcpu.")
    return lines


def _dollars(price: float) -> str:
    return f"${price:,.2f}" if price >= 0.01 or not price else f"${price:.7f}"
