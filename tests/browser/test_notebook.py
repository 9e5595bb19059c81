"""The notebook at /notebook: cells that share an interpreter."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from playwright.sync_api import FilePayload, Locator, Page, Route, expect

from tests.browser.conftest import Watch, eventually
from tests.browser.test_page import lightness, violations
from tests.browser.test_run import STYLED_BY_CHROMIUM
from tests.conftest import Serve, Server


@pytest.fixture(scope="module")
def site(serve: Serve) -> Iterator[Server]:
    with serve("native", rate_limit="off", check_rate_limit="off", pool_size=3, preload="") as running:
        yield running


class Notebook:
    """The notebook, through what a person sees of it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        page.goto(f"{url}/notebook")
        self.element = page.locator("run-notebook")
        self.bar = self.element.get_by_role("toolbar", name="Notebook")
        self.status = self.bar.get_by_role("status")
        self.over = self.element.get_by_role("alert")

    def button(self, name: str) -> Locator:
        return self.bar.get_by_role("button", name=name, exact=True)

    def cell(self, number: int) -> Locator:
        return self.element.get_by_role("group", name=f"Cell {number}", exact=True)

    def editor(self, number: int) -> Locator:
        return self.cell(number).get_by_role("textbox", name="Python code")

    def log(self, number: int) -> Locator:
        return self.cell(number).get_by_role("log")

    def number(self, cell: int) -> Locator:
        return self.cell(cell).locator(".number")

    def write(self, *codes: str) -> None:
        """Make these the cells, as a page may."""
        expect(self.editor(1)).to_be_visible()
        self.element.evaluate("(element, codes) => { element.cells = codes }", list(codes))

    def run(self, number: int) -> None:
        self.cell(number).get_by_role("button", name="Run", exact=True).click()

    def done(self) -> None:
        expect(self.element).not_to_have_attribute("running", "")


@pytest.fixture
def notebook(page: Page, site: Server) -> Iterator[Notebook]:
    yield Notebook(page, site.url)
    page.goto("about:blank")  # which ends its session


def test_cells_run_in_order_and_share_their_state(notebook: Notebook) -> None:
    notebook.write("x = 41", "print('seen')\nx + 1")
    notebook.button("Run all").click()
    expect(notebook.log(2)).to_have_text("seen\n42\n")
    notebook.done()
    expect(notebook.number(1)).to_have_text("In [1]")
    expect(notebook.number(2)).to_have_text("In [2]")
    notebook.run(1)
    expect(notebook.number(1)).to_have_text("In [3]")
    expect(notebook.status).to_have_text("Ready")


def test_shift_enter_runs_a_cell_and_goes_on_to_the_next_which_it_makes(notebook: Notebook, watch: Watch) -> None:
    watch.expected.append(STYLED_BY_CHROMIUM)
    notebook.write("")
    keyboard = notebook.page.keyboard
    notebook.editor(1).click()
    keyboard.type("word = 'spoken'")
    keyboard.press("Shift+Enter")
    expect(notebook.editor(2)).to_be_focused()
    keyboard.type("word.upper()")
    keyboard.press("Control+Enter")
    expect(notebook.log(2)).to_have_text("'SPOKEN'\n")
    expect(notebook.editor(2)).to_be_focused()
    keyboard.press("Escape")
    keyboard.press("Shift+Tab")  # out of the editor, to the buttons of its cell
    expect(notebook.cell(2).get_by_role("button", name="Delete")).to_be_focused()


def test_an_error_marks_its_line_keeps_the_state_and_stops_what_follows(notebook: Notebook) -> None:
    notebook.write("kept = 1\nkept / 0", "print('never')", "kept")
    notebook.button("Run all").click()
    notebook.done()
    expect(notebook.cell(1).locator(".cm-line.failed-line")).to_have_text("kept / 0")
    expect(notebook.log(1)).to_contain_text("ZeroDivisionError: division by zero")
    expect(notebook.number(2)).to_have_text("In [ ]")
    expect(notebook.log(2)).to_be_hidden()
    notebook.run(3)
    expect(notebook.log(3)).to_have_text("1\n")


def test_interrupt_stops_the_cell_and_not_the_session(notebook: Notebook) -> None:
    notebook.write("n = 1\nprint('begun')\nfor _ in iter(int, 1): n += 1", "n > 1")
    notebook.run(1)
    expect(notebook.log(1)).to_contain_text("begun")
    notebook.run(2)  # waits for its turn, and does not get it
    notebook.button("Interrupt").click()
    notebook.done()
    expect(notebook.log(1)).to_contain_text("KeyboardInterrupt")
    expect(notebook.cell(1).locator(".state")).to_contain_text("Stopped")
    notebook.run(2)
    expect(notebook.log(2)).to_have_text("True\n")


def test_restart_begins_without_variables_and_counts_anew(notebook: Notebook) -> None:
    notebook.write("x = 1", "x")
    notebook.button("Run all").click()
    expect(notebook.log(2)).to_have_text("1\n")
    notebook.done()
    notebook.button("Restart").click()
    expect(notebook.number(2)).to_have_text("In [ ]")
    expect(notebook.status).to_have_text("Ready")
    notebook.run(2)
    expect(notebook.log(2)).to_contain_text("NameError: name 'x' is not defined")
    expect(notebook.number(2)).to_have_text("In [1]")


def test_a_cell_asks_for_input(notebook: Notebook) -> None:
    notebook.write("print('Hello,', input('Name? '))")
    notebook.run(1)
    prompt = notebook.cell(1).get_by_role("textbox", name="Name?")
    expect(prompt).to_be_focused()
    prompt.fill("Ada")
    prompt.press("Enter")
    expect(notebook.log(1)).to_have_text("Name? Ada\nHello, Ada\n")


def test_pictures_and_tables_show(notebook: Notebook) -> None:
    notebook.write(
        "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()",
        "class T:\n    def _repr_html_(self): return '<table><tr><td>cell</td></tr></table>'\nT()",
    )
    notebook.button("Run all").click()
    expect(notebook.cell(1).locator("img")).to_be_visible()
    expect(notebook.cell(2).locator("td")).to_have_text("cell")


def test_a_notebook_shows_a_figure_again(notebook: Notebook) -> None:
    notebook.write(
        "import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nplt.show()",
        "ax.plot([1, 2]);\nfig",
    )
    notebook.button("Run all").click()
    expect(notebook.cell(1).locator("img")).to_have_count(1)
    expect(notebook.cell(2).locator("img")).to_have_count(1)
    expect(notebook.log(2)).to_have_text("")


def test_cells_are_added_moved_and_deleted_and_kept_when_the_page_is_left(notebook: Notebook) -> None:
    notebook.write("'a'", "'b'")
    notebook.button("Add cell").click()
    expect(notebook.editor(3)).to_be_focused()
    down = notebook.cell(1).get_by_role("button", name="Down")
    down.click()
    expect(notebook.editor(1)).to_have_text("'b'")
    expect(notebook.cell(2).get_by_role("button", name="Down")).to_be_focused()
    notebook.cell(3).get_by_role("button", name="Delete").click()
    expect(notebook.cell(3)).to_have_count(0)
    expect(notebook.editor(2)).to_be_focused()
    notebook.page.reload()
    expect(notebook.editor(1)).to_have_text("'b'")
    expect(notebook.editor(2)).to_have_text("'a'")


def test_leaving_the_page_ends_its_session(notebook: Notebook, site: Server) -> None:
    notebook.write("x = 1")
    notebook.run(1)
    expect(notebook.number(1)).to_have_text("In [1]")
    notebook.page.goto("about:blank")
    eventually(lambda: "code_executor_sessions 0.0" in httpx.get(f"{site.url}/metrics").text)


def test_the_program_page_links_to_it(page: Page, site: Server) -> None:
    page.goto(site.url)
    page.get_by_role("link", name="Notebook").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Notebook")
    page.get_by_role("link", name="Programs").click()
    expect(page.locator("run-code")).to_be_visible()


# ---- sessions that end, and servers without any


@contextmanager
def on(serve: Serve, page: Page, **settings: object) -> Iterator[Notebook]:
    with serve("native", preload="", pool_size=2, **settings) as server:
        yield Notebook(page, server.url)


def test_a_session_that_expires_is_said_to_be_gone_and_another_begins(page: Page, watch: Watch, serve: Serve) -> None:
    watch.expected.append("404 (Not Found)")
    with on(serve, page, session_idle=0.5) as notebook:
        notebook.write("x = 1", "x")
        notebook.run(1)
        expect(notebook.over).to_contain_text("The session has ended, and the values of its variables with it.")
        expect(notebook.number(1)).to_have_text("In [ ]")
        notebook.over.get_by_role("button", name="Start a new session").click()
        expect(notebook.over).to_be_hidden()


def test_a_cell_that_ends_its_session_says_why_and_that_it_is_gone(page: Page, watch: Watch, serve: Serve) -> None:
    watch.expected.append("404 (Not Found)")
    with on(serve, page, max_output="10k") as notebook:
        notebook.write("print('x' * 20000)", "1")
        notebook.run(1)
        expect(notebook.log(1)).to_contain_text("wrote more than the 10 KB")
        expect(notebook.over).to_contain_text("The session has ended")
        notebook.run(2)  # opens another
        expect(notebook.log(2)).to_have_text("1\n")
        expect(notebook.over).to_be_hidden()


def test_a_server_without_sessions_says_so(page: Page, watch: Watch, serve: Serve) -> None:
    watch.expected.append("404 (Not Found)")
    with on(serve, page, sessions=0) as notebook:
        notebook.write("1")
        notebook.run(1)
        expect(notebook.over).to_contain_text("This server has no sessions")
        expect(notebook.over.get_by_role("button")).to_be_hidden()


def test_the_rate_limit_is_told(page: Page, watch: Watch, serve: Serve) -> None:
    watch.expected.append("429 (Too Many Requests)")
    with on(serve, page, rate_limit="2/minute") as notebook:
        notebook.write("print(1)", "print(2)")
        notebook.button("Run all").click()
        expect(notebook.log(1)).to_have_text("1\n")
        expect(notebook.bar).to_contain_text("No runs left this minute")
        page.wait_for_load_state("networkidle")  # it asks for its files; the server must not stop before it answers


# ---- looks and access


@pytest.mark.parametrize("page", [{"color_scheme": "light"}, {"color_scheme": "dark"}], indirect=True)
def test_the_notebook_is_accessible(notebook: Notebook) -> None:
    assert violations(notebook.page) == []
    notebook.write("print('out')\n1 / 0", "input('? ')", "import os")
    for number in (1, 3, 2):
        notebook.run(number)
        expect(notebook.cell(number).locator(".state")).not_to_have_text(re.compile("Running|turn"))
    expect(notebook.cell(2).locator(".prompt input")).to_be_focused()
    assert violations(notebook.page) == []


def test_it_is_as_dark_as_the_page(notebook: Notebook) -> None:
    notebook.page.get_by_role("button", name="Theme").click()
    notebook.page.get_by_role("button", name="Theme: light").click()
    background = "element => getComputedStyle(element).backgroundColor"
    assert lightness(notebook.cell(1).evaluate(background)) < 0.2


@pytest.fixture(scope="module")
def free_site(serve: Serve) -> Iterator[Server]:
    """A server whose cells may open files."""
    with serve("native", policy="off", rate_limit="off", check_rate_limit="off", pool_size=3, preload="") as running:
        yield running


@pytest.fixture
def free(page: Page, free_site: Server) -> Iterator[Notebook]:
    yield Notebook(page, free_site.url)
    page.goto("about:blank")


def upload(name: str, content: bytes) -> FilePayload:
    return FilePayload(name=name, mimeType="text/plain", buffer=content)


def test_files_are_added_listed_read_downloaded_and_deleted(free: Notebook) -> None:
    free.write("print(open('table.csv').read())\nopen('made.txt', 'w').write('by a cell');")
    shelf = free.element.locator(".shelf")
    shelf.locator("summary").click()
    shelf.get_by_label("Add files").set_input_files([upload("table.csv", b"a,b"), upload("x y#.txt", b"")])
    files = shelf.get_by_role("list", name="Files of the session")
    expect(files.get_by_role("listitem")).to_contain_text(["table.csv 3 bytes", "x y#.txt 0 bytes"])
    free.run(1)
    expect(free.log(1)).to_have_text("a,b\n")
    expect(files.get_by_role("listitem")).to_contain_text(["made.txt 9 bytes", "table.csv", "x y#.txt"])
    with free.page.expect_download() as download:
        files.get_by_title("Download made.txt").click()
    assert download.value.path().read_bytes() == b"by a cell"
    files.get_by_title("Delete x y#.txt").click()
    expect(files.get_by_role("listitem")).to_contain_text(["made.txt", "table.csv"])


def test_a_cell_finds_the_files_that_were_added_before_it_was_run(free: Notebook) -> None:
    free.write("print(open('a.txt').read(), open('b.txt').read())")
    opening: list[Route] = []
    free.page.route("**/api/sessions", lambda route: opening.append(route))  # noqa: PLW0108  # it looks for more in a builtin
    shelf = free.element.locator(".shelf")
    shelf.locator("summary").click()
    with free.page.expect_request("**/api/sessions"):
        shelf.get_by_label("Add files").set_input_files([upload("a.txt", b"1"), upload("b.txt", b"2")])
    free.run(1)  # both wait for the session
    expect(free.element).to_have_attribute("running", "")
    opening[0].continue_()
    expect(free.log(1)).to_have_text("1 2\n")
    expect(shelf.get_by_role("listitem")).to_contain_text(["a.txt", "b.txt"])


def test_a_restart_keeps_the_files_that_were_added_and_no_other(free: Notebook) -> None:
    free.write("x = 1; open('made.txt', 'w').close()", "x")
    shelf = free.element.locator(".shelf")
    shelf.locator("summary").click()
    shelf.get_by_label("Add files").set_input_files([upload("given.txt", b"1")])
    free.run(1)
    items = shelf.get_by_role("listitem")
    expect(items).to_contain_text(["given.txt", "made.txt"])
    free.button("Restart").click()
    expect(items).to_contain_text(["given.txt"])
    expect(items).to_have_count(1)
    free.run(2)
    expect(free.log(2)).to_contain_text("NameError")
