"""The course page of examples/nextjs: a lab is written, checked and kept, for a learner whom the site names."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Program, Watch, need, need_build
from tests.browser.test_nextjs import build, lacking, started
from tests.conftest import Serve

pytestmark = pytest.mark.timeout(300)  # the first test waits for npm and for the build

WRONG = "def ticket(age):\n    return 9"
RIGHT = "def ticket(age):\n    return 0 if age < 6 else 4 if age < 18 else 6 if age >= 65 else 9\n"
COURSE = 'course = "c"\ntitle = "A short course"\nlanguage = "en"\nbank = ["if-ticket"]\n'
VIDEO = '\n[[videos]]\nvideo = "v"\ntitle = "Decisions"\nfile = "v.vtt"\nyoutube = "dQw4w9WgXcQ"\n'
SAID = "WEBVTT\n\n00:01.000 --> 00:09.000\nwith if and elif the price of a ticket depends on the age of children\n"


def run(module: str, *arguments: str, **variables: str) -> str:
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def site(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The example in front of a service that is closed; its address, and the id of its key."""
    need_build()
    need(lacking())
    build()
    directory = tmp_path_factory.mktemp("course")
    (directory / "course.toml").write_text(COURSE + VIDEO)
    (directory / "v.vtt").write_text(SAID)
    data = str(directory / "data")
    more = ("keys", "add", "--name", "site", "--scope", "run,check,labs,teach")
    told = run("code_executor", *more, CODE_EXECUTOR_DATA=data)
    key, secret = re.findall(r"\b(?:ce|ces)_\w+", told)[:2]
    with serve("native", rate_limit="off", labs="true", data=data, pool_size=2) as server:
        run("code_labs", "load", str(directory), "--server", server.url, CODE_LABS_KEY=key)
        name = key.split("_")[1]
        with started(server.url, CODE_EXECUTOR_KEY_ID=name, CODE_EXECUTOR_TOKEN_SECRET=secret) as address:
            yield address, name


def test_a_lab_is_written_checked_and_kept(page: Page, site: tuple[str, str]) -> None:
    address, _ = site
    page.goto(f"{address}/course/c")
    expect(page.get_by_text("0 of 1 passed")).to_be_visible()
    expect(page.get_by_role("link", name=re.compile("Decisions, 0:0"))).to_have_attribute("href", re.compile("&t="))
    page.get_by_role("listitem").get_by_role("button").click()
    program = Program(page)
    program.write(WRONG)
    expect(page.get_by_role("status").filter(has_text="Saved")).to_be_visible()
    page.get_by_role("button", name="Check my work").click()
    expect(page.get_by_role("heading", name="Not yet")).to_be_visible()
    expect(page.get_by_text("It is explained here:")).to_be_visible()
    page.get_by_role("button", name="Hint").click()
    expect(page.get_by_role("list").first.get_by_role("listitem")).to_have_count(1)

    page.reload()
    page.get_by_role("listitem").get_by_role("button").click()
    program.shows(WRONG)
    program.write(RIGHT)
    page.get_by_role("button", name="Check my work").click()
    expect(page.get_by_role("heading", name="Passed")).to_be_visible()
    page.get_by_role("button", name="All labs").click()
    expect(page.get_by_text("1 of 1 passed")).to_be_visible()


def test_two_windows_do_not_overwrite_each_other(page: Page, watch: Watch, site: tuple[str, str]) -> None:
    watch.expected.append("409 (Conflict)")  # which the browser notes, whatever the page does with it
    address, _ = site
    other = page.context.new_page()
    for window in (page, other):
        window.goto(f"{address}/course/c")
        window.get_by_role("listitem").get_by_role("button").click()
        expect(window.get_by_role("button", name="Check my work")).to_be_visible()
    Program(page).write("first = 1")
    expect(page.get_by_role("status").filter(has_text="Saved")).to_be_visible()
    Program(other).write("second = 2")
    other.get_by_role("button", name="Take its version").click()
    Program(other).shows("first = 1")


def test_the_site_signs_for_its_learner_and_nobody_teaches_through_it(site: tuple[str, str]) -> None:
    address, name = site
    with httpx.Client(base_url=address) as browser:
        first = browser.get("/api/labs/courses")
        assert [each["course"] for each in first.json()["courses"]] == ["c"]
        assert "HttpOnly" in first.headers["set-cookie"]
        assert "set-cookie" not in browser.get("/api/labs/courses").headers
        me = browser.get("/api/labs/me").json()
        assert name not in json.dumps(me)
        for path in ("teach/courses", "x/../teach/courses", "%2e%2e/v1/teach/courses"):
            assert browser.get(f"/api/labs/{path}").status_code == 404
    forged = base64.urlsafe_b64encode(b"{}").decode()
    answer = httpx.get(f"{address}/api/labs/me", headers={"Authorization": f"Bearer {forged}"})
    assert answer.status_code == 200  # what a browser claims is not passed on: it is a new learner
    assert httpx.delete(f"{address}/api/labs/me").status_code == 405
