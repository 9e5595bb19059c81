"""The wheel is all that is needed: where there is no checkout, no Node and no git, it runs, serves and examines."""

from __future__ import annotations

import contextlib
import hashlib
import re
import signal
import subprocess
import sys
import tarfile
import threading
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import code_executor
import code_labs
import sandbox_agent
from code_executor.storage import schema
from tests.conftest import STARTED_WITHIN, Server
from tests.release.conftest import ROOT, run

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("page")]

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@pytest.fixture(scope="session")
def dist(page: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make dist` makes."""
    directory = tmp_path_factory.mktemp("dist")
    run("scripts/dist", directory)
    return directory


@pytest.fixture(scope="session")
def wheel(dist: Path) -> Path:
    return dist / f"code_executor-{VERSION}-py3-none-any.whl"


def contents(wheel: Path) -> dict[str, str]:
    """The files of a wheel, and a hash of each."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}


class Installation:
    """The wheel in an environment of its own, an empty directory, and nothing else: no PATH but its own."""

    def __init__(self, root: Path, wheel: Path, uv: str) -> None:
        self.venv = root / "venv"
        self.directory = root / "empty"
        self.directory.mkdir()
        base: str = getattr(sys, "_base_executable", sys.executable)  # the interpreter that the tests' own is made of
        run(uv, "venv", "--quiet", "--python", base, self.venv)
        locked = root / "dependencies.txt"
        run(uv, "export", "--quiet", "--frozen", "--no-dev", "--no-emit-project", "--output-file", locked)
        install = (uv, "pip", "install", "--quiet", "--python", self.venv / "bin/python")
        run(*install, "--require-hashes", "--requirement", locked)
        run(*install, "--no-deps", "--no-index", wheel)
        self.environment = {
            "PATH": str(self.venv / "bin"),
            "HOME": str(self.directory),
            "CODE_EXECUTOR_DATA": str(self.directory / "kept"),
        }

    def command(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.venv / "bin/code-executor", *arguments],
            cwd=self.directory,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    @contextlib.contextmanager
    def server(self) -> Iterator[Server]:
        process = subprocess.Popen(
            [self.venv / "bin/code-executor", "serve", "--engine", "native", "--port", "0"],
            cwd=self.directory,
            env=self.environment | {"CODE_EXECUTOR_POOL_SIZE": "2", "CODE_EXECUTOR_PRELOAD": ""},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        server = Server(process)
        reader = threading.Thread(target=server.follow, daemon=True)
        reader.start()
        try:
            assert server.up.wait(STARTED_WITHIN)
            assert server.url, server.log
            yield server
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            reader.join()
            assert process.stderr is not None
            process.stderr.close()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, wheel: Path, uv: str) -> Installation:
    return Installation(tmp_path_factory.mktemp("bare"), wheel, uv)


# ---- what is in it


def test_there_is_one_version(dist: Path, wheel: Path) -> None:
    assert code_executor.__version__ == code_labs.__version__ == sandbox_agent.__version__ == VERSION
    assert sorted(path.name for path in dist.glob("code_executor*")) == [wheel.name, f"code_executor-{VERSION}.tar.gz"]
    released = re.findall(r"^## \[(\d.*?)\] - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert released[0] == VERSION


def test_the_wheel_has_all_packages_whole_the_page_and_the_lock(wheel: Path) -> None:
    files = set(contents(wheel))
    ours = {
        str(path.relative_to(ROOT / "src"))
        for path in (ROOT / "src").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"code_executor/api/web/index.html", "code_executor/py.typed", "sandbox_agent/__main__.py"} <= ours
    other = {name for name in files if not name.startswith(f"code_executor-{VERSION}.dist-info/")}
    assert other == ours | {f"code_executor-{VERSION}.data/data/share/code-executor/requirements.lock"}


def test_the_source_package_makes_the_same_wheel(dist: Path, wheel: Path, uv: str, tmp_path: Path) -> None:
    """The wheel of `make dist` was made of the source package; this one is made of the checkout."""
    run(uv, "build", "--quiet", "--wheel", "--out-dir", tmp_path)
    assert contents(tmp_path / wheel.name) == contents(wheel)
    with tarfile.open(dist / f"code_executor-{VERSION}.tar.gz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"Dockerfile", "Dockerfile.server", "compose.yaml", "deploy/step-down", "tests/conftest.py"} <= names
    assert not [name for name in names if "node_modules" in name or name.endswith((".pyc", ".crt", ".env"))]


# ---- what it does


def test_nothing_of_the_checkout_is_used(installed: Installation) -> None:
    assert installed.command("--version").stdout == f"{VERSION}\n"
    question = (
        "import code_executor, sandbox_agent, sys; print(code_executor.__file__, sandbox_agent.__file__, *sys.path)"
    )
    places = run(installed.venv / "bin/python", "-c", question, cwd=installed.directory, PYTHONPATH="", PATH="").split()
    assert [place for place in places if Path(place).is_relative_to(ROOT)] == []


def test_it_runs_a_program(installed: Installation) -> None:
    done = installed.command("run", "--engine", "native", "-", "Ada", stdin="import sys\nprint('Hello', *sys.argv[1:])")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Hello Ada\n", "")


def test_its_doctor_finds_every_required_layer(installed: Installation) -> None:
    done = installed.command("doctor", "--engine", "native")
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith(f"engine: native\npython: {installed.venv}/bin/python")
    assert "its libraries are not those of requirements.lock: without " in done.stdout.splitlines()[1]


def test_it_makes_a_database(installed: Installation) -> None:
    """Its migrations are files that nothing imports."""
    done = installed.command("db", "upgrade")
    assert done.returncode == 0, done.stderr
    assert (installed.directory / "kept/code-executor.db").exists()
    assert installed.command("db", "check").stdout.endswith(f"is up to date ({schema.NEWEST})\n")


def test_it_serves_the_api_and_the_page(installed: Installation) -> None:
    with installed.server() as server, httpx.Client(base_url=server.url, timeout=60) as client:
        answer: dict[str, Any] = client.post("/api/execute", json={"code": "print(6 * 7)"}).json()
        assert (answer["status"], answer["output"]) == ("success", "42\n")
        page = client.get("/")
        assert "<run-code" in page.text
        scripts = re.findall(r'<script [^>]*src="(.+?)"', page.text)
        assert scripts
        assert [client.get(script).status_code for script in scripts] == [200] * len(scripts)
        assert client.get("/notebook").status_code == 200
        assert server.stop(signal.SIGTERM) == 0


def test_an_interpreter_with_the_libraries_can_be_made_of_it(installed: Installation, uv: str) -> None:
    """As docs/install.md says, with uv for pip: it keeps what it downloaded."""
    sandbox = installed.directory / ".sandbox"
    run(uv, "venv", "--quiet", "--python", installed.venv / "bin/python", sandbox)
    lock = installed.venv / "share/code-executor/requirements.lock"
    install = (uv, "pip", "install", "--quiet", "--python", sandbox / "bin/python")
    run(*install, "--require-hashes", "--only-binary", ":all:", "--requirement", lock)
    code = "import numpy\ntry:\n    import fastapi\nexcept ImportError:\n    print('none of ours', numpy.arange(3))"
    done = installed.command("run", "--engine", "native", "-", stdin=code)
    assert (done.returncode, done.stdout) == (0, "none of ours [0 1 2]\n"), done.stderr
    line = installed.command("doctor", "--engine", "native").stdout.splitlines()[1]
    assert line.startswith(f"python: {sandbox}/bin/python")
    assert line.endswith("; its libraries are those of requirements.lock")
