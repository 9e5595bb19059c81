"""What one run costs the sandbox, step by step. It runs as the first process of a container of the image.

    docker run … --entrypoint INTERPRETER IMAGE -I -B rungs.py CONFIG ROUNDS

Each rung is a fork of a supervisor. It does what a real child does, up to a point, and ends. The last two rungs are
what you would do without a sandbox. Prints ``{rung: {"wall", "cpu", "faults"}}`` with a list per figure: milliseconds,
processor milliseconds of both processes, and page faults of both.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable

sys.path.insert(0, "/opt/agent")

from sandbox_agent.child import ending, life, pipes, program
from sandbox_agent.child.script import Script
from sandbox_agent.child.source import compiled
from sandbox_agent.confinement import kernel
from sandbox_agent.confinement.confine import Confinement, arrange, confine, default_signals, prepare
from sandbox_agent.contract.config import AgentConfig
from sandbox_agent.contract.policy.rules import Policy
from sandbox_agent.supervisor import loop
from sandbox_agent.supervisor.immortal import immortalize

PROGRAM = "print(1)"
POLICY = Policy()
DESCRIPTORS = pipes.GIVEN + 1  # the last of them


def fork(then: Callable[[], None]) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            then()
        except BaseException as error:  # noqa: BLE001  # it must not go on as a second supervisor
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if status:
        sys.exit(f"a child ended with {status}")


def confined(state: Confinement, pid: int) -> None:
    pipes = [os.open("/dev/null", os.O_RDWR) for _ in range(DESCRIPTORS)]
    confine(state, arrange(pipes, state.landlock_fd), pid)


def ready(state: Confinement, pid: int) -> Script:
    confined(state, pid)
    return life._make_ready(POLICY)  # noqa: SLF001  # what is measured


def warm(state: Confinement, pid: int) -> None:
    ready(state, pid).drop()


def run(state: Confinement, pid: int) -> None:
    script = ready(state, pid)
    script.write(PROGRAM)
    code = compiled(PROGRAM, script.path, POLICY, last=False)
    ending.finalize(program.run(code, program.main_module([], script.path), script.path))
    script.remove()


def spawn(*command: str) -> None:
    null = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1)]
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=null)
    os.waitpid(pid, 0)


def used() -> tuple[float, int]:
    mine, theirs = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = mine.ru_utime + mine.ru_stime + theirs.ru_utime + theirs.ru_stime
    return seconds * 1000, mine.ru_minflt + theirs.ru_minflt


def main() -> None:
    config, rounds = AgentConfig.from_json(sys.argv[1]), int(sys.argv[2])
    for name in (*config.standard, *config.preload):
        __import__(name)
    default_signals()
    state = prepare(config, pipes.HINT)
    pid = os.getpid()
    rungs: dict[str, Callable[[], None]] = {
        "fork, then end": lambda: fork(lambda: None),
        "fork, confine": lambda: fork(lambda: confined(state, pid)),
        "fork, confine, warm up": lambda: fork(lambda: warm(state, pid)),
        f"fork, confine, warm up, run {PROGRAM}": lambda: fork(lambda: run(state, pid)),
        "/bin/true": lambda: spawn("/bin/true"),
        f"python3 -c '{PROGRAM}'": lambda: spawn(sys.executable, "-c", PROGRAM),
    }
    figures: dict[str, dict[str, list[float]]] = {name: {"wall": [], "cpu": [], "faults": []} for name in rungs}
    gc.collect()
    immortalize()
    kernel.trim_heap()
    gc.freeze()
    for _ in range(rounds):
        for name, rung in rungs.items():
            before, began = used(), time.perf_counter()
            rung()
            wall, after = (time.perf_counter() - began) * 1000, used()
            figures[name]["wall"].append(wall)
            figures[name]["cpu"].append(after[0] - before[0])
            figures[name]["faults"].append(after[1] - before[1])
    print(json.dumps(figures))


assert loop  # imported for its share of the memory that is forked
signal.signal(signal.SIGCHLD, signal.SIG_DFL)
main()
