"""How long a teacher waits for what learners did, and how many submits are written: ``python -m bench.labs``.

    python -m bench.labs                        a database of 1,000 learners, 40 labs and 10 attempts for each
    python -m bench.labs --database postgresql://user@host/name     on an empty database of PostgreSQL's
    python -m bench.labs --rate 50 --seconds 60                     writes so many submits a second meanwhile

The attempts are made up. Nothing is graded: what is timed is the database's part alone.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from sqlalchemy import func, insert, select

from code_executor.storage import schema
from code_executor.storage.database import Database
from code_labs.labs import lab_of
from code_labs.progress import Attempt, Course, Labs, tables
from code_labs.progress.models import Version, Who
from code_labs.progress.sql import pack

DAY = 86_400.0
ERRORS = ("wrong_answer", "NameError", "SyntaxError", "TypeError", "timeout")
AT_ONCE = 5000
REPORTS = ("attention", "labs", "errors", "segments", "pace")


def _lab(number: int) -> Any:
    return lab_of({"id": f"lab-{number}", "title": f"Lab {number}", "task": "Do it.", "hints": ["One.", "Two."]})


async def _course(labs: Labs, count: int) -> tuple[Course, list[Version]]:
    await labs.catalog.put_course("", "bench", "Bench", "en")
    course = await labs.catalog.course("", "bench")
    for number in range(count):
        made = await labs.catalog.put_lab(course, _lab(number), report={}, verified=True)
        await labs.catalog.publish(course, made.placed)
    return course, await labs.catalog.current(await labs.catalog.labs(course))


def _rows(
    course: Course, versions: list[Version], learners: int, attempts: int
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield rows as the journal would have written them in ten weeks."""
    chance, end = random.Random(1), time.time()
    key = b"0" * 32
    yield tables.snapshots, {"id": key, "code": pack({"code": "x", "files": {}}), "used": end}
    for learner in range(1, learners + 1):
        yield tables.learners, {"id": learner, "owner": "", "pseudonym": f"{learner:032x}", "created": 0.0}
        days = set()
        for version in versions:
            began = end - chance.uniform(1, 70) * DAY
            row = {"lab": version.placed.id, "learner": learner}
            passes = chance.random() < 0.8
            for number in range(attempts):
                at = began + number * 60
                passed = passes and number == attempts - 1
                error = "" if passed else chance.choice(ERRORS)
                more: dict[str, Any] = {"at": at, "version": 1, "snapshot": key, "score": None, "failed": "[]"}
                more |= {"seconds": 0.1, "verdict": "passed" if passed else "failed", "passed": passed, "error": error}
                yield tables.attempts, {**row, **more, "test": "" if passed else str(chance.randint(1, 5))}
            days.add(time.strftime("%Y-%m-%d", time.gmtime(began)))
            first = (at, attempts, 600.0, 1) if passes else (None, None, None, None)
            names = ("first_at", "first_submits", "first_seconds", "first_hints")
            work: dict[str, Any] = {
                "course": course.id,
                "began": began,
                "last": at,
                "seconds": 600.0,
                "runs": 3,
                "submits": attempts,
            }
            work |= {"failed": attempts - passes, "hints": 1, "error": error, "streak": 0 if passes else 2}
            yield tables.work, {**row, **work, "streak_at": at, **dict(zip(names, first, strict=True))}
            click = {"course": course.id, "type": "segment_click", "video": "week-1", "data": "{}"}
            yield tables.events, {**row, **click, "at": began, "start": float(chance.randint(0, 50) * 20)}
        for day in days:
            yield tables.days, {"course": course.id, "day": day, "learner": learner}


async def fill(database: Database, course: Course, versions: list[Version], learners: int, attempts: int) -> None:
    waiting: dict[Any, list[dict[str, Any]]] = {}
    order = (tables.snapshots, tables.learners, tables.attempts, tables.work, tables.events, tables.days)

    async def write() -> None:
        async with database.writing() as connection:
            for table in order:
                if rows := waiting.pop(table, None):
                    await connection.execute(insert(table), rows)

    for table, row in _rows(course, versions, learners, attempts):
        waiting.setdefault(table, []).append(row)
        if len(waiting.get(tables.attempts, ())) >= AT_ONCE:
            await write()
    await write()


async def ask(labs: Labs, course: Course, rounds: int) -> None:
    for name in REPORTS:
        times = []
        rows: list[dict[str, Any]] = []
        for _ in range(rounds):
            began = time.perf_counter()
            rows = await getattr(labs.analytics, name)(course)
            times.append((time.perf_counter() - began) * 1000)
        print(f"{name:10} {len(rows):5} rows  median {statistics.median(times):6.1f} ms  worst {max(times):6.1f} ms")


async def submit(database: Database, labs: Labs, course: Course, versions: list[Version], options: Any) -> None:
    """Write submits at a rate, and count what is there afterwards."""

    async def before() -> int:
        async with database.reading() as connection:
            return int(await connection.scalar(select(func.count()).select_from(tables.attempts)) or 0)

    there, times, began = await before(), [], time.perf_counter()

    async def one(number: int) -> None:
        who = Who("", f"{number % options.learners + 1:032x}")
        attempt = Attempt(f"print({number})", "failed", False, 0.0, "wrong_answer", ["1"])
        started = time.perf_counter()
        await labs.journal.record(who, course, versions[number % len(versions)], attempt)
        times.append((time.perf_counter() - started) * 1000)

    count = int(options.rate * options.seconds)
    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            await asyncio.sleep(max(0.0, began + number / options.rate - time.perf_counter()))
            tasks.create_task(one(number))
    lost = there + count - await before()
    times.sort()
    took = time.perf_counter() - began
    print(
        f"submits    {count:5} in {took:.1f} s ({count / took:.0f}/s), {lost} lost  "
        f"median {statistics.median(times):6.1f} ms  p95 {times[int(0.95 * len(times))]:6.1f} ms  "
        f"worst {times[-1]:6.1f} ms"
    )


async def main(options: Any) -> None:
    with contextlib.ExitStack() as stack:
        url = options.database
        if not url:
            url = f"sqlite:///{stack.enter_context(tempfile.TemporaryDirectory())}/labs.db"
        async with Database.open(url) as database:
            await schema.upgrade(database)
            labs = Labs(database)
            course, versions = await _course(labs, options.labs)
            began = time.perf_counter()
            await fill(database, course, versions, options.learners, options.attempts)
            count = options.learners * options.labs * options.attempts
            print(f"{count:,} attempts of {options.learners:,} learners ({time.perf_counter() - began:.1f} s to write)")
            await ask(labs, course, options.rounds)
            if options.seconds:
                await submit(database, labs, course, versions, options)
            await ask(labs, course, 1)


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("learners", 1000), ("labs", 40), ("attempts", 10), ("rounds", 5), ("seconds", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--database", default="")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main(_options()))
