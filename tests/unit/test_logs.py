"""Log lines: all of one form, none too often, none that moves a cursor."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from code_executor.app.logs import Seldom

PROGRAM = """
import logging, warnings, structlog
from code_executor.app.logs import configure_logging
from code_executor.app.settings import Settings
configure_logging(Settings(log_format={form!r}))
structlog.get_logger().info("ours", client="a\\x9b31m\\x1b[31m\\nb")
for _ in range(50):
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("uvicorn.error").exception("Exception in ASGI application\\n")
logging.getLogger("asyncio").error("of %s", "asyncio")
logging.getLogger("uvicorn.error").info("too little")
warnings.warn("careful")
"""


def lines(form: str) -> list[str]:
    program = [sys.executable, "-c", PROGRAM.format(form=form)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=True)
    return done.stderr.splitlines()


def test_every_line_is_json_whoever_wrote_it_and_each_kind_is_written_once() -> None:
    found = [json.loads(line) for line in lines("json")]
    assert [entry["event"].split(":")[0] for entry in found[:4]] == [
        "ours",
        "Invalid HTTP request received.",
        "Exception in ASGI application",
        "of asyncio",
    ]
    assert "careful" in found[4]["event"]
    assert len(found) == 5
    assert "ZeroDivisionError" in found[2]["exception"]
    assert all({"level", "timestamp", "event"} <= entry.keys() for entry in found)


@pytest.mark.parametrize("form", ["json", "console"])
def test_nothing_in_a_line_moves_a_cursor(form: str) -> None:
    written = lines(form)
    assert all(line.isprintable() for line in written)
    assert "\\x9b31m" in written[0]


def test_of_a_kind_one_is_let_through_now_and_then_and_says_how_many_there_were() -> None:
    now = [0.0]
    seldom = Seldom(10, lambda: now[0])
    assert [seldom.may("a") for _ in range(5)] == [1, 0, 0, 0, 0]
    assert seldom.may("b") == 1
    now[0] = 10.0
    assert [seldom.may("a") for _ in range(3)] == [5, 0, 0]


def test_kinds_without_end_are_not_kept() -> None:
    seldom = Seldom()
    assert all(seldom.may(str(number)) for number in range(5000))
    assert len(seldom._kinds) <= 1000
