"""What a program is given and what it makes beside its output: files, figures, rich values; and the check alone."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from tests.conftest import Serve

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def http(serve: Serve, engine: str) -> Any:
    settings = {"rate_limit": "off", "policy": "off", "preload": "", "pool_size": 2}
    with serve(engine, **settings) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def execute(http: httpx.Client, code: str, **request: object) -> dict[str, Any]:
    answer = http.post("/api/execute", json={"code": code, **request})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_files_are_there_and_what_was_made_or_changed_comes_back(http: httpx.Client) -> None:
    code = """
import os, pathlib
print(open("data/in.txt").read(), open("raw.bin", "rb").read())
open("data/in.txt", "a").write("!")
pathlib.Path("made/deep").mkdir(parents=True)
open("made/deep/table.csv", "w").write("a,b\\n")
open("keep.txt").close()
os.symlink("/etc/passwd", "link")
"""
    files = [
        {"path": "data/in.txt", "content": "zwölf"},
        {"path": "raw.bin", "contentBase64": base64.b64encode(b"\0\xff").decode()},
        {"path": "keep.txt", "content": "kept"},
    ]
    answer = execute(http, code, files=files)
    assert answer["output"] == "zwölf b'\\x00\\xff'\n"
    returned = {file["path"]: base64.b64decode(file["contentBase64"]) for file in answer["files"]}
    assert returned == {"data/in.txt": "zwölf!".encode(), "made/deep/table.csv": b"a,b\n"}
    table = next(file for file in answer["files"] if file["path"].endswith("csv"))
    assert (table["mediaType"], table["size"]) == ("text/csv", 4)


def test_files_of_a_run_that_was_stopped_come_back_too(http: httpx.Client) -> None:
    answer = execute(http, "open('half.txt', 'w').write('half')\nwhile True: pass", timeout=1)
    assert answer["reason"] == "wall_time"
    assert [file["path"] for file in answer["files"]] == ["half.txt"]


def test_files_do_not_outlive_their_run(http: httpx.Client) -> None:
    execute(http, "open('mine.txt', 'w').write('x')", files=[{"path": "given.txt", "content": "x"}])
    for _ in range(4):
        assert execute(http, "import os\nprint(os.listdir())")["output"] == "['main.py']\n"


def test_too_many_and_too_large_files_are_left_out_and_counted(http: httpx.Client) -> None:
    many = execute(http, "for n in range(40): open(f'{n:02}', 'w').write('x')")
    assert ([file["path"] for file in many["files"]], many["filesOmitted"]) == ([f"{n:02}" for n in range(32)], 8)
    large = execute(http, "open('large', 'wb').write(bytes(9 << 20)); open('small', 'w').write('x')")
    assert ([file["path"] for file in large["files"]], large["filesOmitted"]) == (["small"], 1)


@pytest.mark.parametrize(
    "file",
    [
        {"path": "/etc/passwd", "content": ""},
        {"path": "../up", "content": ""},
        {"path": "a/../b", "content": ""},
        {"path": "a/", "content": ""},
        {"path": "", "content": ""},
        {"path": "nul\0", "content": ""},
        {"path": "x" * 300, "content": ""},
        {"path": "none"},
        {"path": "both", "content": "", "contentBase64": ""},
        {"path": "no64", "contentBase64": "a"},
        {"path": "no64", "contentBase64": "*"},
    ],
)
def test_a_bad_file_is_refused(http: httpx.Client, file: dict[str, str]) -> None:
    answer = http.post("/api/execute", json={"code": "", "files": [file]})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].startswith("files.0")


def test_of_two_files_of_one_path_the_later_is_taken(http: httpx.Client) -> None:
    files = [{"path": "a", "content": "1"}, {"path": "a", "content": "2"}]
    assert execute(http, "print(open('a').read())", files=files)["output"] == "2\n"


def test_files_that_are_too_large_are_refused(http: httpx.Client) -> None:
    content = "x" * ((8 << 20) + 1)
    assert http.post("/api/execute", json={"code": "", "files": [{"path": "a", "content": content}]}).status_code == 413


def test_paths_and_base64_are_understood_however_they_are_spelled(http: httpx.Client) -> None:
    code = "import os\nprint(open('a').read(), open('d/e').read(), open('中' * 85).read())"
    files = [
        {"path": "./a", "contentBase64": "aGVs\r\nbG8=\n", "content": None},
        {"path": "d//./e", "content": "x", "contentBase64": None},
        {"path": "中" * 85, "content": "y"},
    ]
    answer = execute(http, code, files=files)
    assert (answer["output"], answer["files"], answer["filesOmitted"]) == ("hello x y\n", [], 0)


def test_only_what_is_new_or_changed_takes_room_among_what_comes_back(http: httpx.Client) -> None:
    files = [{"path": f"in{n:02}", "content": "x" * 100_000} for n in range(60)]
    code = "open('in59', 'a').write('y')\nfor n in range(10): open(f'out{n}', 'wb').write(bytes(100_000))"
    answer = execute(http, code, files=files)
    assert [file["path"] for file in answer["files"]] == ["in59", *(f"out{n}" for n in range(10))]
    assert answer["filesOmitted"] == 0


def test_what_does_not_come_back_is_counted(http: httpx.Client) -> None:
    code = """
import os
open(b'\\xc3.txt', 'w').close()
os.symlink('/etc/passwd', 'link')
os.mkdir('sealed')
open('sealed/file', 'w').close()
os.chmod('sealed', 0)
os.mkdir('many')
for n in range(1000): open(f'many/{n:04}', 'w').close()
"""
    answer = execute(http, code)
    assert answer["reason"] == "completed", answer
    assert (len(answer["files"]), answer["filesOmitted"]) == (32, 971)


def test_figures_come_in_order_and_a_frame_is_a_table(http: httpx.Client) -> None:
    code = """
import matplotlib.pyplot as plt
import pandas as pd
plt.plot([1, 2])
plt.figure()
plt.plot([3, 4])
plt.show()
plt.show()
print("between")
plt.bar([1], [2])
plt.show()
pd.DataFrame({"a": [1]})
"""
    answer = execute(http, code, display=True)
    assert (answer["reason"], answer["output"]) == ("completed", "between\n"), answer["error"]
    kinds = [display["mediaType"] for display in answer["displays"]]
    assert kinds == ["image/png", "image/png", "image/png", "text/html"]
    assert all(base64.b64decode(d["contentBase64"]).startswith(PNG) for d in answer["displays"][:3])
    assert "<table" in answer["displays"][3]["content"]


def test_the_last_value_is_shown_only_when_asked_for(http: httpx.Client) -> None:
    assert execute(http, "6 * 7", display=True)["output"] == "42\n"
    assert execute(http, "6 * 7")["output"] == ""
    assert execute(http, "None", display=True)["output"] == ""
    assert execute(http, "x = 1", display=True)["output"] == ""
    failed = execute(http, "1\n1 / 0", display=True)
    assert (failed["reason"], failed["line"]) == ("exception", 2)


def test_a_figure_that_nobody_shows_is_shown_at_the_end(http: httpx.Client) -> None:
    code = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\nplt.figure()\nplt.plot([3, 4]);"
    answer = execute(http, code, display=True)
    assert [display["mediaType"] for display in answer["displays"]] == ["image/png", "image/png"], answer["error"]
    assert (answer["output"], answer["error"]) == ("", "")
    assert execute(http, code)["displays"] == []


SHOWN = [("6 * 7", ""), ("6 * 7 ", " # no"), ("(\n6 *\n7)", " "), ("'ü;' * 2\t", ""), ("x = 1\r6", "\n\n# end")]


@pytest.mark.parametrize(("before", "after"), SHOWN)
def test_a_value_with_a_semicolon_after_it_is_not_shown(http: httpx.Client, before: str, after: str) -> None:
    assert execute(http, f"{before};{after}", display=True)["output"] == ""
    assert execute(http, f"{before}{after}", display=True)["output"] != ""


def test_more_pictures_than_allowed_are_left_out(http: httpx.Client) -> None:
    code = """
class Big:
    def _repr_html_(self): return "x" * (9 << 20)
Big()
"""
    answer = execute(http, code, display=True)
    assert (answer["reason"], answer["displays"]) == ("completed", [])
    assert "not shown" in answer["error"]


def test_a_flood_of_forged_pictures_is_an_output_limit(http: httpx.Client) -> None:
    code = """
import contextlib, os
for fd in range(3, 16):
    with contextlib.suppress(OSError):
        os.set_blocking(fd, False)
while True:
    for fd in range(3, 16):
        with contextlib.suppress(OSError):
            os.write(fd, bytes(65536))
"""
    answer = execute(http, code, display=True, timeout=10)
    assert (answer["reason"], answer["displays"]) == ("output_limit", [])


def test_pictures_are_streamed(http: httpx.Client) -> None:
    code = "import matplotlib.pyplot as plt\nplt.plot([1])\nplt.show()\nopen('f', 'w').write('x')\nprint('done')"
    with http.stream(
        "POST", "/api/execute", json={"code": code, "display": True}, headers={"Accept": "text/event-stream"}
    ) as answer:
        events = [line.removeprefix("event: ") for line in answer.iter_lines() if line.startswith("event: ")]
    first, *middle, file, last = dict.fromkeys(events)
    assert (first, file, last) == ("started", "file", "result")
    assert sorted(middle) == ["display", "stdout"]  # two pipes, and which is read first when both are full is open


def test_a_check_says_what_would_be_refused(serve: Serve) -> None:
    with (
        serve("native", rate_limit="1/minute", check_rate_limit="3/minute", preload="", pool_size=1) as server,
        httpx.Client(base_url=server.url) as http,
    ):
        assert http.post("/api/check", json={"code": "print(1)"}).json() == {
            "ok": True,
            "reason": None,
            "problems": [],
        }
        refused = http.post("/api/check", json={"code": "x = 1\nimport os"}).json()
        assert (refused["ok"], refused["reason"], refused["problems"][0]["line"]) == (False, "policy", 2)
        broken = http.post("/api/check", json={"code": "print("}).json()
        assert (broken["ok"], broken["reason"], broken["problems"][0]["line"]) == (False, "syntax", 1)
        assert http.post("/api/check", json={"code": "print(1)"}).status_code == 429
        assert http.post("/api/execute", json={"code": "print(1)"}).status_code == 200, "checks count apart"
