"""``code-executor receipts``, and the files that ``code-executor grade`` writes for others."""

from __future__ import annotations

import http.server
import json
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from code_executor.app import cli
from code_executor.grading import receipts
from code_executor.grading.outcomes import Submission
from code_executor.grading.signing import Ring, RingFile, key_set
from tests.unit.grading.made import io, suite
from tests.unit.grading.test_receipts import SITE, changed, grade_of

SUITE = {"tests": [io("2", stdin="1", id="one"), io("8", stdin="4", id="two", visibility="hidden")]}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RingFile:
    """A directory for what is kept, in which nothing is yet."""
    monkeypatch.setenv("CODE_EXECUTOR_DATA", str(tmp_path / "data"))
    return RingFile(str(tmp_path / "data/receipt-keys.json"))


def receipt_of(ring: Ring) -> str:
    made = suite(io("1"))
    subject = receipts.Subject(Submission("print(1)"), made)
    grade = receipts.issue(ring, grade_of(made, "1"), subject, SITE, 0.0)
    assert grade.receipts is not None
    return grade.receipts.full.text


def verified(path: Path, *more: str) -> int:
    return cli.main(["receipts", "verify", str(path), *more])


def test_a_receipt_is_verified_with_the_keys_that_are_kept(
    data: RingFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = receipt_of(data.need())
    file = tmp_path / "receipt"
    grade = {"score": 1, "receipt": text}
    for content in (text, f"{text}\n", json.dumps(grade), json.dumps({"id": "x", "result": grade})):
        file.write_text(content)
        assert verified(file) == 0
        assert json.loads(capsys.readouterr().out)["score"] == 1.0
    file.write_text(changed(text, score=2.0))
    assert verified(file) == 1
    said = capsys.readouterr()
    assert (said.out, "not genuine: it was changed after it was signed" in said.err) == ("", True)


def test_a_receipt_is_verified_with_the_keys_in_a_file(
    data: RingFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ring = Ring.new()
    file, keys = tmp_path / "receipt", tmp_path / "keys.json"
    file.write_text(receipt_of(ring))
    keys.write_text(json.dumps(key_set(ring.keys)))
    assert verified(file, "--keys", str(keys)) == 0
    keys.write_text(json.dumps(key_set(data.need().keys)))
    assert verified(file, "--keys", str(keys)) == 1
    assert "signed with another key" in capsys.readouterr().err


@pytest.fixture
def published(tmp_path: Path) -> Iterator[tuple[str, Ring]]:
    """Keys that are published over HTTP, with the path of a service's."""
    ring = Ring.new()
    text = json.dumps(key_set(ring.keys)).encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/.well-known/code-executor-keys.json"
            self.send_response(200 if found else 404)
            self.end_headers()
            self.wfile.write(text if found else b"")

        def log_message(self, *_: Any) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", ring
        server.shutdown()
        thread.join()


def test_a_receipt_is_verified_with_the_keys_at_an_address(
    data: RingFile, published: tuple[str, Ring], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, ring = published
    file = tmp_path / "receipt"
    file.write_text(receipt_of(ring))
    assert verified(file, "--keys", f"{url}/.well-known/code-executor-keys.json") == 0
    capsys.readouterr()
    assert verified(file, "--keys", f"{url}/elsewhere") == 70
    assert f"{url}/elsewhere: Not Found" in capsys.readouterr().err
    assert data.find() is None


@pytest.mark.parametrize(
    ("content", "why"),
    [("{", "neither a receipt nor a grade"), ('{"receipt": null}', "has no receipt"), ('{"result": 1}', "neither")],
)
def test_what_has_no_receipt_is_named(
    data: RingFile, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, why: str
) -> None:
    (tmp_path / "file").write_text(content)
    data.need()
    assert verified(tmp_path / "file") == 70
    assert why in capsys.readouterr().err


def test_without_keys_here_they_must_be_named(
    data: RingFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x")
    assert verified(tmp_path / "file") == 70
    assert "name those of the service with --keys" in capsys.readouterr().err
    assert data.find() is None


def test_a_rotation_keeps_the_keys_before(data: RingFile, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["receipts", "rotate"]) == 0
    assert "still verify" not in capsys.readouterr().out
    first = data.need()
    assert cli.main(["receipts", "rotate"]) == 0
    assert "the 1 before it still verify" in capsys.readouterr().out
    assert cli.main(["receipts", "keys"]) == 0
    listed = [key["kid"] for key in json.loads(capsys.readouterr().out)["keys"]]
    assert listed == [key.kid for key in data.need().keys]
    assert listed[1:] == [first.keys[0].kid]


# ---- code-executor grade


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "suite.json").write_text(json.dumps(SUITE))
    (tmp_path / "work").mkdir()
    (tmp_path / "work/ada.py").write_text("print(int(input()) * 2)")
    (tmp_path / "work/bob.py").write_text("print(2)")
    return tmp_path


def test_grades_are_written_for_others(data: RingFile, work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grade = ["grade", str(work / "suite.json"), "--engine", "native"]
    assert cli.main([*grade, str(work / "work"), "--junit", str(work / "report.xml")]) == 1
    root = ET.parse(work / "report.xml").getroot()
    assert [(Path(each.get("name", "")).name, each.get("tests"), each.get("failures")) for each in root] == [
        ("ada.py", "2", "0"),
        ("bob.py", "2", "1"),
    ]
    one = [*grade, str(work / "work/bob.py"), "--gradescope", str(work / "results.json"), "--json"]
    assert cli.main(one) == 1
    told = json.loads((work / "results.json").read_text())
    assert (told["score"], [test["visibility"] for test in told["tests"]]) == (1.0, ["visible", "hidden"])
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["receipt"] is None
    assert data.find() is None  # none is made to grade files


def test_grades_have_receipts_where_there_is_a_key(
    data: RingFile, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ring = data.need()
    program = str(work / "work/ada.py")
    assert cli.main(["grade", str(work / "suite.json"), program, "--engine", "native", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    claims = receipts.verify(answer["receipt"], ring.keys)
    assert (claims["jti"], claims["engine"], claims["score"]) == (answer["id"], "native", 2.0)
    assert claims["env"]["digest"].startswith("sha256:")


def test_results_for_gradescope_are_of_one_program(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["grade", str(work / "suite.json"), str(work / "work"), "--gradescope", str(work / "results.json")]
    assert cli.main(arguments) == 2
    assert "--gradescope is for one program, and these are 2" in capsys.readouterr().err
    assert not (work / "results.json").exists()
