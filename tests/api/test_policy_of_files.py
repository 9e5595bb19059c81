"""The strict policy over HTTP: the files of a request are held to it, and a name of the program's own is its own."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.api.conftest import execute
from tests.conftest import Serve


@pytest.fixture(scope="module")
def strict(serve: Serve, engine: str) -> Iterator[httpx.Client]:
    settings = {"rate_limit": "off", "policy": "strict", "preload": "", "pool_size": 2}
    with serve(engine, **settings) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def test_a_helper_is_held_to_the_strict_policy_and_named(strict: httpx.Client) -> None:
    files = [{"path": "pkg/helper.py", "content": "x = 1\nimport os"}, {"path": "data", "content": "import os"}]
    answer = execute(strict, "import pkg.helper", files=files)
    (problem,) = answer["problems"]
    assert (answer["reason"], answer["line"], answer["column"]) == ("policy", None, None)
    assert (problem["file"], problem["line"], problem["column"]) == ("pkg/helper.py", 2, 8)
    assert answer["error"].startswith("pkg/helper.py, line 2, column 8: `import os` is not allowed here")
    own = execute(strict, "import os", files=files)
    assert ["file" in problem for problem in own["problems"]] == [False, True]
    assert own["line"] == 1


def test_a_session_whose_files_the_policy_refuses_runs_no_cell(strict: httpx.Client) -> None:
    opened = strict.post("/api/sessions", json={"files": [{"path": "main.py", "content": "import os"}]})
    assert opened.status_code == 201, opened.text
    session = f"/api/sessions/{opened.json()['id']}"
    try:
        answer = strict.post(f"{session}/cells", json={"code": "print(1)"}).json()
        assert (answer["reason"], answer["output"]) == ("policy", "")
        assert [problem["file"] for problem in answer["problems"]] == ["main.py"]
    finally:
        strict.delete(session)


def test_a_name_that_an_earlier_cell_made_is_the_sessions_own(strict: httpx.Client) -> None:
    session = f"/api/sessions/{strict.post('/api/sessions').json()['id']}"
    try:
        before = strict.post(f"{session}/cells", json={"code": "open(1)"}).json()
        strict.post(f"{session}/cells", json={"code": "def open(x): return x + 1"})
        after = strict.post(f"{session}/cells", json={"code": "open(1)", "stdin": None, "display": None}).json()
        assert (before["reason"], after["reason"], after["output"]) == ("policy", "completed", "2\n")
    finally:
        strict.delete(session)


OWN = [
    "try: 1/0\nexcept ZeroDivisionError as open: print(1)",
    "def f():\n    global open\n    open = 1\nf(); print(open)",
    "match 1:\n    case open: print(open)",
    "if (open := 1): print(open)",
    "for _, [open, *eval] in [(0, [1])]: pass\nprint(open)",
]


@pytest.mark.parametrize("code", OWN)
def test_a_name_of_the_programs_own_is_not_refused(strict: httpx.Client, code: str) -> None:
    assert execute(strict, code)["output"] == "1\n"
