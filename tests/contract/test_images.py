"""Two images of the Docker engine side by side, under one server: each has a Python and libraries of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.conftest import IMAGE, Serve
from tests.images import another_than, facts, make_image

pytestmark = pytest.mark.timeout(300)  # it makes an image

SMALL: dict[str, Any] = {"pool_size": 2, "pool_min": 1, "preload": "", "policy": "off", "rate_limit": "off"}
PACKAGES = {"abacus": "1.2", "sundial": "0.3"}
VERSION = "import sys; print(*sys.version_info[:2], sep='.')"


class Second(NamedTuple):
    """The other image, the version of its Python, and that of the default image's."""

    image: str
    python: str
    default: str


def image_id(image: str) -> str:
    command = ["docker", "image", "inspect", "--format", "{{.Id}}", image]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.fixture(scope="module")
def second(docker: None) -> Second:
    asked = ["docker", "run", "--rm", "--network=none", "--entrypoint", "/opt/sandbox/bin/python", IMAGE, "-c", VERSION]
    default = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
    python = another_than(default)
    if python is None:
        why = f"this machine has no other Python than {default}, which the image {IMAGE} has"
        if os.environ.get("CI") == "true":
            raise AssertionError(why)
        pytest.skip(why)
    version = facts(python)["version"]
    return Second(make_image(f"code-executor-tests:python{version}", python, **PACKAGES), version, default)


@pytest.fixture(scope="module")
def http(second: Second, serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a server with the default image and the other."""
    path: Path = tmp_path_factory.mktemp("images") / "environments.toml"
    path.write_text(f'[environments.last-year]\nimage = "{second.image}"\nkinds = {{ data = ["abacus"] }}\n')
    settings = {**SMALL, "environments": path}
    with serve("docker", **settings) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def run(http: httpx.Client, code: str, environment: str | None = None) -> str:
    """Run a program; return what it printed, or the last line of why it failed."""
    answer = http.post("/api/execute", json={"code": code, "environment": environment}).json()
    text: str = answer["output"] or answer["error"].rstrip("\n").rpartition("\n")[2]
    return text.rstrip("\n")


def test_each_runs_its_own_python(http: httpx.Client, second: Second) -> None:
    assert second.python != second.default
    assert run(http, VERSION) == second.default
    assert run(http, VERSION, "last-year") == second.python
    assert run(http, VERSION, "default") == second.default


def test_both_run_at_the_same_time(http: httpx.Client, second: Second) -> None:
    names = [None, "last-year"] * 4
    slow = f"import time; time.sleep(0.2); {VERSION}"
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda name: run(http, slow, name), names))
    assert answers == [second.default, second.python] * 4


def test_they_are_listed_with_what_each_has(http: httpx.Client, second: Second) -> None:
    default, other = http.get("/api/environments").json()
    assert [each["name"] for each in (default, other)] == ["default", "last-year"]
    assert default["python"].rpartition(".")[0] == second.default
    assert other["python"].rpartition(".")[0] == second.python
    assert "numpy" in default["packages"]
    assert other["packages"] == PACKAGES
    assert default["digest"] != other["digest"]
    assert run(http, "import platform; print(platform.python_version())", "last-year") == other["python"]


def test_neither_has_the_libraries_of_the_other(http: httpx.Client) -> None:
    assert run(http, "import numpy; print('there')") == "there"
    assert run(http, "import numpy", "last-year") == "ModuleNotFoundError: No module named 'numpy'"
    assert run(http, "import abacus, sundial; print(abacus.VERSION, sundial.VERSION)", "last-year") == "1.2 0.3"
    assert run(http, "import abacus") == "ModuleNotFoundError: No module named 'abacus'"


def test_a_check_compiles_with_the_python_of_its_environment(http: httpx.Client, second: Second) -> None:
    newer = {"3.12": "type Name = str", "3.14": "try:\n    pass\nexcept A, B:\n    pass"}
    for since, code in newer.items():
        for name, version in ((None, second.default), ("last-year", second.python)):
            checked = http.post("/api/check", json={"code": code, "environment": name}).json()
            is_new_enough = int(version.rpartition(".")[2]) >= int(since.rpartition(".")[2])
            assert (checked["ok"], checked["reason"]) == (is_new_enough, None if is_new_enough else "syntax")


def test_a_session_stays_on_its_image(http: httpx.Client, second: Second) -> None:
    session = http.post("/api/sessions", json={"environment": "last-year"}).json()
    address = f"/api/sessions/{session['id']}"
    cells = [f"{VERSION}; x = 41", "import abacus; x + 1"]
    for _ in range(2):
        outputs = [http.post(f"{address}/cells", json={"code": code}).json()["output"] for code in cells]
        assert outputs == [f"{second.python}\n", "42\n"]
        assert http.post(f"{address}/restart").status_code == 200
    http.delete(address)


def test_the_other_image_is_as_confined_as_the_default(http: httpx.Client) -> None:
    """That all layers hold is found out at the start; this is what a program sees of them."""
    look = "import os; print(os.listdir(), os.environ.get('HOME'), os.getuid() > 1000)"
    assert run(http, look, "last-year") == "['main.py'] /work True"
    for code in ("open('/etc/group', 'w')", "open('/opt/sandbox/x', 'w')", "import os; os.listdir('/')"):
        assert run(http, code, "last-year").startswith(("PermissionError", "OSError: [Errno 30]"))
    assert "PermissionError" in run(http, "import subprocess; subprocess.run(['/usr/bin/python3'])", "last-year")


def test_the_image_is_made_again_only_if_its_files_are_others(second: Second) -> None:
    python = another_than(second.default)
    assert python is not None
    before = image_id(second.image)
    assert make_image(second.image, python, **PACKAGES) == second.image
    assert image_id(second.image) == before
