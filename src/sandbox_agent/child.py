"""The child: one confined interpreter that runs one execution, as ``python main.py`` would, and dies.

It is forked before there is anything to run, confines itself, touches the pages that every run touches, says so, and
waits for its payload. From the first byte of the payload on, everything in this process belongs to the run. A payload
that asks for a session makes it an interpreter that runs one cell after another: see ``session.py``.
"""

from __future__ import annotations

import _thread
import ast
import atexit
import base64
import contextlib
import errno
import gc
import io
import json
import linecache
import os
import resource
import signal
import sys
import threading
import traceback
import types
from collections.abc import Iterator
from typing import Any, NoReturn

from sandbox_agent import confinement, display, kernel, wording
from sandbox_agent.config import AgentConfig
from sandbox_agent.confinement import Confinement
from sandbox_agent.policy import Policy, Problem, check
from sandbox_agent.relay import available

STDIN, STDOUT, STDERR, PAYLOAD, READY, REPORT, HINT, DISPLAY, PROMPT = range(9)
"""The descriptors of a child, in the order `main` takes them. A session goes on using ``READY``, for its cells."""

FILENAME = "main.py"

HINT_EXCEPTION, HINT_MEMORY, HINT_DISK, HINT_PROCESSES = 1, 2, 3, 4
"""How many bytes a child leaves in its hint pipe. The supervisor counts them and never reads them; a program that
forges them can only change which kind of ``error`` its own failure is called. A forbidden system call leaves more
(`trap`)."""

CONFINEMENT_FAILED = 70

_LONGEST_LINE, _LONGEST_TEXT = 1000, 8000  # characters of a syntax error: a line may be as long as the source

_INTERPRETERS_HOOK = sys.__excepthook__
_HERE = os.path.dirname(__file__)

_leader = 0
"""The pid of the run's first process, known to what it forks as well."""

_WARM_UP = """
import sys
def f(x, *a, **k):
    return [f'{y!r}' for y in a if x]
try:
    print(f(1), end='')
except ValueError as e:
    raise
"""


def main(state: Confinement, descriptors: list[int], policy: Policy, supervisor: int) -> NoReturn:
    """Become a confined child; never returns."""
    try:
        landlock_fd = confinement.arrange(descriptors, state.landlock_fd)
        try:
            confinement.confine(state, landlock_fd, supervisor)
            with contextlib.suppress(OSError):  # it makes results faster, nothing else
                kernel.hold_memory()
            _make_ready(policy)
        except BaseException as error:
            os.write(READY, f"{type(error).__name__}: {error}".encode())
            raise
    except BaseException:
        os._exit(CONFINEMENT_FAILED)
    os.write(READY, b"\0")
    _serve(policy, state.config)


def _make_ready(policy: Policy) -> None:
    """Do what needs no payload, and touch what every run touches, so that its page faults are paid before a request."""
    global _leader  # noqa: PLW0603  # one per process, and this is a process of one purpose
    _leader = os.getpid()
    # an interrupt is the program's, and waits for it to begin
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    sys.path[0] = os.getcwd()
    _open_streams()
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()  # the standard library's generator reseeds itself after a fork
    tree = ast.parse(_WARM_UP, FILENAME)
    check(tree, policy)
    exec(compile(tree, "warm-up", "exec", dont_inherit=True), {"print": lambda *_a, **_k: None})
    json.loads('{"code": "", "args": [], "policy": true}')


def _serve(policy: Policy, config: AgentConfig) -> NoReturn:
    messages = read_messages(PAYLOAD)
    request = json.loads(next(messages))
    if request.get("session"):
        from sandbox_agent import session  # which imports this module; the supervisor has imported it before the fork

        session.serve(request["files"], messages, policy, config.attachment_bytes)
    os.close(PAYLOAD)
    os.close(READY)
    code = _prepare(request, policy)
    write_files(request["files"])
    if request["display"]:
        display.open_on(DISPLAY, config.attachment_bytes)
    else:
        os.close(DISPLAY)
    if request["interactive"]:
        prompt_for_input()
    else:
        os.close(PROMPT)
    _limit_processor(int(request.get("cpu") or config.cpu_seconds), config)
    arguments = request["args"]
    del request
    os.close(REPORT)  # before the first instruction of the program, which could forge a report
    status = 1
    try:
        status = _finish(_run(code, main_module(arguments)))
    finally:
        os._exit(status)


def read_messages(fd: int) -> Iterator[bytes]:
    """Yield what comes in ``fd``, up to each line end and to the end of the pipe: JSON has no line ends of its own."""
    rest = b""
    pieces: list[bytes] = []
    while piece := rest or os.read(fd, 1 << 16):
        before, end, rest = piece.partition(b"\n")
        pieces.append(before)
        if end:
            yield b"".join(pieces)
            pieces.clear()
    if pieces:
        yield b"".join(pieces)


def _limit_processor(seconds: int, config: AgentConfig) -> None:
    """Hold this process to so many seconds for good: it was confined with what a session may use in all."""
    seconds = min(max(1, seconds), config.cpu_seconds)
    with contextlib.suppress(ValueError):  # that would be more than the machine grants, whose own limit holds already
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))


class RefusedError(Exception):
    """A source is not run, and why: ``reason`` is that of the report."""

    def __init__(self, reason: str, problems: list[Problem]) -> None:
        super().__init__(reason)
        self.reason = reason
        self.problems = problems


def _prepare(request: dict[str, Any], policy: Policy) -> list[types.CodeType]:
    """Check and compile the source; on a problem, or when only a check was asked for, report and exit."""
    try:
        code = compiled(request["code"], FILENAME, policy if request["policy"] else None, last=request["display"])
    except RefusedError as refused:
        _report(refused.reason, refused.problems)
    if request["check"]:
        _report("", [])
    return code


def compiled(source: str, name: str, policy: Policy | None, *, last: bool) -> list[types.CodeType]:
    """Check (unless ``policy`` is None) and compile a source as the file ``name``; raise ``RefusedError``.

    Returns the program, followed, if ``last``, by its last expression alone, whose value is to be displayed; a
    semicolon after it says, as in a notebook, that it is not.
    """
    source = source.removeprefix("\ufeff")  # a byte order mark, as Python reads a file
    _quote(source, name)
    try:
        # a str, never bytes: an encoding cookie must not make the compiler read another text than the checker
        tree = ast.parse(source, name)
        problems = check(tree, policy) if policy is not None else []
        if problems:
            raise RefusedError("policy", problems)
        shown = last and tree.body and isinstance(tree.body[-1], ast.Expr) and not _has_semicolon(source, tree.body[-1])
        value = tree.body.pop() if shown else None
        code = [compile(tree, name, "exec", dont_inherit=True, optimize=0)]
        if isinstance(value, ast.Expr):
            code.append(compile(ast.Expression(value.value), name, "eval", dont_inherit=True, optimize=0))
    except SyntaxError as error:
        text = _syntax_text(error) if error.lineno else wording.uncompilable(error)
        raise RefusedError("syntax", [Problem(error.lineno or 1, (error.offset or 1), text)]) from None
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        raise RefusedError("syntax", [Problem(1, 1, wording.uncompilable(error))]) from None
    return code


def _has_semicolon(source: str, last: ast.Expr) -> bool:
    """Whether a semicolon follows the last statement of a source."""
    lines = io.StringIO(source, newline=None).readlines()  # as Python counts them, not as str.splitlines does
    line, column = (last.end_lineno or 1) - 1, last.end_col_offset  # of bytes
    return lines[line].encode("utf-8", "surrogatepass")[column:].lstrip(b" \t\f").startswith(b";")


def _syntax_text(error: SyntaxError) -> str:
    """Return Python's own words, without the line that they quote where nobody would read it."""
    if error.text and len(error.text) > _LONGEST_LINE:
        error.text = None
    return "".join(traceback.format_exception_only(error)).rstrip("\n")[:_LONGEST_TEXT]


def _report(reason: str, problems: list[Problem]) -> NoReturn:
    send_report(reason=reason, problems=[problem._asdict() for problem in problems])
    os._exit(1 if reason else 0)


def send_report(**report: Any) -> None:
    data = memoryview(json.dumps(report).encode())
    while data:
        data = data[os.write(REPORT, data) :]


def _quote(source: str, name: str) -> None:
    """Have tracebacks and warnings quote the program, whose file is nowhere."""
    # not str.splitlines, which knows more line ends than Python's source has
    lines = io.StringIO(source, newline=None).readlines()
    if lines:
        lines[-1] = lines[-1].removesuffix("\n") + "\n"
    linecache.cache[name] = (len(source), None, lines, name)


def main_module(arguments: list[str]) -> types.ModuleType:
    """Make ``__main__`` and the world around it look as ``python main.py ARGS`` in the box would."""
    module = types.ModuleType("__main__")
    builtins = sys.modules["builtins"]
    vars(module).update(__file__=FILENAME, __cached__=None, __builtins__=builtins, __annotations__={})
    sys.modules["__main__"] = module
    sys.argv = [FILENAME, *arguments]
    return module


def _open_streams() -> None:
    """Fresh text streams that leave their descriptors open, as the interpreter's own do.

    Written through, so that what was printed before a kill is never lost.
    """
    sys.stdin = sys.__stdin__ = _text_input(io.FileIO(STDIN, closefd=False))  # type: ignore[misc]
    out = io.FileIO(STDOUT, "wb", closefd=False)
    err = io.FileIO(STDERR, "wb", closefd=False)
    # open() refuses unbuffered text; TextIOWrapper over the raw file with write_through is what `python -u` makes
    sys.stdout = sys.__stdout__ = io.TextIOWrapper(out, "utf-8", "surrogateescape", write_through=True)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = io.TextIOWrapper(err, "utf-8", "backslashreplace", write_through=True)  # type: ignore[misc]
    out.name, err.name = "<stdout>", "<stderr>"


def prompt_for_input() -> None:
    """Have whatever reads stdin say so beforehand."""
    sys.stdin = sys.__stdin__ = _text_input(_PromptingFile(STDIN, closefd=False))  # type: ignore[misc]


def _text_input(raw: io.FileIO) -> io.TextIOWrapper:
    raw.name = "<stdin>"
    return io.TextIOWrapper(io.BufferedReader(raw), "utf-8", "surrogateescape", newline="\n")


class _PromptingFile(io.FileIO):
    """A stdin that tells the supervisor, with a byte in the prompt pipe, when the program is about to wait for it."""

    def readinto(self, buffer: Any) -> int | None:
        self._prompt()
        return super().readinto(buffer)

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            return self.readall()
        self._prompt()
        return super().read(size) or b""

    def readall(self) -> bytes:
        return b"".join(iter(lambda: self.read(1 << 16), b""))

    @staticmethod
    def _prompt() -> None:
        with contextlib.suppress(OSError):
            if not available(STDIN):
                os.write(PROMPT, b"\0")


def write_files(files: list[list[str]]) -> None:
    """Put the run's files into its box, or report and exit; each is a relative path and its content in base64."""
    try:
        for path, content in files:
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            with open(path, "wb") as file:
                file.write(base64.b64decode(content))
    except OSError as error:
        _report("disk_limit", [Problem(1, 1, f"The file {path!r} could not be written: {error.strerror}.")])


def _run(code: list[types.CodeType], module: types.ModuleType) -> int:
    """Run the program to the end of its main thread; return its exit status so far."""
    set_hooks()
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        execute(code, module)
    except SystemExit as stop:
        return exit_status(stop)
    except BaseException as error:
        failure = error
    else:
        return 0
    _hint(failure)
    return uncaught(failure)  # not while it is handled: it would be taken for the context of what the hook raises


def set_hooks() -> None:
    """Have exceptions printed by this module."""
    sys.excepthook = sys.__excepthook__ = _excepthook
    threading.excepthook = _thread_excepthook


def execute(code: list[types.CodeType], module: types.ModuleType) -> None:
    """Run what `compiled` returned, in a module."""
    exec(code[0], module.__dict__)
    for last in code[1:]:
        display.value(eval(last, module.__dict__))
    display.figures()


def exit_status(stop: SystemExit) -> int:
    if stop.code is None:
        return 0
    if isinstance(stop.code, int):
        return stop.code & 0xFF
    _say(stop.code)
    return 1


def uncaught(error: BaseException) -> int:
    """Print an exception as Python does; return the exit status that it gives."""
    error = _without_our_frames(error)
    hook = getattr(sys, "excepthook", _excepthook)
    try:
        hook(type(error), error, error.__traceback__)
    except SystemExit as stop:
        return exit_status(stop)
    except BaseException as failure:
        _say("Error in sys.excepthook:")
        _print_exception(_without_our_frames(failure))
        _say("\nOriginal exception was:")
        _print_exception(error)
    return 1


def _without_our_frames(error: BaseException) -> BaseException:
    trace = error.__traceback__
    while trace is not None and os.path.dirname(trace.tb_frame.f_code.co_filename) == _HERE:
        trace = trace.tb_next
    return error.with_traceback(trace)


def _say(what: object) -> None:
    """Write a line to the program's stderr, if it left one that can be written to."""
    try:
        sys.stderr.write(f"{what}\n")
    except BaseException:
        pass


def _excepthook(_kind: object, error: BaseException, _trace: object) -> None:
    _print_exception(error)


def _print_exception(error: BaseException) -> None:
    # not the interpreter's own hook, which looks for the source in a file; this one finds it in linecache
    _say("".join(traceback.format_exception(error)).removesuffix("\n") + _suggestion(error))


def _suggestion(error: BaseException) -> str:
    """Return ". Did you mean: 'this'?", which Python 3.11 adds in its own hook alone."""
    if sys.version_info >= (3, 12) or not isinstance(error, (NameError, AttributeError)):
        return ""
    heard = io.StringIO()
    with contextlib.redirect_stderr(heard):
        _INTERPRETERS_HOOK(type(error), error, error.__traceback__)
    last = heard.getvalue().rstrip("\n").rpartition("\n")[2]
    return "".join(last.partition(". Did you mean: ")[1:])


def _thread_excepthook(arguments: Any) -> None:
    if arguments.exc_type is SystemExit or arguments.exc_value is None:
        return
    name = arguments.thread.name if arguments.thread is not None else "?"
    _say(f"Exception in thread {name}:")
    _print_exception(arguments.exc_value)


def kind_of(error: BaseException) -> int:
    """Return which of the hints an exception is."""
    if isinstance(error, MemoryError):
        return HINT_MEMORY
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return HINT_DISK
    if (isinstance(error, BlockingIOError) and error.errno == errno.EAGAIN) or (
        isinstance(error, RuntimeError) and "can't start new thread" in str(error)
    ):
        return HINT_PROCESSES
    return HINT_EXCEPTION


def is_leader() -> bool:
    """Whether this is the run's first process, and not one that the program forked."""
    return os.getpid() == _leader


def _hint(error: BaseException) -> None:
    """Leave as many bytes as the kind of the exception has; only the run's first process has a say."""
    if is_leader():
        try:
            os.write(HINT, bytes(kind_of(error)))
        except OSError:
            pass  # the program closed it; it loses nothing but the name of its failure


def _finish(status: int) -> int:
    """What the interpreter does at the end: wait for threads, run atexit callbacks, let go of everything, flush."""
    for step in (threading._shutdown, atexit._run_exitfuncs):  # type: ignore[attr-defined]  # noqa: SLF001  # as Py_FinalizeEx does
        try:
            step()
        except SystemExit as stop:
            status = exit_status(stop)
        except BaseException as error:
            _print_exception(_without_our_frames(error))
    if not _thread._count():  # noqa: SLF001  # daemon threads are still running here, and would miss their names
        sys.modules.pop("__main__", None)
        gc.collect()  # finalizers run, generators are closed, the program's own files on stdout are flushed
    return status if flush() else status or 120  # as CPython


def flush() -> bool:
    """Write out what the streams still hold; False if that failed."""
    whole = True
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (ValueError, AttributeError):
            pass  # closed or replaced by the program
        except OSError:
            whole = False
    return whole
