"""examples/nextjs, built and started: the README's requests against it, and its button."""

from __future__ import annotations

import fcntl
import filecmp
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Program, eventually, need, need_build
from tests.conftest import Server

pytestmark = pytest.mark.timeout(300)  # the first test waits for npm and for the build

ROOT = Path(__file__).parents[2]
APP = ROOT / "examples/nextjs"
LOCK = ROOT / ".cache/nextjs"
COMPONENT = "dist/run-code.js"
QUIET = {"NEXT_TELEMETRY_DISABLED": "1", "npm_config_audit": "false", "npm_config_fund": "false"}


def lacking() -> str:
    if not shutil.which("npm"):
        return "npm is not installed"
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    major, minor = (int(part) for part in version.removeprefix("v").split(".")[:2])
    return "" if (major, minor) >= (20, 9) else f"Next.js needs Node.js 20.9, and this is {version}"


def build() -> None:
    """Install and build the example where it stands, once for all processes of a test run."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", "")
    LOCK.parent.mkdir(exist_ok=True)
    with open(LOCK, "a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        if not run or lock.read() != run:
            _build()
            lock.truncate(0)
            lock.write(run)


def _build() -> None:
    installed = APP / "node_modules/.package-lock.json"
    copied = APP / "node_modules/run-code-element" / COMPONENT
    fresh = (
        installed.exists()
        and installed.stat().st_mtime > (APP / "package-lock.json").stat().st_mtime
        and copied.exists()
        and filecmp.cmp(copied, ROOT / "web" / COMPONENT, shallow=False)
    )
    for command in ([] if fresh else [["npm", "ci"]]) + [["npm", "run", "build"]]:
        done = subprocess.run(
            command, cwd=APP, env={**os.environ, **QUIET}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def started(upstream: str, **variables: str) -> Iterator[str]:
    """Run the built example on a free port; yield its address."""
    environment = {**os.environ, **QUIET, "CODE_EXECUTOR_URL": upstream, **variables}
    command = ["node", "node_modules/next/dist/bin/next", "start", "--hostname", "127.0.0.1", "--port", "0"]
    process = subprocess.Popen(
        command, cwd=APP, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    output = ""
    try:
        for line in process.stdout:
            output += line
            if found := re.search(r"http://[\w.]+:(\d+)", line):
                yield f"http://127.0.0.1:{found[1]}"
                return
        pytest.fail(f"next start ended: {output}")
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


@pytest.fixture(scope="module")
def app(site: Server) -> Iterator[str]:
    need_build()
    need(lacking())
    build()
    with started(site.url) as address:
        yield address


def curl(app: str, request: str) -> dict[str, Any]:
    """Ask with curl, as the README does."""
    url = f"{app}/api/execute"
    command = ["curl", "-s", "-X", "POST", url, "-H", "Content-Type: application/json", "-d", request]
    answer: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return answer


def test_the_readmes_requests_get_the_readmes_answers(app: str) -> None:
    answer = curl(app, r'{"code": "print(\"Hello from API!\")", "language": "python"}')
    assert (answer["status"], answer["output"]) == ("success", "Hello from API!\n")
    answer = curl(app, r'{"code": "raise ValueError(\"Test error\")", "language": "python"}')
    assert (answer["status"], answer["output"]) == ("error", "")
    assert answer["error"].startswith("Traceback")
    assert answer["error"].endswith("\nValueError: Test error")
    answer = curl(app, r'{"code": "import time\ntime.sleep(35)", "language": "python", "timeout": 1}')
    assert (answer["status"], answer["error"]) == ("timeout", "Execution exceeded 1 second timeout")
    code = r"import json\ndata = {\"test\": 123}\nprint(json.dumps(data))"
    answer = curl(app, f'{{"code": "{code}", "language": "python"}}')
    assert (answer["status"], answer["output"]) == ("success", '{"test": 123}\n')


def test_refusals_come_through_as_they_are(app: str) -> None:
    answer = httpx.post(f"{app}/api/execute", content=b"{", headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert httpx.get(f"{app}/api/execute").status_code == 405


def test_the_button_runs_streams_and_stops(page: Page, app: str, site: Server) -> None:
    page.goto(app)
    program = Program(page)
    program.run.click()
    program.ends("Finished")
    expect(program.log).to_contain_text("5 squared is 25")
    program.start("print('first', flush=True)\nwhile True: pass")
    expect(program.log).to_have_text("first\n")
    expect(program.element).to_have_attribute("running", "")
    before = len(site.log)
    program.stop.click()
    program.ends("Stopped")
    eventually(lambda: "cancelled" in [entry.get("reason") for entry in site.log[before:]])
    program.start("eval('1')")
    program.ends("Not allowed on line 1")


class Recorder(BaseHTTPRequestHandler):
    """An upstream that tells what it was sent."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        body = json.dumps({"path": self.path, **{name.lower(): value for name, value in self.headers.items()}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Set-Cookie", "upstream=1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def test_the_token_is_added_and_the_sites_own_secrets_stay(app: str) -> None:
    del app  # it is built
    with ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as upstream:
        thread = threading.Thread(target=upstream.serve_forever)
        thread.start()
        with started(f"http://127.0.0.1:{upstream.server_port}", CODE_EXECUTOR_TOKEN="s3cret") as address:
            answer = httpx.post(
                f"{address}/api/execute?upstream=http://127.0.0.1:1/",
                json={"code": "1"},
                headers={"Cookie": "session=1", "Authorization": "Bearer mine", "X-Forwarded-Host": "elsewhere"},
            )
            seen = answer.json()
            assert seen["authorization"] == "Bearer s3cret"
            assert seen["path"] == "/api/execute"
            assert "cookie" not in seen
            assert "set-cookie" not in answer.headers
            upstream.shutdown()
            thread.join()
            upstream.server_close()
            gone = httpx.post(f"{address}/api/execute", json={"code": "1"})
            assert gone.status_code == 502
            assert gone.json()["title"] == "Bad Gateway"
