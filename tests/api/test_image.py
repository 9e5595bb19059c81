"""The image without a server: one request in, one answer out; and what the image must not contain."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from typing import Any

import pytest

from tests.census import eventually
from tests.conftest import IMAGE

pytestmark = pytest.mark.usefixtures("docker")

HARDENED = [
    *("--network", "none", "--read-only", "--cap-drop", "ALL"),
    *("--cap-add", "SETUID", "--cap-add", "SETGID", "--cap-add", "KILL", "--cap-add", "CHOWN"),
    *("--security-opt", "no-new-privileges", "--memory", "512m", "--memory-swap", "512m", "--pids-limit", "32"),
]


def docker_run(*options: str, stdin: str = "", arguments: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = ["docker", "run", "--rm", "-i", *options, IMAGE, *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=90, check=False)


def one_shot(request: object, *options: str) -> dict[str, Any]:
    """Send a request on stdin, as the README does; return the answer."""
    done = docker_run(*options, stdin=request if isinstance(request, str) else json.dumps(request))
    answer: dict[str, Any] = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
    assert answer.keys() == {"status", "output", "error", "execution_time"}
    assert isinstance(answer["execution_time"], int)
    ours = answer["error"].startswith(("The request", "`", "The only"))
    assert done.returncode == (1 if ours else 0)
    return answer


def test_the_request_in_the_readme_has_its_answer() -> None:
    answer = one_shot('{"code": "print(\\"Hello World!\\")", "timeout": 5}')
    assert (answer["status"], answer["output"], answer["error"]) == ("success", "Hello World!\n", "")
    assert answer["execution_time"] < 5000


@pytest.mark.parametrize(
    ("request_", "status", "output", "error"),
    [
        ({"code": "print(input(), end='')", "stdin": "ä\0"}, "success", "ä\0", ""),
        ({"code": "import sys; print(sys.argv)", "args": ["a", "b"]}, "success", "['main.py', 'a', 'b']\n", ""),
        ({"code": "print(1)\n1/0"}, "error", "1\n", "ZeroDivisionError: division by zero"),
        ({"code": "print(1)\nimport sys; sys.exit('bye')"}, "error", "1\n", "bye"),
        ({"code": "x = = 1"}, "error", "", "SyntaxError: invalid syntax"),
        ({"code": "import os"}, "error", "", "Line 1, column 8: `import os` is not allowed here"),
        (
            {"code": "print(1)\nwhile True: pass", "timeout": 0.5},
            "timeout",
            "1\n",
            "Execution exceeded 0.5 second timeout",
        ),
        (
            {"code": "x = bytearray(1 << 32)"},
            "error",
            "",
            "Your program used more than the 512 MB of memory it may use.",
        ),
        ({"code": "import random\nprint('x' * (2 << 20))"}, "error", "x" * (1 << 20), "only the beginning is kept."),
    ],
)
def test_every_end_of_a_program_is_an_answer(request_: dict[str, Any], status: str, output: str, error: str) -> None:
    answer = one_shot(request_)
    assert (answer["status"], answer["output"]) == (status, output)
    assert error in answer["error"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "The request is not valid JSON"),
        ("{", "The request is not valid JSON"),
        ("[]", "The request must be a JSON object."),
        ("{}", "The request must have `code`, a text."),
        ('{"code": 1}', "The request must have `code`, a text."),
        ('{"code": "1", "language": "c"}', "`language` must be python."),
        ('{"code": "1", "timeout": 0}', "`timeout` must be more than 0 and at most 30 seconds."),
        ('{"code": "1", "timeout": 31}', "`timeout` must be more than 0 and at most 30 seconds."),
        ('{"code": "1", "timeout": true}', "`timeout` must be more than 0 and at most 30 seconds."),
        ('{"code": "1", "timeout": NaN}', "`timeout` must be more than 0 and at most 30 seconds."),
        ('{"code": "1", "stdin": 1}', "`stdin` must be a text."),
        ('{"code": "1", "args": [1]}', "`args` must be a list of texts."),
        ('{"code": "' + "#" * (9 << 20) + '"}', "The request is larger than"),
    ],
)
def test_what_is_no_request_is_an_answer_that_says_so(text: str, says: str) -> None:
    answer = one_shot(text)
    assert (answer["status"], answer["output"]) == ("error", "")
    assert answer["error"].startswith(says)


def test_the_request_may_stand_in_the_environment() -> None:
    done = subprocess.run(
        ["docker", "run", "--rm", "-e", 'CODE_EXECUTOR_REQUEST={"code": "print(6 * 7)"}', IMAGE],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert (done.returncode, json.loads(done.stdout)["output"]) == (0, "42\n")


def test_the_programs_own_environment_has_no_request() -> None:
    code = "import sys\nprint([v for v in sys.__dict__['modules']['os'].environ if 'REQUEST' in v])"
    request = json.dumps({"code": code.replace("sys.__dict__['modules']['os']", "__import__('os')")})
    answer = one_shot(request)
    assert "is not allowed here" in answer["error"]


@pytest.mark.parametrize(
    "options", [HARDENED, ["--read-only"], ["--network", "none"]], ids=["hardened", "ro", "offline"]
)
def test_it_runs_with_less_than_docker_gives(options: list[str]) -> None:
    answer = one_shot({"code": "print(sum(range(10)))"}, *options)
    assert (answer["status"], answer["output"]) == ("success", "45\n"), answer["error"]


def test_without_root_it_says_what_it_needs() -> None:
    answer = json.loads(docker_run("--user", "1000", stdin='{"code": "print(1)"}').stdout)
    assert (answer["status"], answer["output"]) == ("error", "")
    assert "must start as root" in answer["error"]


def test_the_libraries_of_the_requirements_are_there() -> None:
    code = (
        "import matplotlib, numpy, pandas, pytest, scipy, sympy\nprint(numpy.arange(3).sum(), sympy.Integer(2) ** 10)"
    )
    answer = one_shot({"code": code})
    assert (answer["status"], answer["output"]) == ("success", "3 1024\n"), answer["error"]


def test_an_unknown_command_is_an_error() -> None:
    done = docker_run(arguments=("bash",))
    assert done.returncode == 2
    assert done.stderr.startswith("usage: sandbox_agent ")


def test_a_run_that_is_stopped_from_outside_leaves_no_container() -> None:
    name = "code-executor-test-stopped"
    with subprocess.Popen(
        ["docker", "run", "--rm", "-i", "--name", name, IMAGE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        process.stdin.write('{"code": "while True: pass"}')
        process.stdin.close()
        # itself, its supervisor and the program: until then nobody is there who would hear the signal
        assert eventually(lambda: len(processes_of(name)) >= 3)
        subprocess.run(["docker", "stop", "--time", "90", name], check=True, capture_output=True, timeout=60)
        assert process.wait(60) == 128 + signal.SIGTERM
    assert processes_of(name) == []


def processes_of(container: str) -> list[str]:
    done = subprocess.run(["docker", "top", container], capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[1:]


# ---- what is in it


def inspected(template: str) -> str:
    command = ["docker", "image", "inspect", "--format", template, IMAGE]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def test_the_image_is_smaller_than_500_megabytes() -> None:
    assert int(inspected("{{.Size}}")) < 500_000_000


def test_the_image_says_of_which_day_it_is_and_what_it_was_made_of() -> None:
    labels = json.loads(inspected("{{json .Config.Labels}}"))
    for name in ("org.opencontainers.image.created", "code-executor.packages"):
        assert re.match(r"20\d\d-\d\d-\d\d", labels[name]), name
    assert labels["org.opencontainers.image.base.name"]


COMPILED = """
import asyncio, json, os, sys
import numpy, pandas, pytest, scipy
from importlib.util import cache_from_source

def is_compiled(file):
    try:
        with open(cache_from_source(file), "rb") as compiled:
            return int.from_bytes(compiled.read(12)[8:], "little") == int(os.stat(file).st_mtime)
    except OSError:
        return False

files = [f for m in list(sys.modules.values()) if (f := getattr(m, "__file__", None)) and f.endswith(".py")]
print(len(files) > 500, [file for file in files if not is_compiled(file)])
"""


def test_no_program_has_to_compile_what_it_imports() -> None:
    """It could not keep what it compiled: every run would wait for it again."""
    done = docker_run("--entrypoint", "/opt/sandbox/bin/python", stdin=COMPILED, arguments=("-",))
    assert (done.stdout, done.stderr) == ("True []\n", "")


LOOK = """
import os, stat

TOOLS = ("gcc", "cc", "ld", "as", "make", "clang", "apt", "apt-get", "dpkg", "pip", "pip3", "uv", "perl")
for directory, _, names in os.walk("/"):
    if directory.startswith(("/proc", "/sys", "/dev")):
        continue
    for name in names:
        path = os.path.join(directory, name)
        mode = os.lstat(path).st_mode
        if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
            print("setuid", path)
        if name in TOOLS and directory.endswith("bin"):
            print("tool", path)
        if directory.startswith("/opt") and mode & (stat.S_IWGRP | stat.S_IWOTH) and not stat.S_ISLNK(mode):
            print("writable", path)
for module in ("pip", "ensurepip", "setuptools"):
    try:
        __import__(module)
    except ImportError:
        continue
    print("module", module)
"""


def test_the_image_has_no_setuid_files_no_compilers_and_no_package_managers() -> None:
    done = docker_run("--entrypoint", "/opt/sandbox/bin/python", stdin=LOOK, arguments=("-",))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
