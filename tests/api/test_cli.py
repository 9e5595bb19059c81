"""The command line: a program runs as if it ran here, and a check or an examination says what it found."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from code_executor import __version__
from code_executor.sandbox.doctor import REQUIRED
from tests.census import eventually, everything_of
from tests.conftest import IMAGE

COMMAND = [sys.executable, "-m", "code_executor"]


def environment() -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CODE_EXECUTOR_")}
    return clean | {"CODE_EXECUTOR_IMAGE": IMAGE, "CODE_EXECUTOR_PRELOAD": ""}


def cli(*arguments: str, stdin: str | bytes = b"") -> subprocess.CompletedProcess[bytes]:
    given = stdin.encode() if isinstance(stdin, str) else stdin
    return subprocess.run(
        [*COMMAND, *arguments], env=environment(), input=given, capture_output=True, timeout=90, check=False
    )


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return tmp_path / "program.py"


# ---- run


def test_run_is_like_running_it_here(engine: str, program: Path) -> None:
    program.write_text("import sys\nprint(sys.argv[1:], sys.stdin.read())\nprint('warn', file=sys.stderr)\nsys.exit(3)")
    done = cli("run", "--engine", engine, str(program), "a", "b c", stdin="ä\0")
    assert (done.returncode, done.stdout, done.stderr) == (3, "['a', 'b c'] ä\0\n".encode(), b"warn\n")


@pytest.mark.parametrize(
    ("code", "options", "status", "last"),
    [
        ("1/0", [], 1, b"ZeroDivisionError: division by zero\n"),
        ("import os; os.kill(os.getpid(), 15)", [], 128 + 15, b"ended by a signal (SIGTERM).\n"),
        ("while True: pass", ["--timeout", "0.5"], 124, b"Execution exceeded 0.5 second timeout\n"),
        (
            "import ctypes; ctypes.CDLL(None).ptrace(0)",
            [],
            128 + 31,
            b"it called ptrace, which no program may do here.\n",
        ),
        ("while True: print('x' * 9999)", [], 1, b"only the beginning is kept.\n"),
    ],
)
def test_the_exit_status_is_the_programs_or_says_why_it_was_stopped(
    program: Path, code: str, options: list[str], status: int, last: bytes
) -> None:
    program.write_text(code)
    done = cli("run", "--engine", "native", "--policy", "off", *options, str(program))
    assert done.returncode == status
    assert done.stderr.endswith(last)


def test_a_refused_program_is_told_line_by_line(program: Path) -> None:
    program.write_text("import os\nprint('ran')\neval('1')")
    done = cli("run", "--engine", "native", str(program))
    assert (done.returncode, done.stdout) == (1, b"")
    first, second = done.stderr.decode().splitlines()
    assert first.startswith("Line 1, column ")
    assert second.startswith("Line 3, column ")


def test_run_reads_the_program_from_stdin_for_a_dash() -> None:
    done = cli("run", "--engine", "native", "-", "arg", stdin="import sys\nprint(sys.argv, repr(sys.stdin.read()))")
    assert (done.returncode, done.stdout) == (0, b"['main.py', 'arg'] ''\n")


def test_run_prints_the_result_as_json(program: Path) -> None:
    program.write_text("print('out')\nraise KeyError('k')")
    done = cli("run", "--engine", "native", "--json", str(program))
    answer = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (1, b"")
    assert (answer["status"], answer["reason"], answer["output"], answer["line"]) == ("error", "exception", "out\n", 2)


def test_output_is_streamed_and_stdin_is_passed_on_as_it_comes(engine: str, program: Path) -> None:
    program.write_text("print('who?')\nprint('hello', input())\nprint('and?')\nprint('bye', input())")
    with subprocess.Popen(
        [*COMMAND, "run", "--engine", engine, str(program)],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin
        assert process.stdout
        for heard, said in ((b"who?\n", b"Ada\n"), (b"hello Ada\n", b""), (b"and?\n", b"Bob\n"), (b"bye Bob\n", b"")):
            assert process.stdout.readline() == heard
            process.stdin.write(said)
            process.stdin.flush()
        process.stdin.close()
        assert process.wait(60) == 0


def test_ctrl_c_interrupts_the_program_and_leaves_nothing(engine: str, program: Path) -> None:
    program.write_text(
        # a loop in a function: CPython 3.11 lets an interrupt of a bare `while True` go past its own `try`
        "def work():\n    print('begun')\n    while True: pass\n"
        "try:\n    work()\nexcept KeyboardInterrupt:\n    print('stopped')"
    )
    with subprocess.Popen(
        [*COMMAND, "run", "--engine", engine, str(program)],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == b"stopped\n"
        assert process.wait(60) == 0
    assert eventually(lambda: not everything_of(process.pid))


def test_whoever_stops_reading_the_output_gets_no_traceback(program: Path) -> None:
    program.write_text("for n in range(100000): print(n)")
    command = " ".join([*COMMAND, "run", "--engine", "native", str(program), "| head -n 1"])
    done = subprocess.run(["bash", "-c", command], env=environment(), capture_output=True, timeout=90, check=False)
    assert done.stdout == b"0\n"
    assert b"Traceback" not in done.stderr


def test_a_file_that_is_not_there_is_an_error_of_ours() -> None:
    done = cli("run", "--engine", "native", "/nowhere.py")
    assert (done.returncode, done.stderr) == (70, b"code-executor: /nowhere.py: No such file or directory\n")


@pytest.mark.parametrize("timeout", ["0", "nan"])
def test_a_timeout_that_is_none_is_refused(program: Path, timeout: str) -> None:
    program.write_text("print(1)")
    done = cli("run", "--engine", "native", "--timeout", timeout, str(program))
    assert done.returncode == 2
    assert b"--timeout" in done.stderr


# ---- check, doctor, version


def test_check_tells_what_is_refused_and_runs_nothing(program: Path) -> None:
    program.write_text("print('ran')")
    fine = cli("check", "--engine", "native", str(program))
    program.write_text("print('ran')\nimport subprocess\nopen('x')")
    refused = cli("check", "--engine", "native", str(program))
    as_json = cli("check", "--engine", "native", "--json", str(program))
    assert (fine.returncode, fine.stdout) == (0, f"{program}: allowed\n".encode())
    assert refused.returncode == as_json.returncode == 1
    answer = json.loads(as_json.stdout)
    assert (answer["ok"], answer["reason"], [p["line"] for p in answer["problems"]]) == (False, "policy", [2, 3])
    assert [line.partition(",")[0] for line in refused.stdout.decode().splitlines()] == ["Line 2", "Line 3"]


def test_check_with_a_policy_of_ones_own(program: Path, tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(
        'allow = ["open"]\n[deny.modules]\nrandom = "we make our own numbers today"\n'
    )
    program.write_text("open('x')\nimport random")
    done = cli("check", "--engine", "native", "--policy", str(tmp_path / "policy.toml"), str(program))
    assert done.returncode == 1
    (line,) = done.stdout.decode().splitlines()
    assert line.startswith("Line 2")
    assert "we make our own numbers today" in line


def test_doctor_shows_every_layer_with_its_evidence(engine: str) -> None:
    done = cli("doctor", "--engine", engine)
    as_json = cli("doctor", "--engine", engine, "--json")
    assert done.returncode == as_json.returncode == 0, done.stdout
    answer = json.loads(as_json.stdout)
    assert (answer["engine"], answer["ok"]) == (engine, True)
    held = {layer["layer"] for layer in answer["layers"] if layer["held"]}
    assert held >= REQUIRED[engine]
    assert all(layer["evidence"] for layer in answer["layers"])
    first, second = done.stdout.decode().splitlines()[:2]
    assert first == f"engine: {engine}"
    assert second.startswith({"docker": f"image: {IMAGE}, built ", "native": "python: /"}[engine])
    assert answer["origin"].keys() >= {"docker": {"image", "packagesDays"}, "native": {"python", "matchesLock"}}[engine]
    assert [line for line in done.stdout.decode().splitlines() if line.startswith("warning: ")] == [
        f"warning: {warning}" for warning in answer["warnings"]
    ]
    assert all(layer in done.stdout.decode() for layer in held)


def test_the_version_is_told() -> None:
    assert cli("--version").stdout.decode().strip() == __version__


@pytest.mark.parametrize("arguments", [[], ["frobnicate"], ["run"], ["run", "--engine", "podman", "x.py"]])
def test_a_command_line_that_is_none_is_an_error(arguments: list[str]) -> None:
    done = cli(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(b"usage: ")
