"""A page without a key runs programs for its learner, with a token: over a WebSocket, and over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.api.test_keys import attempt, made
from tests.browser.conftest import Program, Watch
from tests.conftest import Serve, Server


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("kept")
    made(path, "course")
    return path


@pytest.fixture(scope="module")
def guarded(serve: Serve, data: Path) -> Iterator[Server]:
    """A server that needs a key."""
    with serve("native", rate_limit="off", pool_size=2, preload="", data=data) as running:
        yield running


def token(data: Path) -> str:
    return attempt(data, "token", "course", "--learner", "ada").stdout.strip()


def show(page: Page, server: Server, watch: Watch) -> Program:
    """Open the page at /, which has no token, and so may not check what is typed."""
    watch.expected += ["401", "WebSocket connection to"]
    page.goto(server.url)
    return Program(page)


def test_a_page_runs_programs_with_its_learners_token(page: Page, guarded: Server, data: Path, watch: Watch) -> None:
    program = show(page, guarded, watch)
    program.start("print(1)")
    program.ends("Unauthorized")
    program.element.evaluate("(element, token) => element.setAttribute('token', token)", token(data))
    program.start("print(input() * 2)")  # a newer token opens the WebSocket that was refused before
    program.answer("ab")
    program.ends("Finished")
    expect(program.log).to_contain_text("abab")


def test_a_token_goes_over_http_too(page: Page, guarded: Server, data: Path, watch: Watch) -> None:
    program = show(page, guarded, watch)
    program.element.evaluate("(element) => element.setAttribute('transport', 'sse')")
    program.element.evaluate("(element, token) => element.setAttribute('token', token)", token(data))
    program.start("print(6 * 7)")
    program.ends("Finished")
    expect(program.log).to_have_text("42\n")
    program.write("import os\n")
    program.editor.click()
    page.keyboard.type("#")  # a check shows the token too
    expect(program.editor.locator(".cm-lintRange-error")).to_be_visible()
