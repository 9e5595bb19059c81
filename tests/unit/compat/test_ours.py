"""What is asked of a server, here one that runs each program with an interpreter of this machine."""

from __future__ import annotations

import base64
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from compat.bare import Bare
from compat.case import Case, Run, parts
from compat.ours import Ours
from compat.suites.cpython import cpython


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[Ours]:
    with Bare("", sys.executable, 30, tmp_path / "kept") as bare:

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                files = {file["path"]: base64.b64decode(file["contentBase64"]) for file in asked["files"]}
                run = bare.run(Case("suite", "asked", asked["code"], files))
                answer = {"output": run.stdout, "error": run.stderr, "reason": "signal", "signal": None}
                status = {"exitCode": int(run.exit)} if run.exit.isdigit() else {"exitCode": None, "signal": run.exit}
                body = json.dumps({**answer, **status}).encode()
                self.send_response(413 if "too large" in asked["code"] else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        with HTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield Ours(f"http://127.0.0.1:{server.server_port}", 30)
            server.shutdown()
            thread.join()


def test_the_answer_becomes_a_run(ours: Ours) -> None:
    case = Case("suite", "one", "import sys; print(open('a').read()); sys.exit(3)", {"a": b"hello"})
    assert ours.run(case) == Run("3", "hello\n", "")


def test_a_refused_request_is_an_outcome_and_says_why(ours: Ours) -> None:
    refused = ours.run(Case("suite", "one", "'too large'"))
    assert refused.exit == "refused"
    assert refused.stderr.startswith("413: ")


def test_a_test_that_stops_the_program_is_told_and_the_others_are_run_without_it(ours: Ours, tmp_path: Path) -> None:
    library = tmp_path / "test"
    (library / "support").mkdir(parents=True)
    (library / "__init__.py").touch()
    (library / "support" / "__init__.py").touch()
    (library / "test_one.py").write_text(
        "import os, unittest\n"
        "class T(unittest.TestCase):\n"
        "    def test_1(self): pass\n"
        "    def test_2(self): os.kill(os.getpid(), 9)\n"
        "    def test_3(self): self.fail()\n"
        "    def test_4(self): os.kill(os.getpid(), 9)\n"
        "    def test_5(self): pass\n"
    )
    (case,) = cpython(library)
    found = {name.rpartition(".")[2]: part.value for name, part in parts(case, ours.run(case)).items()}
    assert found == {"test_1": "ok", "test_2": "stopped", "test_3": "fail", "test_4": "stopped", "test_5": "ok"}
