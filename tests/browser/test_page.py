"""The page at /, /embed, and the component in other people's pages: links, drafts, keyboard, colours, access."""

from __future__ import annotations

import base64
import http.client
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Program, Watch
from tests.conftest import Serve, Server

AXE = Path(__file__).parents[2] / "web/node_modules/axe-core/axe.min.js"


class Site(ThreadingHTTPServer):
    """Somebody else's site, which has one ``page``, and no policy."""

    page = ""

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @classmethod
    @contextmanager
    def listening(cls, handler: type[BaseHTTPRequestHandler]) -> Iterator[Site]:
        with cls(("127.0.0.1", 0), handler) as site:
            thread = threading.Thread(target=site.serve_forever)
            thread.start()
            try:
                yield site
            finally:
                site.shutdown()
                thread.join()


class OnePage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Site)
        head = '<!doctype html><html lang="en"><title>A course</title><link rel="icon" href="data:,">'
        body = f"{head}<main><h1>Lesson 1</h1>{self.server.page}</main>".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def proxy_of(server: Server) -> type[BaseHTTPRequestHandler]:
    """A reverse proxy that knows nothing of WebSockets, as some are."""
    host = server.url.removeprefix("http://")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if "upgrade" in self.headers.get("connection", "").lower():
                self.send_error(404)
                return
            upstream = http.client.HTTPConnection(host)
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            names = ("accept", "content-type")
            upstream.request(self.command, self.path, body, {n: self.headers[n] for n in names if n in self.headers})
            answer = upstream.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name not in ("transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.end_headers()
            while piece := answer.read1():
                self.wfile.write(piece)
            upstream.close()

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@pytest.fixture(scope="module")
def course(serve: Serve) -> Iterator[tuple[Site, Server]]:
    """A site, and a server that lets its pages call it."""
    with Site.listening(OnePage) as site:
        settings = {"rate_limit": "30/minute", "pool_size": 1, "preload": "", "allowed_origins": site.origin}
        with serve("native", **settings) as server:
            yield site, server


def violations(page: Page) -> list[str]:
    """What axe finds against WCAG 2.2 AA and its own good practices."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("async () => (await axe.run()).violations")
    return [f"{each['id']}: {node['html']} {node['failureSummary']}" for each in found for node in each["nodes"]]


def background(element: Locator) -> str:
    colour: str = element.evaluate("element => getComputedStyle(element).backgroundColor")
    return colour


def lightness(colour: str) -> float:
    numbers = [float(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    return sum(numbers) / 3 / 255


@pytest.mark.parametrize("page", [{"color_scheme": "light"}, {"color_scheme": "dark"}], indirect=True)
def test_the_page_is_accessible(program: Program) -> None:
    assert violations(program.page) == []
    program.start("import sys\nprint('out', file=sys.stderr)\nprint(input('? '))\n1 / 0")
    expect(program.prompt).to_be_focused()
    assert violations(program.page) == []
    program.page.keyboard.type("in\n")
    program.ends("Error on line 4")
    assert violations(program.page) == []
    program.page.get_by_role("button", name="Share").click()
    expect(program.page.get_by_role("dialog")).to_be_visible()
    assert violations(program.page) == []


def test_a_refusal_a_table_and_files_are_accessible(program: Program) -> None:
    program.start("import os")
    program.ends("Not allowed on line 1")
    assert violations(program.page) == []
    program.start("import pandas as pd\nd = pd.DataFrame({'n': [1]})\nd.to_csv('n.csv')\nd")
    program.ends("Finished")
    assert violations(program.page) == []


@pytest.mark.parametrize("page", [{"color_scheme": "dark"}], indirect=True)
def test_colours_follow_the_system_and_the_reader(program: Program) -> None:
    body = program.page.locator("body")
    assert lightness(background(body)) < 0.2
    assert lightness(background(program.element)) < 0.2
    theme = program.page.get_by_role("button", name="Theme")
    theme.click()
    expect(theme).to_have_text("Theme: light")
    assert lightness(background(body)) > 0.9
    assert lightness(background(program.element)) > 0.9
    program.page.reload()
    expect(theme).to_have_text("Theme: light")
    assert lightness(background(program.element)) > 0.9


def test_the_keyboard_is_enough(program: Program) -> None:
    keyboard = program.page.keyboard
    expect(program.editor).to_be_visible()
    keyboard.press("Tab")  # the link past everything else
    keyboard.press("Enter")
    while not program.editor.evaluate("editor => editor.getRootNode().activeElement === editor"):
        keyboard.press("Tab")
    keyboard.press("Control+End")
    keyboard.type("\nif True:\n")
    keyboard.press("Tab")  # indents
    keyboard.type("print(input('Name? '))")
    keyboard.press("Control+Enter")
    expect(program.prompt).to_be_focused()
    keyboard.type("Ada\n")
    program.ends("Finished")
    expect(program.log).to_contain_text("Name? Ada\nAda\n")
    program.editor.focus()
    keyboard.press("Escape")
    keyboard.press("Tab")  # leaves
    expect(program.editor).not_to_be_focused()
    keyboard.press("Shift+Tab")
    keyboard.press("Shift+Tab")
    expect(program.run).to_be_focused()
    keyboard.press("Enter")
    expect(program.prompt).to_be_focused()
    keyboard.press("Control+c")
    program.ends("Stopped")


def test_a_program_is_shared_by_its_link_alone(program: Program, site: Server) -> None:
    code = "print('ünï ☃', 6 * 7)\n# 100 %, & all + that?"
    program.write(code)
    program.page.get_by_role("button", name="Share").click()
    expect(program.page.get_by_role("dialog")).to_be_visible()
    link = program.page.get_by_label("Link").input_value()
    frame = program.page.get_by_label("For a web page").input_value()
    assert link.startswith(f"{site.url}/#z=")
    assert frame.startswith(f'<iframe src="{site.url}/embed#z=')
    program.page.keyboard.press("Escape")
    other = program.page.context.new_page()
    other.goto(link)
    shared = Program(other)
    expect(other.get_by_role("heading", level=1)).to_have_text("A shared program")
    shared.shows(code)
    expect(shared.status).to_have_text("Ready")  # nobody's program runs by itself
    shared.run.click()
    shared.ends("Finished")
    expect(shared.log).to_have_text("ünï ☃ 42\n")


def test_a_link_that_is_broken_shows_the_first_example(page: Page, site: Server) -> None:
    page.goto(f"{site.url}/#z=nonsense")
    expect(page.get_by_role("heading", level=1)).to_have_text("Text")


def test_a_link_that_inflates_without_end_shows_the_first_example(page: Page, site: Server) -> None:
    packer = zlib.compressobj(9, wbits=-15)
    bomb = b"".join([packer.compress(bytes(1 << 20)) for _ in range(300)]) + packer.flush()
    page.goto(f"{site.url}/#z={base64.urlsafe_b64encode(bomb).decode().rstrip('=')}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Text")


def test_the_description_of_the_api_works_under_its_policy(page: Page, site: Server) -> None:
    page.goto(f"{site.url}/docs")
    expect(page.get_by_role("heading", name="Code Executor")).to_be_visible()
    page.get_by_role("button", name="POST /api/execute Run a program").click()
    expect(page.get_by_role("button", name="Try it out")).to_be_visible()


def test_a_draft_is_kept_and_reset_brings_the_starter_back(program: Program) -> None:
    expect(program.reset).to_be_hidden()
    expect(program.editor).to_contain_text("import time")
    starter = program.element.evaluate("element => element.code")
    program.editor.focus()
    program.page.keyboard.type("# mine ")
    program.page.reload()
    program.shows(f"# mine {starter}")
    program.reset.click()
    program.shows(starter)
    program.page.keyboard.press("Control+z")
    program.shows(f"# mine {starter}")
    program.reset.click()
    program.page.reload()
    program.shows(starter)


@pytest.mark.parametrize(
    "page", [{"viewport": {"width": 360, "height": 700}, "has_touch": True, "is_mobile": True}], indirect=True
)
def test_a_telephone_is_wide_enough(program: Program) -> None:
    program.run.tap()
    program.ends("Finished")
    widths = program.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert widths[0] <= widths[1]


def test_embed_takes_its_program_from_the_fragment_and_its_options_from_the_query(page: Page, site: Server) -> None:
    page.goto(f"{site.url}/embed?theme=dark&timeout=1&readonly#code=print(%22hi%22)%0Awhile%20True%3A%20pass")
    program = Program(page)
    assert lightness(background(program.element)) < 0.2
    program.editor.focus()
    page.keyboard.type("x")
    program.run.click()
    program.ends("Time is up")
    expect(program.log).to_contain_text("hi\nExecution exceeded 1 second timeout")
    assert violations(page) == []


def test_a_proxy_without_websockets_is_got_along_with(page: Page, site: Server, watch: Watch) -> None:
    watch.expected.append("WebSocket connection to")
    with Site.listening(proxy_of(site)) as proxy:
        page.goto(proxy.origin)
        program = Program(page)
        program.start("print('there all the same')")
        program.ends("Finished")
        expect(program.log).to_have_text("there all the same\n")


COURSE = """
<script type=module src="{server}/assets/run-code.js"></script>
<run-code timeout=5 label="Hello">
  print("hi")
  print(6 * 7)
</run-code>
<run-code storage=off theme=dark label="Less"><script type="text/x-python">
    if 1 < 2:
        print("less")
</script></run-code>
"""


def test_any_page_needs_the_tag_and_the_script_only(page: Page, course: tuple[Site, Server]) -> None:
    site, server = course
    site.page = COURSE.format(server=server.url)
    page.goto(site.origin)
    hello = Program(page, page.locator("run-code").first)
    less = Program(page, page.locator("run-code").last)
    expect(hello.editor).to_be_visible()
    hello.shows('print("hi")\nprint(6 * 7)')
    less.shows('if 1 < 2:\n    print("less")')
    hello.run.click()
    hello.ends("Finished")
    less.run.click()
    less.ends("Finished")
    expect(hello.log).to_have_text("hi\n42\n")
    expect(less.log).to_have_text("less\n")
    expect(less.foot).to_contain_text(" of 30 runs left this minute")
    left = int(less.element.locator(".allowance").inner_text().split()[0])
    less.element.evaluate("element => element.setAttribute('transport', 'sse')")
    less.run.click()
    expect(less.foot).to_contain_text(f"{left - 1} of 30 runs left this minute")  # by headers, which are exposed
    less.ends("Finished")
    assert violations(page) == []


def test_a_frame_in_another_site_runs_programs(page: Page, course: tuple[Site, Server]) -> None:
    site, server = course
    site.page = f'<iframe title="A program" src="{server.url}/embed#code=print(6*7)"></iframe>'
    page.goto(site.origin)
    frame = page.frame_locator("iframe")
    frame.get_by_role("button", name="Run", exact=True).click()
    expect(frame.get_by_role("log")).to_have_text("42\n")


HOSTILE = '''class Page:
    def _repr_html_(self):
        return """
            <style>.run-code { display: none }</style>
            <script>document.title = "script"</script>
            <img src="x" onerror="document.title = 'handler'">
            <img src="https://example.org/seen.png">
            <img src="data:image/svg+xml;base64,PHN2Zy8+"><img src=" data:image/svg+xml,<svg/>">
            <p style="position: fixed" class="prompt" id="main" onclick="document.title = 'click'">harmless</p>
            <a href="javascript:document.title = 'link'">a link</a>
            <form action="https://example.org"><input name="password"><button>Send</button></form>
            <iframe srcdoc="<script>parent.document.title = 'frame'</script>"></iframe>
            <svg><script>document.title = "svg"</script></svg>
            <math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">
        """
Page()'''
HOSTILE_SVG = '''class Drawing:
    def _repr_svg_(self):
        return """<svg xmlns="http://www.w3.org/2000/svg" width="90" height="90" onload="top.document.title = 'load'">
            <script>top.document.title = "script"</script>
            <image href="https://example.org/seen.png" width="9" height="9"/>
            <foreignObject width="9" height="9"><iframe xmlns="http://www.w3.org/1999/xhtml" src="https://example.org"/>
            </foreignObject></svg>"""
Drawing()'''


def test_what_a_program_shows_can_do_nothing_even_to_a_page_without_a_policy(
    page: Page, course: tuple[Site, Server]
) -> None:
    site, server = course
    site.page = COURSE.format(server=server.url)
    page.goto(site.origin)
    program = Program(page, page.locator("run-code").first)
    program.start(HOSTILE)
    program.ends("Finished")
    shown = program.log.locator(".markup")
    expect(shown).to_contain_text("harmless")
    names = shown.evaluate("box => [...new Set(Array.from(box.querySelectorAll('*'), e => e.localName))].sort()")
    assert set(names) <= {"img", "p", "table"}
    attributes = shown.evaluate(
        "box => Array.from(box.querySelectorAll('*')).flatMap(e => e.getAttributeNames()).filter(n => n !== 'title')"
    )
    assert attributes == []
    shown.get_by_text("harmless").click()
    assert program.page.title() == "A course"


@pytest.mark.parametrize("name", ["page.html", "drawing.svg", "page.xhtml", "script.js"])
def test_a_file_of_a_program_is_no_page_of_ours_in_a_tab(page: Page, course: tuple[Site, Server], name: str) -> None:
    site, server = course
    site.page = COURSE.format(server=server.url)
    page.goto(site.origin)
    program = Program(page, page.locator("run-code").first)
    program.start(f"import pandas as pd\npd.DataFrame([1]).to_csv('{name}')")
    program.ends("Finished")
    link = program.element.get_by_role("link", name=name)
    kind = link.evaluate("link => fetch(link.href).then(answer => answer.headers.get('content-type'))")
    assert kind == "application/octet-stream"


def test_a_drawing_of_a_program_can_do_nothing_even_to_a_page_without_a_policy(
    page: Page, course: tuple[Site, Server]
) -> None:
    site, server = course
    site.page = COURSE.format(server=server.url)
    page.goto(site.origin)
    program = Program(page, page.locator("run-code").first)
    program.start(HOSTILE_SVG)
    program.ends("Finished")
    picture = program.log.get_by_role("img")
    assert picture.evaluate("async picture => { await picture.decode(); return picture.naturalWidth }") == 90
    assert program.log.locator("svg, script, iframe").count() == 0
    assert picture.get_attribute("src").startswith("data:image/svg+xml,")  # type: ignore[union-attr]  # it has one
    assert program.page.title() == "A course"
