"""A program runs as ``python main.py`` runs it: the same interpreter, outside a sandbox, is asked what is right."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import Any

import pytest

from code_executor import Execution, Executor
from sandbox_agent.contract.wording import signal_death
from tests.conftest import IMAGE
from tests.contract.program import Program
from tests.contract.programs import PROGRAMS

DRIVER = """
import json, os, signal, subprocess, sys, tempfile

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a test run in the background of a shell ignores
answers = {}
for name, (code, stdin, args) in json.load(sys.stdin).items():
    with tempfile.TemporaryDirectory() as box:
        with open(f"{box}/main.py", "w", newline="") as file:
            file.write(code)
        command = [sys.executable, "main.py", *args]
        environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": box}
        done = subprocess.run(command, cwd=box, env=environment, input=stdin.encode(), capture_output=True)
        here = os.path.realpath(box) + "/"
        output, error = (text.decode(errors="replace").replace(here, "") for text in (done.stdout, done.stderr))
        answers[name] = done.returncode, output, error.removesuffix("\\n")
json.dump(answers, sys.stdout)
"""

INTERPRETER = {
    "docker": [
        "docker",
        "run",
        "--rm",
        "-i",
        "--network",
        "none",
        "--entrypoint",
        "/opt/sandbox/bin/python",
        IMAGE,
    ],
    "native": [".sandbox/bin/python"],
}


@pytest.fixture(scope="module")
def bare(engine: str) -> dict[str, list[Any]]:
    """What the engine's interpreter makes of every program: exit status, stdout and stderr."""
    command = [*INTERPRETER[engine], "-c", DRIVER]
    done = subprocess.run(command, input=json.dumps(PROGRAMS), stdout=subprocess.PIPE, text=True, check=True)
    answers: dict[str, list[Any]] = json.loads(done.stdout)
    return answers


@pytest.mark.anyio
@pytest.mark.parametrize("name", PROGRAMS)
async def test_does_what_python_main_py_does(executor: Executor, bare: dict[str, list[Any]], name: str) -> None:
    result = await _run(executor, PROGRAMS[name])
    ended = -signal.Signals[result.signal] if result.signal else result.exit_code
    output, error = (text.replace("/work/", "") for text in (result.output, result.error))
    if result.signal:
        error = error.removesuffix(signal_death(-ended)).removesuffix("\n")
    assert [ended, output, error] == bare[name]


async def _run(executor: Executor, program: Program) -> Any:
    return await executor.run(Execution(program.code, program.stdin, program.args, timeout=20))


@pytest.mark.anyio
async def test_the_working_directory_is_the_box_with_nothing_but_the_program(executor: Executor) -> None:
    result = await executor.run("import os, sys\nprint(os.getcwd(), os.listdir(), sys.path[0], __file__)")
    assert result.output == "/work ['main.py'] /work /work/main.py\n"


@pytest.mark.anyio
@pytest.mark.parametrize(
    "code",
    [
        "def f(): f()\nf()",
        "import sys\nsys.stderr.close()\n1/0",
        "class E(BaseException): pass\nraise E",
        "import sys\nsys.excepthook = 3\n1/0",
        "import sys\ndel sys.excepthook, sys.__excepthook__\n1/0",
        "import sys\ndel sys.stderr\nsys.exit('x')",
        "import builtins\ndel builtins.print, builtins.open\n1/0",
        "import atexit\n@atexit.register\ndef f(): 1/0\n1/0",
        "import threading\nthreading._shutdown = None\n1/0",
        "class A:\n    def __del__(self): 1/0\na = A()\n1/0",
        "x = 1\nx.y\n" + "# \u2028\n" * 3,
        "raise KeyboardInterrupt",
        "import traceback\ntraceback.format_exception = None\n1/0",
    ],
)
async def test_no_traceback_shows_the_agent(executor: Executor, code: str) -> None:
    result = await executor.run(code, timeout=20)
    assert result.exit_code == 1 or result.signal == "SIGINT"
    assert "sandbox_agent" not in result.output + result.error


@pytest.mark.anyio
async def test_the_line_of_an_exception_is_told(executor: Executor) -> None:
    result = await executor.run("def f():\n    1/0\n\nf()\n")
    assert (result.line, result.column) == (2, None)


@pytest.mark.anyio
async def test_a_hash_seed_is_not_the_same_for_ever(executor: Executor) -> None:
    """Two sandboxes give one text two hashes, as two processes of Python do."""
    async with Executor.open(engine=executor.pool.engine.name, policy="off", pool_size=1, preload=(), reuse=0) as fresh:
        first, second = [(await fresh.run("print(hash('text'))")).output for _ in range(2)]
    assert first != second
