"""The page at /tokens: links for learners, each of which opens a page of ours for one of them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import FilePayload, Locator, Page, expect

from tests.api.test_keys import attempt
from tests.browser.conftest import Program, eventually
from tests.browser.test_page import violations
from tests.conftest import Serve, Server


class School:
    """A server that needs a key, the id of one, and the secret of its tokens."""

    def __init__(self, server: Server, shown: str) -> None:
        self.server = server
        self.id = re.findall(r"ce_([0-9a-z]{8})_", shown)[0]
        self.secret = re.findall(r"ces_[\w-]+", shown)[0]

    def of_course(self, course: str) -> list[object]:
        """Return for whom each run of a course was, as the log has it."""
        return [line["learner"] for line in self.server.log if line.get("course") == course]


@pytest.fixture(scope="module")
def school(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[School]:
    data: Path = tmp_path_factory.mktemp("kept")
    done = attempt(data, "keys", "add", "--name", "course")
    assert done.returncode == 0, done.stderr
    with serve("native", rate_limit="off", pool_size=3, preload="", data=data) as running:
        yield School(running, done.stdout)


def rows(page: Page, school: School, learners: str, **more: str) -> Locator:
    """Fill in the form, and send it."""
    page.goto(f"{school.server.url}/tokens")
    fields = {"Key": school.id, "Secret for learner tokens": school.secret, "Learners": learners, **more}
    for name, value in fields.items():
        page.get_by_label(re.compile(f"^{name}")).fill(value)
    page.get_by_role("button", name="Make links").click()
    return page.locator("#rows tr")


def test_each_learner_gets_a_link_with_a_token_that_the_server_takes(page: Page, school: School) -> None:
    made = rows(page, school, "4711\n\n  Бобби \n4711\n", Course="cs1", Minutes="10")
    expect(made).to_have_count(2)
    expect(page.locator("#rows td:first-child")).to_have_text(["4711", "Бобби"])
    assert violations(page) == []
    for at in range(2):
        token = made.nth(at).get_by_role("textbox").input_value()
        answer = httpx.post(
            f"{school.server.url}/api/execute",
            json={"code": "print(1)"},
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
        )
        assert answer.json()["output"] == "1\n"
    eventually(lambda: len(school.of_course("cs1")) == 2)
    assert len(set(school.of_course("cs1"))) == 2
    page.get_by_role("button", name="Copy all").click()
    expect(page.locator("#copy")).to_have_text(re.compile("Copied|Press Ctrl-C"))


def test_a_link_opens_the_page_for_its_learner_and_leaves_the_address(page: Page, school: School) -> None:
    rows(page, school, "ada").get_by_role("link").click()
    program = Program(page)
    program.start("print(6 * 7)")
    program.ends("Finished")
    assert page.url == f"{school.server.url}/"
    page.goto(f"{school.server.url}/#numpy")  # another example, in the same tab
    page.reload()
    program.start("print(6 * 8)")
    program.ends("Finished")
    expect(program.log).to_have_text("48\n")


def test_a_link_opens_the_notebook_for_its_learner(page: Page, school: School) -> None:
    page.goto(f"{school.server.url}/tokens")
    page.get_by_role("radio", name="the notebook").check()
    for name, value in (("Key", school.id), ("Secret", school.secret), ("Learners", "grace")):
        page.get_by_label(re.compile(f"^{name}")).fill(value)
    page.get_by_role("button", name="Make links").click()
    page.locator("#rows").get_by_role("link").click()
    notebook = page.locator("run-notebook")
    notebook.evaluate("(element) => { element.cells = ['x = 6', 'print(x * 7)'] }")
    files = FilePayload(name="a.txt", mimeType="text/plain", buffer=b"a")
    notebook.locator("summary").click()
    notebook.get_by_label("Add files").set_input_files([files])
    expect(notebook.locator("summary")).to_have_text("Files (1)")
    notebook.get_by_role("button", name="Run all").click()
    expect(notebook.get_by_role("group", name="Cell 2").get_by_role("log")).to_have_text("42\n")
    page.goto("about:blank")  # which ends the session
    eventually(lambda: any(line["event"] == "session_ended" for line in school.server.log))


def test_a_link_to_the_labs_has_a_token_for_them(page: Page, school: School) -> None:
    page.goto(f"{school.server.url}/tokens")
    page.get_by_role("radio", name="labs").check()
    for name, value in (("Key", school.id), ("Secret", school.secret), ("Learners", "ada")):
        page.get_by_label(re.compile(f"^{name}")).fill(value)
    page.get_by_role("button", name="Make links").click()
    row = page.locator("#rows")
    token = row.get_by_role("textbox").input_value()
    expect(row.get_by_role("link")).to_have_attribute("href", f"{school.server.url}/labs#token={token}")
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert set(claims["scope"].split()) == {"run", "check", "labs"}


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("Key", "K3X9", "8 small letters"),
        ("Secret for learner tokens", "ces_short", "47 characters"),
        ("Learners", "x" * 129, "too long"),
        ("Course", "a\u00a0b", "cannot be printed"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_made(
    page: Page, school: School, field: str, value: str, says: str
) -> None:
    made = rows(page, school, "ada", **{field: value}) if field != "Learners" else rows(page, school, value)
    expect(page.get_by_role("alert")).to_contain_text(says)
    expect(made).to_have_count(0)
