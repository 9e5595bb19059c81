"""A real browser on real servers.

Every page that a test opens is watched: an error in the console, a refusal of the Content-Security-Policy, or a request
to anywhere but this machine fails the test that caused it. Without Chromium or npm these tests are skipped, and the
summary says so; with CI=true that is a failure.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, expect, sync_playwright

from code_executor.api.pages import BUILD
from tests.conftest import Serve, Server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome") or ""
FLAGS = [
    "--no-sandbox",  # Chromium has none for root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 20_000
"""Milliseconds that something may take to show on a slow machine; nothing waits that long where all is well."""

NO_CHROMIUM = "" if CHROMIUM else "Chromium is not installed (apt install chromium)"
NO_BUILD = "" if os.path.exists(os.path.join(BUILD, "index.html")) else "the page is not built (make web, with npm)"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    missing = [each for each in (NO_CHROMIUM, NO_BUILD) if each]
    if missing:
        terminalreporter.section("NOT TESTED: the page, in a browser", sep="!", red=True)
        terminalreporter.line("; ".join(missing))


def need(missing: str) -> None:
    """Skip the test where something is ``missing``; in CI, fail it."""
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"CI=true, and {missing}")
    if missing:
        pytest.skip(missing)


def need_build() -> None:
    need(NO_BUILD)


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds that nothing can be asked to tell of."""
    deadline = time.monotonic() + PATIENCE / 1000
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")  # not longer: while it is open, Playwright's event loop is in the way of any other
def browser() -> Iterator[Browser]:
    need(NO_CHROMIUM)
    need_build()
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def site(serve: Serve) -> Iterator[Server]:
    """A server without a rate limit."""
    with serve("native", rate_limit="off", check_rate_limit="off", pool_size=2) as running:
        yield running


@dataclass
class Watch:
    """What went wrong in a page, bar what a test says is ``expected`` (a part of a console line)."""

    expected: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def on_error(self, error: Any) -> None:
        self.complaints.append(str(error))

    def on_request(self, request: Request) -> None:
        if not re.match(r"(blob|data|about):|(http|ws)://127\.0\.0\.1[:/]", request.url):
            self.complaints.append(f"a request to {request.url}")

    def verdict(self) -> list[str]:
        return [text for text in self.complaints if not any(part in text for part in self.expected)]


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def page(browser: Browser, watch: Watch, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page of a new browser context, whose options are the test's indirect parameter."""
    context = browser.new_context(**getattr(request, "param", {}))
    context.set_default_timeout(PATIENCE)
    context.on("console", watch.on_console)
    context.on("weberror", lambda error: watch.on_error(error.error))
    context.on("request", watch.on_request)
    yield context.new_page()
    context.close()
    assert watch.verdict() == []


class Program:
    """One ``<run-code>``, through what a person sees of it."""

    def __init__(self, page: Page, element: Locator | None = None) -> None:
        self.page = page
        self.element = element or page.locator("run-code")
        self.editor = self.element.get_by_role("textbox", name="Python code")
        self.run = self.element.get_by_role("button", name="Run", exact=True)
        self.stop = self.element.get_by_role("button", name="Stop")
        self.reset = self.element.get_by_role("button", name="Reset")
        self.log = self.element.get_by_role("log")
        self.prompt = self.element.locator(".prompt input")
        self.status = self.element.locator(".state")
        self.foot = self.element.locator(".foot")

    def shows(self, code: str) -> None:
        """Wait for a program in the editor."""
        expect(self.element).to_have_js_property("code", code)

    def write(self, code: str) -> None:
        """Put a program into the editor, as a page may."""
        expect(self.editor).to_be_visible()
        self.element.evaluate("(element, code) => { element.code = code }", code)

    def start(self, code: str) -> None:
        self.write(code)
        self.run.click()

    def answer(self, line: str) -> None:
        """Wait for the line for input, and type one into it."""
        self.prompt.fill(line)  # which waits until it shows, as a press does not
        self.prompt.press("Enter")

    def ends(self, status: str) -> None:
        """Wait for the end of the run."""
        expect(self.element).not_to_have_attribute("running", "")
        expect(self.status).to_have_text(status)


@pytest.fixture
def program(page: Page, site: Server) -> Program:
    """The program on the page at /."""
    page.goto(site.url)
    return Program(page)
