"""A program runs as ``python main.py`` runs it: the same interpreter, outside a sandbox, is asked what is right."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import Any

import pytest

from code_executor import Execution, Executor
from code_executor.core.models import File
from sandbox_agent.contract.wording import signal_death
from tests.conftest import IMAGE
from tests.contract.program import Program
from tests.contract.programs import PROGRAMS

WITHIN = 60
"""Seconds that a program may take outside a sandbox. One that takes longer is named, and stops no other."""

DRIVER = f"""
import json, os, signal, subprocess, sys, tempfile
from concurrent.futures import ThreadPoolExecutor

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a test run in the background of a shell ignores

def answer(program):
    code, stdin, args = program
    with tempfile.TemporaryDirectory() as box:
        with open(f"{{box}}/main.py", "w", newline="") as file:
            file.write(code)
        command = [sys.executable, "main.py", *args]
        environment = {{"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": box}}
        try:
            done = subprocess.run(
                command, cwd=box, env=environment, input=stdin.encode(), capture_output=True, timeout={WITHIN}
            )
        except subprocess.TimeoutExpired:
            return "no end within {WITHIN} seconds", "", ""
        here = os.path.realpath(box) + "/"
        output, error = (text.decode(errors="replace").replace(here, "") for text in (done.stdout, done.stderr))
        return done.returncode, output, error.removesuffix("\\n")

programs = json.load(sys.stdin)
with ThreadPoolExecutor(2) as side_by_side:
    json.dump(dict(zip(programs, side_by_side.map(answer, programs.values()))), sys.stdout)
"""

pytestmark = pytest.mark.timeout(300)  # the first of an engine waits for all that is run outside a sandbox

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
@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("import traceback\ntry:\n    1/0\nexcept Exception:\n    t = traceback.format_exc()\nraise ValueError(t)", 6),
        ("import sys\nsys.tracebacklimit = 0\n1/0", 3),
        ("import sys\nsys.stderr = None\n1/0", 3),
        ("import sys\nsys.excepthook = lambda *_: None\n\n1/0", 4),
        ("import os\nos.chdir('/')\n\n1/0", 4),
        ("import json\n\njson.loads('{')", 3),
        ("x = 1\neval('1 +')", 2),
        ("def f(): f()\n\nf()", 1),
        ("raise KeyboardInterrupt", 1),
        ("x = [0]\nx *= 10**12", 2),
        ("import sys\nprint('File \"main.py\", line 9, in f', file=sys.stderr)\nsys.exit(1)", None),
        ("import threading\nt = threading.Thread(target=lambda: 1/0); t.start(); t.join()", None),
        ("x = 1\nreturn x", 2),
        ("x = 1\ny = '\0'", 2),
    ],
)
async def test_the_line_is_the_exceptions_whatever_is_printed(executor: Executor, code: str, line: int | None) -> None:
    assert (await executor.run(code, timeout=20)).line == line


@pytest.mark.anyio
async def test_a_program_can_lie_about_its_line_alone(executor: Executor) -> None:
    result = await executor.run("import os\nos.write(9, b'7'); os.close(9)\n1/0")
    assert (result.reason, result.line) == ("exception", 7)
    result = await executor.run("import os\nos.write(9, b'7')\nprint(1)")
    assert (result.reason, result.output, result.line) == ("completed", "1\n", None)


@pytest.mark.anyio
async def test_a_program_is_a_file_of_its_box_that_is_not_returned(executor: Executor) -> None:
    read = "import os, sys\nopen('made', 'w').close()\nprint(open(__file__).read() == open('main.py').read())"
    result = await executor.run(read)
    assert (result.output, [file.path for file in result.files]) == ("True\n", ["made"])
    result = await executor.run("open(__file__, 'a').write('#')")
    assert [file.path for file in result.files] == ["main.py"]


@pytest.mark.parametrize("path", ["main.py", "main.py/x"])
def test_a_file_of_a_program_cannot_have_its_name(path: str) -> None:
    with pytest.raises(ValueError, match=r"main\.py is the program itself"):
        Execution("1", files=(File(path, b""),))
    Execution("", files=(File(path, b""),), session=True)


@pytest.mark.anyio
async def test_a_hash_seed_is_not_the_same_for_ever(executor: Executor) -> None:
    """Two sandboxes give one text two hashes, as two processes of Python do."""
    async with Executor.open(engine=executor.pool.engine.name, policy="off", pool_size=1, preload=(), reuse=0) as fresh:
        first, second = [(await fresh.run("print(hash('text'))")).output for _ in range(2)]
    assert first != second
