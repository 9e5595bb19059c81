"""``code-executor status``: how a running service is, as one picture, or as one that is drawn again each second."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from code_executor.app.terminal.readings import Reading, Service, quantile
from code_executor.core.errors import CodeExecutorError

Object = dict[str, Any]

_PAUSE = 1.0
_WINDOW = 10
"""Seconds over which rates are counted, while it is drawn again and again."""

_STATES = ("idle", "busy", "settling", "making")
_TIMES = {"total": "code_executor_total_seconds", "run": "code_executor_execution_seconds"} | {
    "queue": "code_executor_queue_seconds"
}
_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_HOME, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


def show(service: Service, *, once: bool, as_json: bool, out: TextIO = sys.stdout) -> None:
    """Write the state of a service; raise ``CodeExecutorError`` if nothing answers. Ctrl-C ends it."""
    first = service.read()
    time.sleep(_PAUSE)  # rates need a second look
    if once or as_json or not out.isatty():
        state = state_of(service.url, service.readiness(), first, service.read())
        out.write((json.dumps(state) if as_json else "\n".join(picture(state))) + "\n")
        return
    readings = deque([first], maxlen=_WINDOW + 1)
    out.write(_HOME + _REST_OF_SCREEN)
    while True:
        try:
            readings.append(service.read())
            lines = picture(state_of(service.url, service.readiness(), readings[0], readings[-1]))
        except CodeExecutorError as error:  # it may come back
            lines = [str(error)]
        _draw(out, [*lines, "", "Ctrl-C ends this."])
        time.sleep(_PAUSE)


def _draw(out: TextIO, lines: Sequence[str]) -> None:
    width, height = shutil.get_terminal_size()
    shown = (line[:width] + _REST_OF_LINE for line in lines[:height])
    out.write(_HOME + "\n".join(shown) + _REST_OF_SCREEN)
    out.flush()


# ---- what it is


def state_of(url: str, not_ready: str, before: Reading, now: Reading) -> Object:
    """Return the state as an object for JSON: times in milliseconds, rates a second between the two readings."""
    grown, seconds = now.since(before), max(1e-9, now.at - before.at)

    def rates(label: str, name: str) -> dict[str, float]:
        return {key: round(value / seconds, 3) for key, value in grown.by(label, name).items()}

    executions = rates("reason", "code_executor_executions_total")
    return {
        "url": url,
        "version": now.label("code_executor_info", "version"),
        "engine": now.label("code_executor_info", "engine"),
        "ready": not not_ready,
        "why": not_ready,
        "uptime": round(time.time() - now.total("process_start_time_seconds"), 1),
        "runsLimit": int(now.total("code_executor_runs_limit")),
        "sandboxes": _sandboxes(now, rates("kind", "code_executor_lent_total")),
        "queue": {
            "waiting": int(now.total("code_executor_waiting")),
            "limit": int(now.total("code_executor_waiting_limit")),
            "lanes": _whole(now.by("lane", "code_executor_waiting_in_lane")),
            "clients": _whole(now.by("state", "code_executor_flows")),
        },
        "rates": {
            "seconds": round(seconds, 3),
            "runs": round(sum(executions.values()), 3),
            "byReason": {reason: rate for reason, rate in executions.items() if rate},
            "refused": rates("why", "code_executor_refused_total"),
        },
        "times": _times(grown, now),
        "slowest": {kind: _ms(value) for kind, value in now.by("kind", "code_executor_slowest_seconds").items()},
        "executions": _whole(now.by("reason", "code_executor_executions_total")),
        "refused": _whole(now.by("why", "code_executor_refused_total")),
        "sessions": {
            "open": int(now.total("code_executor_sessions")),
            "limit": int(now.total("code_executor_sessions_limit")),
            "opened": int(now.total("code_executor_sessions_opened_total")),
        },
        "server": {
            "memory": int(now.total("process_resident_memory_bytes")),
            "openFiles": int(now.total("process_open_fds")),
            "maxFiles": int(now.total("process_max_fds")),
            "owed": int(now.total("code_executor_owed_bytes")),
        },
    }


def _sandboxes(now: Reading, lent: Mapping[str, float]) -> dict[str, Object]:
    kinds: dict[str, Object] = {}
    for kind, ready in now.by("kind", "code_executor_ready").items():
        states = now.by("state", "code_executor_sandboxes", kind=kind)
        kinds[kind] = {state: int(states.get(state, 0)) for state in _STATES} | {
            "waiting": int(now.total("code_executor_waiting_for_kind", kind=kind)),
            "lentPerSecond": lent.get(kind, 0.0),
            "ready": bool(ready),
        }
    return kinds


def _times(grown: Reading, now: Reading) -> Object:
    """Return the times of what ended between the readings; if nothing did, of all since the start."""
    recent = grown.total("code_executor_total_seconds_count") > 0
    source = grown if recent else now
    return {"sinceStart": not recent} | {
        name: {share: _ms(quantile(part, source.buckets(metric))) for share, part in _SHARES.items()}
        for name, metric in _TIMES.items()
    }


def _whole(values: Mapping[str, float]) -> dict[str, int]:
    return {key: int(value) for key, value in values.items()}


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


# ---- what it looks like


def picture(state: Object) -> list[str]:
    """Return the lines to show."""
    rates, queue, sessions, server = state["rates"], state["queue"], state["sessions"], state["server"]
    ready = "ready" if state["ready"] else f"NOT READY: {state['why']}"
    lanes, clients = _pairs(queue["lanes"]), _pairs(queue["clients"])
    slowest = ", ".join(f"{kind} {duration(ms)}" for kind, ms in state["slowest"].items())
    files = f"{server['openFiles']} of {server['maxFiles']} files open"
    return [
        f"code-executor {state['version']} ({state['engine']}) at {state['url']}",
        f"{ready}, up {duration(state['uptime'] * 1000)}",
        "",
        *_table(state),
        "",
        f"queue     {queue['waiting']} of {queue['limit']} wait ({lanes}); clients: {clients}",
        f"runs      {rates['runs']:.1f} a second ({_pairs(rates['byReason'], '.1f') or 'none'})",
        f"refused   {sum(rates['refused'].values()):.1f} a second; in all: {_pairs(state['refused'])}",
        f"sessions  {sessions['open']} of {sessions['limit']} open; {sessions['opened']} opened in all",
        "",
        *_quantiles(state),
        f"slowest   {slowest or 'none'} (in the last minute or two)",
        "",
        f"server    {server['memory'] / 1e6:.0f} MB, {files}, {server['owed'] / 1e6:.1f} MB held for clients",
    ]


def _quantiles(state: Object) -> list[str]:
    times = state["times"]
    window = "since start" if times["sinceStart"] else f"last {state['rates']['seconds']:.0f} s"
    lines = [f"{f'times, {window}':<26}" + "".join(f"{share:>10}" for share in _SHARES)]
    for name, title in (("total", "from request to result"), ("run", "the run alone"), ("queue", "waiting")):
        lines.append(f"  {title:<24}" + "".join(f"{duration(times[name][share]):>10}" for share in _SHARES))
    return lines


def _table(state: Object) -> list[str]:
    headings = (*_STATES, "waiting", "lent/s")
    lines = ["sandboxes " + "".join(f"{heading:>10}" for heading in headings)]
    for kind, each in state["sandboxes"].items():
        cells = [*(str(each[state]) for state in (*_STATES, "waiting")), f"{each['lentPerSecond']:.1f}"]
        missing = "" if each["ready"] else "   none serves"
        lines.append(f"  {kind:<8}" + "".join(f"{cell:>10}" for cell in cells) + missing)
    busy = sum(each["busy"] for each in state["sandboxes"].values())
    return [*lines, f"  {busy} of {state['runsLimit']} run at once"]


def _pairs(values: Mapping[str, float], form: str = "d") -> str:
    return ", ".join(f"{name} {value:{form}}" for name, value in values.items())


def duration(ms: float | None) -> str:
    """Return milliseconds as one would say them."""
    if ms is None:
        return "-"
    if ms < 1000:
        return f"{ms:.1f} ms"
    seconds = ms / 1000
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = int(seconds // 60)
    if minutes < 120:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h {minutes % 60} min" if hours < 48 else f"{hours // 24} days"
