"""Takes the pictures in docs/images: the pages, on real servers with the native engine (`make screenshots`)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs/images"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
WIDE = {"width": 1180, "height": 680}


def run_to_the_end(page: Page) -> None:
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator(".state")).not_to_have_class("state busy")
    expect(page.locator("run-code")).not_to_have_attribute("running", "")


def plots(page: Page) -> None:
    run_to_the_end(page)
    for picture in page.locator("run-code img").all():
        picture.evaluate("picture => picture.decode()")


def asked_for_input(page: Page) -> None:
    page.get_by_role("button", name="Run", exact=True).click()
    for answer in ("Ada", "21"):
        expect(page.locator(".prompt input")).to_be_focused()
        page.keyboard.type(f"{answer}\n")
    expect(page.get_by_role("log")).to_contain_text("42.0")
    expect(page.locator(".state")).to_have_text("Waiting for input")


def refused(page: Page) -> None:
    page.get_by_role("textbox", name="Python code").focus()
    page.keyboard.press("Control+End")
    page.keyboard.type('\nprint(open("diary.txt").read())')
    expect(page.locator(".cm-lintRange-error")).to_have_count(3)
    page.get_by_role("heading", level=1).click()


CELLS = [
    "import pandas as pd\n\nmarks = pd.DataFrame({'name': ['Ada', 'Ben', 'Cyd'], 'score': [92, 71, 84]})\nmarks",
    "first, second = marks.score.nlargest(2)\nprint('The best is ahead by', first - second)",
    "marks.plot.bar(x='name', y='score', figsize=(6, 2.4), legend=False, rot=0);",
]


def run_cells(page: Page) -> None:
    notebook = page.locator("run-notebook")
    expect(notebook.get_by_role("button", name="Run all")).to_be_visible()
    notebook.evaluate("(element, cells) => { element.cells = cells }", CELLS)
    notebook.get_by_role("button", name="Run all").click()
    expect(notebook.locator("img")).to_be_visible(timeout=30_000)
    expect(notebook).not_to_have_attribute("running", "")
    notebook.locator("img").evaluate("picture => picture.decode()")


PICTURES: list[tuple[str, str, str, dict[str, int], Callable[[Page], None]]] = [
    ("plots.png", "#plots", "light", {"width": 1180, "height": 1330}, plots),
    ("input.png", "#input", "dark", WIDE, asked_for_input),
    ("error.png", "#errors", "light", WIDE, run_to_the_end),
    ("policy.png", "#rules", "light", WIDE, refused),
    ("notebook.png", "notebook", "light", {"width": 1180, "height": 1100}, run_cells),
    ("table-mobile.png", "#tables", "dark", {"width": 400, "height": 900}, run_to_the_end),
]


# ---- labs

COURSE = "demo"
LOST = "def largest(a, b, c):\n    if a > b:\n        return a\n    return b\n"
LEARNERS = 9


def fill(url: str) -> None:
    """Put the course of the examples on a server, and let a class work on it."""
    load = [sys.executable, "-m", "code_labs", "load", "examples/course", "--server", url, "--wait", "60"]
    subprocess.run(load, cwd=ROOT, check=True)
    with httpx.Client(base_url=f"{url}/api/labs/v1/courses", timeout=60) as http:
        labs = [each["lab"] for each in http.get(f"/{COURSE}", headers={"X-Learner": "learner-0"}).json()["labs"]]
        for number in range(LEARNERS):
            http.headers["X-Learner"] = f"learner-{number}"
            for place, lab in enumerate(labs[: 3 + number % 4]):
                directory = ROOT / "src/code_labs/bank/labs" / lab
                wrong, right = ((directory / f"{name}.py").read_text() for name in ("starter", "solution"))
                tries = [wrong] * ((number + place) % 3) + [wrong if number == place + 3 else right]
                for code in tries * (3 if tries == [wrong] else 1):
                    http.post(f"/{COURSE}/labs/{lab}/submit", json={"code": code}).raise_for_status()


def handed_in(page: Page) -> None:
    editor = page.get_by_role("textbox", name="Python code")
    editor.click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(LOST)
    page.get_by_role("button", name="Submit").click()
    expect(page.locator(".after")).not_to_be_empty()
    expect(page.locator("lab-code")).not_to_have_attribute("running", "")
    page.evaluate("scrollTo(0, 0)")


def shown(page: Page) -> None:
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.wait_for_load_state("networkidle")


OF_LABS: list[tuple[str, str, str, dict[str, int], Callable[[Page], None]]] = [
    ("lab.png", f"labs?course={COURSE}&lab=if-largest", "light", {"width": 1180, "height": 880}, handed_in),
    ("teach.png", f"teach?course={COURSE}", "light", {"width": 1180, "height": 1100}, shown),
    ("dashboard.png", f"dashboard?course={COURSE}", "light", {"width": 1180, "height": 1300}, shown),
]


def take(
    browser: Browser, url: str, pictures: list[tuple[str, str, str, dict[str, int], Callable[[Page], None]]]
) -> None:
    for name, fragment, scheme, size, act in pictures:
        page = browser.new_page(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]  # typed dictionaries
        page.goto(f"{url}/{fragment}")
        act(page)
        page.mouse.move(0, 0)
        page.screenshot(path=IMAGES / name, animations="disabled", caret="hide")
        page.close()
        print(f"docs/images/{name}")


@contextmanager
def served(**settings: str) -> Iterator[str]:
    """Serve for a while; yields the address."""
    command = [sys.executable, "-m", "code_executor", "serve", "--engine", "native", "--port", "0"]
    own = {"CODE_EXECUTOR_RATE_LIMIT": "off", "CODE_EXECUTOR_LOG_FORMAT": "json", **settings}
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, **own}, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            url = next(line.split('"url": "')[1].split('"')[0] for line in server.stderr if '"serving"' in line)
            threading.Thread(target=server.stderr.read).start()  # or it could write no more
            yield url
        finally:
            server.terminate()
            server.wait()


def main() -> int:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("Chromium is not installed (apt install chromium)", file=sys.stderr)
        return 1
    IMAGES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as data:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        if "labs" not in sys.argv[1:]:
            with served() as url:
                take(browser, url, PICTURES)
        with served(CODE_EXECUTOR_LABS="true", CODE_EXECUTOR_DATA=data, CODE_EXECUTOR_LOG_LEVEL="info") as url:
            fill(url)
            take(browser, url, OF_LABS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
