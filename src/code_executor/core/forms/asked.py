"""What is asked for, and who asks."""

from __future__ import annotations

import base64

from code_executor.core.caller import Caller
from code_executor.core.forms.shown import (
    Object,
    file_object,
    file_of,
    limits_object,
    limits_of_object,
    to_base64,
)
from code_executor.core.models import Cell, Entry, Excerpt, Execution, FileAction, FileOrder
from code_executor.core.paths import PROGRAM

caller_object, caller_of_object = Caller.as_object, Caller.of_object
"""The object of a caller, which only processes of one service show each other; and back."""


def execution_object(execution: Execution) -> Object:
    return {
        "code": execution.code,
        "stdin": execution.stdin,
        "args": list(execution.args),
        "timeout": execution.timeout,
        "policy": execution.policy,
        "checkOnly": execution.check_only,
        "files": [file_object(file) for file in execution.files],
        "display": execution.display,
        "session": execution.session,
        "batch": execution.batch,
        "caller": caller_object(execution.caller),
        "id": execution.id,
        **_unusual_object(execution),
    }


def _unusual_object(execution: Execution) -> Object:
    """Return what few executions have."""
    unusual: Object = {}
    if isinstance(execution.stdin, bytes):
        unusual |= {"stdin": "", "stdinBase64": to_base64(execution.stdin)}
    if execution.limits is not None:
        unusual["limits"] = limits_object(execution.limits)
    if execution.name != PROGRAM:
        unusual["name"] = execution.name
    if execution.entry is not None:
        unusual["entry"] = {"path": execution.entry.path, "module": execution.entry.module}
    if execution.environment:
        unusual["environment"] = execution.environment
    if execution.policy_name:
        unusual["policyName"] = execution.policy_name
    if execution.env:
        unusual["env"] = dict(execution.env)
    if execution.raw:
        unusual["base64"] = True
    if execution.excerpt is not None:
        unusual["excerpt"] = {"head": execution.excerpt.head, "tail": execution.excerpt.tail}
    if execution.trusted:
        unusual["trusted"] = True
    return unusual


def execution_of(message: Object) -> Execution:
    return Execution(
        code=message["code"],
        stdin=base64.b64decode(message["stdinBase64"]) if "stdinBase64" in message else message["stdin"],
        args=tuple(message["args"]),
        timeout=message["timeout"],
        policy=message["policy"],
        check_only=message["checkOnly"],
        files=tuple(file_of(file) for file in message["files"]),
        display=message["display"],
        session=message["session"],
        batch=message["batch"],
        caller=caller_of_object(message["caller"]),
        limits=limits_of_object(message.get("limits")),
        name=message.get("name", PROGRAM),
        entry=Entry(**entry) if (entry := message.get("entry")) else None,
        environment=message.get("environment", ""),
        policy_name=message.get("policyName", ""),
        env=message.get("env"),
        raw=message.get("base64", False),
        excerpt=Excerpt(**excerpt) if (excerpt := message.get("excerpt")) else None,
        trusted=message.get("trusted", False),
        id=message["id"],
    )


def cell_object(cell: Cell) -> Object:
    return {
        "code": cell.code,
        "stdin": cell.stdin,
        "timeout": cell.timeout,
        "policy": cell.policy,
        "display": cell.display,
        "interactive": cell.interactive,
        "id": cell.id,
    }


def cell_of(message: Object) -> Cell:
    return Cell(
        code=message["code"],
        stdin=message["stdin"],
        timeout=message["timeout"],
        policy=message["policy"],
        display=message["display"],
        interactive=message["interactive"],
        id=message["id"],
    )


def order_object(order: FileOrder) -> Object:
    return {
        "action": order.action.value,
        "path": order.path,
        "contentBase64": to_base64(order.data),
        "policy": order.policy,
    }


def order_of(message: Object) -> FileOrder:
    return FileOrder(
        FileAction(message["action"]), message["path"], base64.b64decode(message["contentBase64"]), message["policy"]
    )
