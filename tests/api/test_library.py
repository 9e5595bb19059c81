"""The library, as a plain script uses it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import IMAGE

OPEN = """
import asyncio
from code_executor import Executor

async def main():
    async with Executor.open(engine=ENGINE, pool_size=2, preload=()) as executor:
        result = await executor.run("print(int(input()) * 2)", stdin="21")
        print(result.status, result.reason, result.output, end="")
        results = await asyncio.gather(*(executor.run(f"print({n})") for n in range(4)))
        print(*(each.output.strip() for each in results))

asyncio.run(main())
"""

BLOCKING = """
import threading
from code_executor import BlockingExecutor, Execution

with BlockingExecutor(engine=ENGINE, pool_size=2, preload=()) as executor:
    result = executor.run("print(int(input()) * 2)", stdin="21")
    print(result.status, result.reason, result.output, end="")
    outputs = [""] * 4
    def work(n):
        outputs[n] = executor.run(Execution(f"print({n})")).output.strip()
    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    print(*outputs)
"""


def script(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CODE_EXECUTOR_")}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=clean | {"CODE_EXECUTOR_IMAGE": IMAGE} | environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


@pytest.mark.parametrize("code", [OPEN, BLOCKING], ids=["open", "blocking"])
def test_a_script_gets_results_and_nothing_else_on_its_stdout(engine: str, code: str) -> None:
    done = script(code.replace("ENGINE", repr(engine)))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "success completed 42\n0 1 2 3\n"
    assert "Traceback" not in done.stderr


SESSION = """
import asyncio
from code_executor import BlockingExecutor, Executor

with BlockingExecutor(engine="native", preload=(), log_level="error") as executor, executor.session() as session:
    session.run("x = 41")
    print(session.run("x + 1").output)

async def main():
    async with Executor.open(engine="native", preload=(), log_level="error") as executor:
        async with executor.session() as session:
            await session.run("x = 41")
            print((await session.run("x + 1")).output)

asyncio.run(main())
"""


def test_runs_of_a_session_share_their_state() -> None:
    done = script(SESSION)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "42\n\n42\n\n"


def test_settings_that_are_not_given_come_from_the_environment() -> None:
    code = """
from code_executor import BlockingExecutor
with BlockingExecutor() as executor:
    print(executor.run("while True: pass").error)
"""
    done = script(code, CODE_EXECUTOR_ENGINE="native", CODE_EXECUTOR_MAX_TIMEOUT="0.5", CODE_EXECUTOR_PRELOAD="")
    assert done.stdout == "Execution exceeded 0.5 second timeout\n"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("memory='lots'", "ConfigurationError: CODE_EXECUTOR_MEMORY: not a size"),
        ("engine='docker', image='code-executor:nowhere'", "run `make image` to build code-executor:nowhere"),
        ("python='/nowhere/python', engine='native'", "cannot use /nowhere/python as the sandbox's Python"),
        ("colour='red'", "CODE_EXECUTOR_COLOUR"),
    ],
)
@pytest.mark.usefixtures("docker")
def test_what_cannot_be_opened_is_an_exception_that_says_why(settings: str, says: str) -> None:
    done = script(f"from code_executor import BlockingExecutor\nwith BlockingExecutor({settings}): pass")
    assert done.returncode == 1
    assert says in done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("timeout", ["0", "-1", "float('nan')"])
def test_a_timeout_that_is_none_is_a_mistake_of_the_caller(timeout: str) -> None:
    done = script(f"from code_executor import Execution\nExecution('print(1)', timeout={timeout})")
    assert done.stderr.strip().splitlines()[-1].startswith("ValueError: timeout")


def test_a_blocking_executor_is_a_context_manager() -> None:
    done = script("from code_executor import BlockingExecutor\nBlockingExecutor().run('print(1)')")
    assert done.stderr.strip().endswith("use it as a context manager: with BlockingExecutor() as executor")


def test_importing_it_does_nothing() -> None:
    code = """
import os, sys, threading
import code_executor
print(threading.active_count(), len(os.listdir("/proc/self/fd")), "fastapi" in sys.modules)
"""
    assert script(code).stdout == "1 4 False\n"
