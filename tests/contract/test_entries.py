"""What is run instead of the code, and what the program finds: as ``python app/main.py`` and ``python -m app`` do."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import Any

import pytest

from code_executor import Entry, Execution, Executor, File, Reason
from tests.contract.test_as_python import INTERPRETER

WORLD = "import sys\nprint(__name__, __file__, sys.argv, sys.path[0], __spec__ and __spec__.name, __package__)\n"
"""Prints what a program is told of itself."""

DRIVER = """
import json, os, subprocess, sys, tempfile

def answer(case):
    command, files = case
    with tempfile.TemporaryDirectory() as box:
        for path, text in files.items():
            os.makedirs(os.path.dirname(f"{box}/{path}"), exist_ok=True)
            with open(f"{box}/{path}", "w", newline="") as file:
                file.write(text)
        environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": box, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run([sys.executable, *command], cwd=box, env=environment, capture_output=True, timeout=60)
        here = os.path.realpath(box)
        output, error = (text.decode().replace(here, "/work") for text in (done.stdout, done.stderr))
        return done.returncode, output, error.removesuffix("\\n").replace(sys.executable, "python")

cases = json.load(sys.stdin)
json.dump({name: answer(case) for name, case in cases.items()}, sys.stdout)
"""


@dataclass(frozen=True)
class Case:
    """``files`` with an entry; ``args`` as of a command line."""

    entry: Entry
    files: dict[str, str]
    args: tuple[str, ...] = ()
    code: str = ""

    @property
    def bare(self) -> tuple[list[str], dict[str, str]]:
        what = ["-m", self.entry.module] if self.entry.module else [self.entry.path]
        return [*what, *self.args], {**self.files, **({"main.py": self.code} if self.code else {})}

    @property
    def execution(self) -> Execution:
        files = tuple(File(path, text.encode()) for path, text in self.files.items())
        return Execution(self.code, args=self.args, files=files, entry=self.entry, policy=False, timeout=20)


ENDS = """class Told:
    def __del__(self): print("gone", flush=True)
told = Told()
told.itself = told
"""
"""Is told of its own end, which comes only if nobody else holds its module."""

FAILS = "def f():\n    return 1 / 0\n\nf()\n"
CASES = {
    "a file": Case(Entry("run.py"), {"run.py": WORLD}, ("a", "b c")),
    "a file in a directory": Case(
        Entry("app/main.py"), {"app/main.py": f"import help\n{WORLD}", "app/help.py": "print('helped')"}, ("x",)
    ),
    "a file that is called as the program is": Case(Entry("main.py"), {"main.py": WORLD}),
    "a file beside the program": Case(
        Entry("run.py"), {"run.py": f"import main\n{WORLD}"}, code="print('main', __name__)"
    ),
    "a file that hides a module of the library": Case(
        Entry("app/main.py"), {"app/main.py": "import random\nprint(random.x)", "app/random.py": "x = 1"}
    ),
    "a file that fails": Case(Entry("app/main.py"), {"app/main.py": FAILS}),
    "a file whose things are let go": Case(Entry("app.py"), {"app.py": ENDS}),
    "a module whose things are let go": Case(Entry(module="app"), {"app.py": ENDS}),
    "a file that exits": Case(Entry("app/main.py"), {"app/main.py": "import sys\nsys.exit(3)"}),
    "a file with no ending": Case(Entry("tool"), {"tool": WORLD}),
    "a module": Case(Entry(module="app"), {"app.py": WORLD}, ("a", "-x")),
    "a package": Case(
        Entry(module="app"),
        {
            "app/__init__.py": "print('package')",
            "app/__main__.py": f"from . import m\n{WORLD}",
            "app/m.py": "print(__name__)",
        },
    ),
    "a module of a package": Case(Entry(module="app.tool"), {"app/__init__.py": "", "app/tool.py": WORLD}),
    "a module of a package without an init": Case(Entry(module="app.tool"), {"app/tool.py": WORLD}),
    "a module that fails": Case(Entry(module="app"), {"app.py": FAILS}),
    "a package that fails": Case(Entry(module="app"), {"app/__init__.py": "", "app/__main__.py": FAILS}),
    "a module that exits": Case(Entry(module="app"), {"app.py": "import sys\nsys.exit('no good')"}),
    "a module that is not there": Case(Entry(module="nothing"), {"app.py": WORLD}),
    "a package that is none to run": Case(Entry(module="app"), {"app/__init__.py": ""}),
    "a module that imports itself": Case(Entry(module="app"), {"app.py": "import app\nprint(__name__)"}),
    "a module of the library": Case(Entry(module="json.tool"), {"in.json": '{"a": [1]}'}, ("in.json",)),
    "the tests of a module": Case(
        Entry(module="unittest"),
        {"test_it.py": "import unittest\nclass T(unittest.TestCase):\n    def test(self): print('tested')"},
        ("-q", "nothing_there"),
    ),
    "a module that leaves word at its end": Case(
        Entry(module="app"), {"app.py": "import atexit\natexit.register(lambda: print('end', __file__))"}
    ),
}


@pytest.fixture(scope="module")
def bare(engine: str) -> dict[str, list[Any]]:
    """What the engine's interpreter makes of every case: exit status, stdout and stderr."""
    cases = json.dumps({name: case.bare for name, case in CASES.items()})
    done = subprocess.run(
        [*INTERPRETER[engine], "-c", DRIVER], input=cases, stdout=subprocess.PIPE, text=True, check=True
    )
    answers: dict[str, list[Any]] = json.loads(done.stdout)
    return answers


@pytest.mark.anyio
@pytest.mark.parametrize("name", CASES)
async def test_an_entry_runs_as_python_runs_it(executor: Executor, bare: dict[str, list[Any]], name: str) -> None:
    result = await executor.run(CASES[name].execution)
    error = result.error.replace("/opt/sandbox/bin/python", "python")
    assert "sandbox_agent" not in error
    assert [result.exit_code, result.output, _without_path(error)] == [*bare[name][:2], _without_path(bare[name][2])]
    assert (await executor.run("print('well')")).output == "well\n"


def _without_path(error: str) -> str:
    """Take away where the interpreter is from what ``runpy`` says of itself."""
    lines = error.splitlines()
    return "\n".join(
        line.rpartition("/")[2] if ": No module named" in line or "cannot be" in line else line for line in lines
    )


@pytest.mark.anyio
async def test_the_line_of_a_failure_is_that_of_the_entry(executor: Executor) -> None:
    for name in ("a file that fails", "a module that fails"):
        assert (await executor.run(CASES[name].execution)).line == 2


@pytest.mark.anyio
async def test_the_policy_looks_at_what_is_run(small: Executor) -> None:
    files = (File("app", b"import os\n"),)
    result = await small.run(Execution("", entry=Entry("app"), files=files))
    assert (result.reason, result.line, result.problems[0].file) == (Reason.POLICY, 1, "")
    beside = await small.run(Execution("import os", entry=Entry("app.py"), files=(File("app.py", b"1"),)))
    assert (beside.reason, beside.problems[0].file) == (Reason.POLICY, "main.py")
    of_module = await small.run(Execution("", entry=Entry(module="app"), files=(File("app.py", b"import os"),)))
    assert (of_module.reason, of_module.problems[0].file) == (Reason.POLICY, "app.py")


@pytest.mark.anyio
async def test_a_module_that_no_policy_has_looked_at_is_refused(small: Executor) -> None:
    execution = Execution("", args=("import os",), entry=Entry(module="timeit"))
    result = await small.run(execution)
    assert result.reason is Reason.POLICY
    assert "only a module among the request's files" in result.error
    mine = Execution("", entry=Entry(module="timeit"), files=(File("timeit.py", b"print('mine')"),))
    assert (await small.run(mine)).output == "mine\n"


@pytest.mark.anyio
async def test_a_file_that_is_no_source_is_refused(executor: Executor) -> None:
    for data in (b"\xff\xfe", b"# coding: klingon\n", b"x = = 1"):
        result = await executor.run(Execution("", entry=Entry("a.py"), files=(File("a.py", data),)))
        assert result.reason is Reason.SYNTAX, data
    latin = Execution("", entry=Entry("a.py"), files=(File("a.py", "# coding: latin-1\nprint('ä')".encode("latin-1")),))
    assert (await executor.run(latin)).output == "ä\n"


# ---- the name of the program


@pytest.mark.anyio
async def test_a_program_has_the_name_that_it_is_given(executor: Executor) -> None:
    code = "import os, sys\nprint(__file__, sys.argv, os.listdir())\n1/0"
    result = await executor.run(Execution(code, name="Aufgabe 1.py", args=("a",), policy=False))
    assert result.output == "/work/Aufgabe 1.py ['Aufgabe 1.py', 'a'] ['Aufgabe 1.py']\n"
    assert '  File "/work/Aufgabe 1.py", line 3, in <module>\n    1/0\n' in result.error
    assert (result.line, result.files, result.files_omitted) == (3, (), 0)
    after = await executor.run("import os\nprint(os.listdir(), __file__)", policy=False)
    assert after.output == "['main.py'] /work/main.py\n"


@pytest.mark.anyio
async def test_a_name_can_hide_a_module_of_the_library(executor: Executor) -> None:
    result = await executor.run(Execution("import random\nprint(random.__name__, random.__file__)", name="random.py"))
    assert result.output == "random /work/random.py\n" * 2


@pytest.mark.anyio
async def test_a_syntax_error_names_the_file(executor: Executor) -> None:
    result = await executor.run(Execution("x = = 1", name="task.py"))
    assert result.error.startswith('  File "/work/task.py", line 1\n')


# ---- the environment


@pytest.mark.anyio
async def test_a_program_finds_its_variables_and_the_next_one_does_not(executor: Executor) -> None:
    code = "import os, subprocess\nprint(os.environ.get('COURSE'), os.environ['HOME'], os.getenv('ÄÖ'))"
    result = await executor.run(Execution(code, env={"COURSE": "a b=ü"}, policy=False))
    assert result.output == "a b=ü /work None\n"
    assert (await executor.run(Execution(code, policy=False))).output == "None /work None\n"


# ---- bytes, and excerpts


@pytest.mark.anyio
async def test_bytes_go_in_and_out_as_they_are(executor: Executor) -> None:
    code = (
        "import sys\ndata = sys.stdin.buffer.read()\nsys.stdout.buffer.write(data)\nsys.stderr.buffer.write(data[::-1])"
    )
    data = bytes(range(256)) * 100
    result = await executor.run(Execution(code, stdin=data, raw=True))
    assert (result.stdout, result.stderr) == (data, data[::-1])
    plain = await executor.run(Execution(code, stdin=data))
    assert (plain.stdout, plain.output) == (None, result.output)


@pytest.mark.anyio
async def test_several_inputs_have_a_run_each(executor: Executor) -> None:
    results = await executor.run_each("print(int(input()) ** 2)", [str(n) for n in range(12)] + ["x"])
    assert [result.output for result in results] == [f"{n * n}\n" for n in range(12)] + [""]
    assert results[-1].reason is Reason.EXCEPTION
    assert len({result.id for result in results}) == 13
