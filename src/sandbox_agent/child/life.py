"""The child: one confined interpreter that runs one execution, as ``python main.py`` would, and dies.

It is forked before there is anything to run, confines itself, touches the pages that every run touches, says so, and
waits for its payload. From the first byte of the payload on, everything in this process belongs to the run. A payload
that asks for a session makes it an interpreter that runs one cell after another: see ``session.py``.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import signal
import sys
import types
from collections.abc import Mapping
from typing import Any, NoReturn

from sandbox_agent.child import (
    asking,
    display,
    ending,
    entry,
    given,
    holding,
    imports,
    pipes,
    program,
    session,
    stacks,
    stdin,
    streams,
)
from sandbox_agent.child.entry import Entry
from sandbox_agent.child.given import GivenFile
from sandbox_agent.child.script import Script
from sandbox_agent.child.source import RefusedError, compiled
from sandbox_agent.confinement import kernel
from sandbox_agent.confinement.confine import Confinement, arrange, confine
from sandbox_agent.contract.config import AgentConfig
from sandbox_agent.contract.policy import MAX_PROBLEMS, Policy, SourceProblem
from sandbox_agent.contract.protocol import MAIN

CONFINEMENT_FAILED = 70

_WARM_UP = """
import sys
def f(x, *a, **k):
    return [f'{y!r}' for y in a if x]
try:
    print(f(1), end='')
except ValueError as e:
    raise
"""


def main(state: Confinement, descriptors: list[int], policies: Mapping[str, Policy], supervisor: int) -> NoReturn:
    """Become a confined child; never returns. ``policies``: by name; the run names one."""
    try:
        landlock_fd = arrange(descriptors, state.landlock_fd)
        try:
            with contextlib.suppress(PermissionError):  # gVisor has no modes of pipes
                os.fchmod(pipes.STDIN, 0o444)  # so that /dev/stdin can be opened: the kernel asks what this pipe says
            confine(state, landlock_fd, supervisor)
            with contextlib.suppress(OSError):  # it makes results faster, nothing else
                kernel.hold_memory()
            script = _make_ready(policies[""])
        except BaseException as error:
            os.write(pipes.READY, f"{type(error).__name__}: {error}".encode())
            raise
    except BaseException:
        os._exit(CONFINEMENT_FAILED)
    os.write(pipes.READY, b"\0")
    try:
        _serve(policies, state.config, script)
    finally:  # whatever happens: this process is a copy of the supervisor, and must not go on as one
        os._exit(1)


def _make_ready(policy: Policy) -> Script:
    """Do what needs no payload, and touch what every run touches, so that its page faults are paid before a request."""
    pipes.lead()
    # an interrupt is the program's, and waits for it to begin
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    sys.path[0] = os.getcwd()
    streams.open_streams()
    stacks.install()
    _reseed()
    os.set_blocking(pipes.GIVEN, False)
    script = Script()
    with contextlib.suppress(RefusedError):  # of a policy that refuses what it does
        compiled(_WARM_UP, script.path, policy, last=False)
    code = compiled(_WARM_UP, script.path, None, last=False)
    module = program.main_module([], script.path)
    vars(module)["print"] = lambda *_a, **_k: None
    program.execute(code, module)
    ending.after_main(module)
    given.packed(given.name_of(MAIN.encode()), given.note_of(_WARM_UP.encode()))
    json.loads('{"code": "", "args": [], "policy": ""}')
    print(end="")
    ending.flush()
    imports.hide_again()
    ending.remember()
    gc.collect()
    gc.freeze()  # what there is now is not the program's: it is not looked through at its end
    return script


def _reseed() -> None:
    """Give each run random numbers of its own. The standard library's generator does this itself after a fork."""
    if (numpy := imports.known("numpy.random")) is not None:
        numpy.seed()
    if (sympy := imports.known("sympy.core.random")) is not None:
        sympy.rng.seed()


def _serve(policies: Mapping[str, Policy], config: AgentConfig, script: Script) -> NoReturn:
    messages = pipes.Messages(pipes.PAYLOAD)
    request = json.loads(next(messages))
    files = given.read(request["files"])
    imports.make_way(file.path for file in files)
    policy = _chosen(policies, request["policy"], script)
    if request.get("session"):
        script.drop()
        _write_files(files)
        rules = policy if policy is not None else policies[""]
        session.serve(messages, rules, config.limits.attachments, given.problems(files, rules))
    more: dict[str, Any] = request.get("more") or {}
    start = _enter(more, files, script) if more else None
    code = _prepare(request, files, policy, script, start)
    _write_files(files)
    if request["display"]:
        display.open_on(pipes.DISPLAY, config.limits.attachments)
    if request["interactive"]:
        stdin.prompt()
        asking.install()
    _close_pipes(display=request["display"], prompt=request["interactive"])
    _limit_processor(int(request.get("cpu") or config.cpu_seconds), config)
    if more:
        os.environ.update(more["env"])
        if more["hold"] is not None:
            holding.hold(more["hold"], config)
    arguments = request["args"]
    del request, more
    spelled = os.path.basename(script.path)
    if start is None:  # the module is nobody's but the program's, or it would not be let go of at its end
        status = program.run(code, program.main_module(arguments, script.path, spelled), script.path)
    else:
        status = entry.run(start, code, entry.main_module(start, arguments))
    status = ending.finalize(status)
    if pipes.is_leader():
        script.remove()
    ending.leave(status)


def _chosen(policies: Mapping[str, Policy], name: str | None, script: Script) -> Policy | None:
    """Return the policy of that name; of none, nothing. Where there is no such policy, refuse the run and exit."""
    if name is None:
        return None
    if name not in policies:
        script.remove()
        _report("policy", [SourceProblem(1, 1, f"There is no policy {name!r} here.")])
    return policies[name]


def _enter(more: dict[str, Any], files: list[GivenFile], script: Script) -> Entry | None:
    """Give the program's file its name; return what is run instead of it, if something is."""
    if more["name"] != MAIN:
        imports.make_way([more["name"]])
        try:
            script.rename(more["name"])
        except OSError as error:
            _report_unwritten(more["name"], error)
    start = Entry.read(more["entry"])
    if start is not None:
        start.make_way(files)
        start.enter()
    return start


def _close_pipes(*, display: bool, prompt: bool) -> None:
    """Close what is not needed any more before the first instruction of the program, which could forge a report."""
    os.closerange(pipes.PAYLOAD, pipes.REPORT + 1)  # READY is between them
    if not display and not prompt:
        os.closerange(pipes.DISPLAY, pipes.PROMPT + 1)
    elif not display:
        os.close(pipes.DISPLAY)
    elif not prompt:
        os.close(pipes.PROMPT)


def _limit_processor(seconds: int, config: AgentConfig) -> None:
    """Hold this process to so many seconds for good: it was confined with what a session may use in all."""
    seconds = min(max(1, seconds), config.cpu_seconds)
    with contextlib.suppress(ValueError):  # that would be more than the machine grants, whose own limit holds already
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))


def _prepare(
    request: dict[str, Any], files: list[GivenFile], policy: Policy | None, script: Script, start: Entry | None
) -> list[types.CodeType]:
    """Write down, check and compile the source; on a problem, or when only a check was asked for, report and exit.

    Returns nothing where a module is run, which Python compiles.
    """
    refused_files = given.problems(_beside(start, files), policy) if policy is not None else []
    source = request["code"]
    if source is None:
        script.drop()
    else:
        name = os.path.basename(script.path)
        try:
            script.write(source)  # first, for the compiler quotes it in its warnings
        except OSError as error:
            _report_unwritten(name, error)
        given.note(pipes.GIVEN, name, script.content)
        if start is not None and policy is not None:
            refused_files += given.problems([GivenFile(name, script.content)], policy)
    try:
        code = _compiled(source, files, policy, script, start, last=request["display"])
    except RefusedError as refused:
        script.remove()
        _report(refused.reason, refused.problems + (refused_files if refused.reason == "policy" else []))
    if refused_files:
        script.remove()
        _report("policy", refused_files)
    if request["check"]:
        script.remove()
        _report("", [])
    return code


def _beside(start: Entry | None, files: list[GivenFile]) -> list[GivenFile]:
    """Return the files that are not what is run."""
    return files if start is None else [file for file in files if file.path != start.path]


def _compiled(
    source: str | None,
    files: list[GivenFile],
    policy: Policy | None,
    script: Script,
    start: Entry | None,
    *,
    last: bool,
) -> list[types.CodeType]:
    """Compile what is run; raise ``RefusedError``."""
    path = script.path
    if start is not None:
        if start.module:
            if policy is not None:
                start.require_own(files, policy)
            return []
        source, path = start.source(files), os.path.join(os.getcwd(), start.path)
    return compiled(source or "", path, policy, last=last)


def _report(reason: str, problems: list[SourceProblem]) -> NoReturn:
    pipes.send_report(reason=reason, problems=[problem._asdict() for problem in problems[:MAX_PROBLEMS]])
    os._exit(1 if reason else 0)


def _write_files(files: list[GivenFile]) -> None:
    """Put the run's files into its box, and let go of the pipe that tells the collector of them; or report and exit."""
    try:
        given.put(files, pipes.GIVEN)
    except OSError as error:
        _report_unwritten(error.filename, error)
    os.close(pipes.GIVEN)  # before the first instruction of the program, which could forge a note


def _report_unwritten(path: str, error: OSError) -> NoReturn:
    _report("disk_limit", [SourceProblem(1, 1, f"The file {path!r} could not be written: {error.strerror}.")])
