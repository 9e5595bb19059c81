"""Runs a checker or an interactor of a suite in a trusted sandbox, and leaves its verdict, as data, in a file.

It has a function ``check(input, output, answer)`` or ``interact(input)`` that returns whether the program is right, or
a part of the points from 0 to 1, or one of these and a message. Or it is a script as of testlib.h, which gets the names
of files and exits with 0 (right), 1, 2, 4 or 8 (wrong), 3 (it fails itself) or 7 (points, which it writes to stderr).

The exit statuses are those of https://github.com/MikeMirzayanov/testlib.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
import sys
import traceback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

RIGHT, FAILS, POINTS = 0, 3, 7
WRONG = {1: "", 2: "presentation error", 4: "there is more output than there should be", 8: "the output ends too early"}
LONGEST_MESSAGE = 2000
_A_NUMBER = re.compile(r"[0-9]*\.?[0-9]+")


class BadCheckerError(Exception):
    """It does not say what it must."""


def verdict_of(said: Any) -> dict[str, Any]:
    """Return what a function returned as a fraction of the points and a message; raise ``BadCheckerError``."""
    message = ""
    if isinstance(said, tuple) and len(said) == 2:
        said, message = said
    if not isinstance(said, int | float) or not 0 <= said <= 1:
        raise BadCheckerError(f"it returned {said!r:.100}, which is no bool, and no number from 0 to 1")
    return {"fraction": float(said), "message": str(message or "")[:LONGEST_MESSAGE]}


def verdict_of_status(status: Any, written: str) -> dict[str, Any]:
    """Return what a script said by its exit status; raise ``BadCheckerError``."""
    status = RIGHT if status is None else status
    message = written.strip()[:LONGEST_MESSAGE]
    if status == POINTS:
        found = _A_NUMBER.search(message)
        if found is None:
            raise BadCheckerError("it gave points, and did not write how many")
        return verdict_of((float(found[0]), message))
    if status == RIGHT:
        return {"fraction": 1.0, "message": message}
    if status in WRONG:
        return {"fraction": 0.0, "message": message or WRONG[status]}
    raise BadCheckerError(message or f"it exited with {status!r:.100}")


def judged(order: dict[str, Any]) -> dict[str, Any]:
    """Run it; raise whatever it raises."""
    tree = ast.parse(order["code"], order["name"])
    names = {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}
    code = compile(tree, order["name"], "exec")
    if order["function"] in names:
        namespace: dict[str, Any] = {"__name__": "checker", "__file__": order["name"]}
        exec(code, namespace)
        return verdict_of(namespace[order["function"]](*[_text(path) for path in order["files"]]))
    sys.argv = [order["name"], *order["files"]]
    written = io.StringIO()
    try:
        with contextlib.redirect_stderr(written):
            exec(code, {"__name__": "__main__", "__file__": order["name"]})
    except SystemExit as end:
        return verdict_of_status(end.code, written.getvalue())
    raise BadCheckerError(f"it has no function {order['function']}, and did not end with an exit status")


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace", newline="") as file:
        return file.read()


def judge(text: str) -> None:
    """Do what an order says, and leave the verdict in a file."""
    order = json.loads(text)
    sys.stdout.reconfigure(line_buffering=True, write_through=True)  # type: ignore[union-attr]
    try:
        verdict = judged(order)
    except EOFError:
        if order["function"] != "interact":
            raise
        verdict = {"fraction": 0.0, "message": "the program ended before it had answered"}
    except BaseException as error:
        traceback.print_exc()
        verdict = {"broken": f"{type(error).__name__}: {error}"[:LONGEST_MESSAGE]}
    with open(order["verdict"], "w", encoding="ascii") as file:
        json.dump(verdict, file)
