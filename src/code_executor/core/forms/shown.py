"""What programs read and write, and what came of them."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Callable
from typing import Any

from code_executor.core.models import (
    SHOWN_TEXTS,
    Display,
    File,
    Output,
    Raised,
    Reason,
    Result,
    RunLimits,
    SourceProblem,
)

Object = dict[str, Any]


def to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def output_object(output: Output) -> Object:
    """Return the object of a piece of output; ``dataBase64`` is only there where the bytes were asked for."""
    return {"data": output.data, **({"dataBase64": to_base64(output.raw)} if output.raw else {})}


def output_of(message: Object) -> Output:
    return Output(message["type"], message["data"], base64.b64decode(message.get("dataBase64", "")))


def file_object(file: File, base64_of: Callable[[bytes], Any] = to_base64) -> Object:
    """Return the object of a file; ``base64_of``: what stands for its bytes."""
    return {
        "path": file.path,
        "size": len(file.data),
        "mediaType": media_type_of(file.path),
        "contentBase64": base64_of(file.data),
    }


def media_type_of(path: str) -> str:
    return mimetypes.guess_type(path, strict=False)[0] or "application/octet-stream"


def file_of(message: Object) -> File:
    return File(message["path"], base64.b64decode(message["contentBase64"]))


def display_object(
    display: Display, text_of: Callable[[bytes], Any] = _text, base64_of: Callable[[bytes], Any] = to_base64
) -> Object:
    """Return the object of what a program shows; ``text_of`` and ``base64_of``: what stands for its bytes."""
    if display.media_type in SHOWN_TEXTS:
        return {"mediaType": display.media_type, "content": text_of(display.data)}
    return {"mediaType": display.media_type, "contentBase64": base64_of(display.data)}


def display_of(message: Object) -> Display:
    if "content" in message:
        return Display(message["mediaType"], message["content"].encode("utf-8", "replace"))
    return Display(message["mediaType"], base64.b64decode(message["contentBase64"]))


def problem_object(problem: SourceProblem) -> Object:
    """Return the object of a problem; ``file`` is only there where it is not the program's."""
    return {name: value for name, value in problem._asdict().items() if name != "file" or value}


def limits_object(limits: RunLimits) -> Object:
    """Return the object of limits, as requests and answers have it."""
    return {
        "wallTime": limits.wall_time,
        "cpuTime": limits.cpu_time,
        "memory": limits.memory,
        "output": limits.output,
        "processes": limits.processes,
        "disk": limits.disk,
    }


def limits_of_object(message: Object | None) -> RunLimits | None:
    if message is None:
        return None
    return RunLimits(
        wall_time=message["wallTime"],
        cpu_time=message["cpuTime"],
        memory=message["memory"],
        output=message["output"],
        processes=message["processes"],
        disk=message["disk"],
    )


def result_object(result: Result, *, attachments: bool = True, base64_of: Callable[[bytes], Any] = to_base64) -> Object:
    """Return the object of a result, as an answer shows it: without a ``type``.

    ``attachments`` False: without what it displays and its files, which are large. ``base64_of``: what stands for bytes
    of its output. The last fields are only there where they were asked for.
    """
    asked: Object = {}
    if result.limits is not None:
        asked["limits"] = limits_object(result.limits)
    if result.stdout is not None:
        asked["stdoutBase64"] = base64_of(result.stdout)
    if result.stderr is not None:
        asked["stderrBase64"] = base64_of(result.stderr)
    if result.environment:
        asked["environment"] = result.environment
    if result.left_out is not None:
        asked["leftOut"] = dict(zip(("stdout", "stderr"), result.left_out, strict=True))
    return {
        "status": result.status.value,
        "reason": result.reason.value,
        "output": result.output,
        "error": result.error,
        "executionTime": round(result.execution_time, 3),
        "id": result.id,
        "exitCode": result.exit_code,
        "signal": result.signal,
        "syscall": result.syscall,
        "cpuTime": round(result.cpu_time, 3),
        "memory": result.memory,
        "queueTime": round(result.queue_time, 3),
        "truncated": result.truncated,
        "line": result.line,
        "column": result.column,
        "problems": [problem_object(problem) for problem in result.problems],
        "displays": [display_object(display) for display in result.displays] if attachments else [],
        "files": [file_object(file) for file in result.files] if attachments else [],
        "filesOmitted": result.files_omitted,
        "value": result.value,
        "exception": _raised_object(result.exception),
        **asked,
    }


def _raised_object(raised: Raised | None) -> Object | None:
    if raised is None:
        return None
    return {"type": raised.type, "message": raised.message, "traceback": list(raised.traceback)}


def _raised(message: Object | None) -> Raised | None:
    return None if message is None else Raised(message["type"], message["message"], tuple(message["traceback"]))


def check_object(result: Result) -> Object:
    """Return the object of a check that came to its end, as an answer shows it."""
    return {
        "ok": not result.problems,
        "reason": result.reason.value if result.problems else None,
        "problems": [problem_object(problem) for problem in result.problems],
        **({"environment": result.environment} if result.environment else {}),
    }


def result_of(message: Object) -> Result:
    return Result(
        id=message["id"],
        reason=Reason(message["reason"]),
        output=message["output"],
        error=message["error"],
        exit_code=message["exitCode"],
        signal=message["signal"],
        syscall=message["syscall"],
        execution_time=message["executionTime"],
        queue_time=message["queueTime"],
        cpu_time=message["cpuTime"],
        memory=message["memory"],
        truncated=message["truncated"],
        line=message["line"],
        column=message["column"],
        problems=tuple(SourceProblem(**problem) for problem in message["problems"]),
        displays=tuple(display_of(display) for display in message["displays"]),
        files=tuple(file_of(file) for file in message["files"]),
        files_omitted=message["filesOmitted"],
        value=message["value"],
        exception=_raised(message["exception"]),
        environment=message.get("environment", ""),
        limits=limits_of_object(message.get("limits")),
        stdout=_bytes(message.get("stdoutBase64")),
        stderr=_bytes(message.get("stderrBase64")),
        left_out=(left["stdout"], left["stderr"]) if (left := message.get("leftOut")) else None,
    )


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
