"""Run, and everything a program does meanwhile, on the page at /."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.conftest import Program, Watch
from tests.conftest import Serve, Server

STYLED_BY_CHROMIUM = "Applying inline style violates"
"""What Chromium complains of when it keeps the style of a text that is typed over, which the policy forbids it."""


def test_what_is_typed_is_run(program: Program, watch: Watch) -> None:
    watch.expected.append(STYLED_BY_CHROMIUM)
    program.editor.click()
    program.page.keyboard.press("Control+a")
    program.page.keyboard.type("for n in range(3):\nprint(n * 14)")  # the editor indents the second line
    program.run.click()
    program.ends("Finished")
    expect(program.log).to_have_text("0\n14\n28\n")
    expect(program.foot).to_contain_text(" ms · ")
    expect(program.foot).to_contain_text(" MB")


def test_output_shows_before_the_program_ends(program: Program) -> None:
    program.start("print('first')\ninput()\nprint('last')")
    expect(program.log).to_have_text("first\n")
    expect(program.element).to_have_attribute("running", "")
    program.answer("")
    program.ends("Finished")
    expect(program.log).to_have_text("first\n\nlast\n")


def test_stdout_and_stderr_are_kept_apart(program: Program) -> None:
    program.start("import sys\nprint('to one')\nprint('to the other', file=sys.stderr)\nprint('back')")
    program.ends("Finished")
    streams = {name: "".join(program.log.locator(f".{name}").all_text_contents()) for name in ("stdout", "stderr")}
    assert streams == {"stdout": "to one\nback\n", "stderr": "to the other\n"}


def test_stop_interrupts_as_ctrl_c_does(program: Program) -> None:
    program.start(
        # a loop in a function: CPython 3.11 lets an interrupt of a bare `while True` go past its own `try`
        "def work():\n    print('begun')\n    while True: sum(range(100))\n"
        "try:\n    work()\nexcept KeyboardInterrupt:\n    print('asked to stop')\n    raise"
    )
    expect(program.log).to_have_text("begun\n")
    program.stop.click()
    expect(program.element).not_to_have_attribute("running", "")
    expect(program.log).to_contain_text("asked to stop")
    expect(program.log).to_contain_text("KeyboardInterrupt")
    expect(program.stop).to_be_hidden()


def test_stop_ends_a_program_that_will_not_be_interrupted(program: Program) -> None:
    program.start(
        "def work():\n    print('begun')\n    while True: sum(range(100))\n"
        "while True:\n    try: work()\n    except KeyboardInterrupt: print('no')"
    )
    expect(program.log).to_have_text("begun\n")
    program.stop.click()
    expect(program.log).to_contain_text("no\n")
    program.ends("Stopped")


def test_input_is_asked_for_and_given(program: Program) -> None:
    program.start("name = input('Your name? ')\nprint('Hello,', name)\nprint(int(input('Age? ')) + 1)")
    expect(program.prompt).to_be_focused()
    expect(program.element.get_by_role("textbox", name="Your name?")).to_be_visible()
    program.page.keyboard.type("Ada\n")
    expect(program.log).to_contain_text("Hello, Ada\nAge? ")
    program.page.keyboard.type("36\n")
    program.ends("Finished")
    expect(program.log).to_have_text("Your name? Ada\nHello, Ada\nAge? 36\n37\n")
    expect(program.prompt).to_be_hidden()


def test_input_ends_with_ctrl_d_and_many_lines_can_be_pasted(program: Program) -> None:
    program.start("import sys\nprint(sum(int(line) for line in sys.stdin))")
    expect(program.prompt).to_be_focused()
    program.prompt.evaluate(
        """field => {
            const clipboardData = new DataTransfer();
            clipboardData.setData("text", "1\\n2\\n3");
            field.dispatchEvent(new ClipboardEvent("paste", { clipboardData, cancelable: true }));
        }"""
    )
    expect(program.log).to_have_text("1\n2\n")
    program.prompt.press("Enter")
    program.prompt.press("Control+d")
    program.ends("Finished")
    expect(program.log).to_have_text("1\n2\n3\n6\n")


def test_who_writes_on_while_a_program_runs_is_not_torn_away(program: Program) -> None:
    program.start("input()\ninput()")
    expect(program.prompt).to_be_focused()
    program.editor.focus()
    program.page.keyboard.type("# more ")
    program.prompt.evaluate("field => field.form.requestSubmit()")
    expect(program.status).to_have_text("Waiting for input")
    expect(program.editor).to_be_focused()


def test_pictures_show_as_they_are_made(program: Program) -> None:
    program.start(
        "import matplotlib.pyplot as plt\n"
        "plt.plot([1, 4, 9])\nplt.show()\ninput('more? ')\nplt.plot([9, 4, 1])\nplt.show()"
    )
    first = program.log.get_by_role("img", name="Picture 1 that the program drew")
    expect(first).to_be_visible()
    expect(program.element).to_have_attribute("running", "")
    program.answer("")
    program.ends("Finished")
    second = program.log.get_by_role("img", name="Picture 2 that the program drew")
    for picture in (first, second):
        assert picture.evaluate("async picture => { await picture.decode(); return picture.naturalWidth }") > 100


SHOWS_EVERY_KIND = """
class Of:
    def __init__(self, kind, value):
        setattr(self, f"_repr_{kind}_", lambda: value)
display(Of("svg", '<svg width="120" height="60"><rect width="120" height="60" fill="red"/></svg>'))
display(Of("markdown", "**bold** <b>x</b>"), Of("latex", "$x^2$"), Of("json", {"a": [1]}))
from PIL import Image
Image.new("RGB", (120, 60), "red")
"""


def test_every_kind_of_object_shows(program: Program) -> None:
    program.start(SHOWS_EVERY_KIND)
    program.ends("Finished")
    for number in (1, 2):
        picture = program.log.get_by_role("img", name=f"Picture {number} that the program drew")
        assert picture.evaluate("async picture => { await picture.decode(); return picture.naturalWidth }") == 120
    for kind, text in (("Markdown", "**bold** <b>x</b>"), ("LaTeX", "$x^2$"), ("JSON", '{"a": [1]}')):
        expect(program.log.get_by_role("group", name=kind)).to_have_text(text)


def test_a_figure_as_the_last_value_is_a_picture(program: Program) -> None:
    program.start(
        "import matplotlib\nmatplotlib.use('svg')\nimport matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nfig"
    )
    program.ends("Finished")
    expect(program.log.get_by_role("img")).to_have_count(1)
    expect(program.log).to_have_text("")


def test_a_table_on_the_last_line_is_shown_as_one(program: Program) -> None:
    for _ in range(2):
        program.start("import pandas as pd\npd.DataFrame({'n': [1, 2], 'square': [1, 4]})")
        program.ends("Finished")
    table = program.log.get_by_role("table")
    expect(table.get_by_role("columnheader")).to_have_text(["n", "square"])
    expect(table.get_by_role("cell")).to_have_text(["", "1", "1", "2", "4"])


def test_files_go_in_and_come_out(program: Program) -> None:
    program.write("import pandas as pd\npd.read_csv('in.csv').T.to_csv('sub.csv')\n")
    program.element.evaluate("element => { element.files = [{ path: 'in.csv', content: 'a,b\\n1,2\\n' }] }")
    program.run.click()
    program.ends("Finished")
    with program.page.expect_download() as download:
        program.element.get_by_role("link", name="sub.csv").click()
    assert download.value.suggested_filename == "sub.csv"
    with open(download.value.path(), encoding="utf-8") as file:
        assert file.read().splitlines() == [",0", "a,1", "b,2"]


def test_an_error_marks_its_line(program: Program) -> None:
    program.start("def half(n):\n    return n / 0\n\nhalf(3)")
    program.ends("Error on line 2")
    expect(program.element.locator(".cm-line.failed-line")).to_have_text("    return n / 0")
    expect(program.element.locator(".cm-gutterElement.failed-line")).to_have_text("2")
    expect(program.log.locator(".stderr")).to_contain_text("ZeroDivisionError")
    program.element.get_by_role("button", name="line 2").click()
    expect(program.editor).to_be_focused()
    program.page.keyboard.type("#")
    expect(program.element.locator(".failed-line")).to_have_count(0)
    assert "\n#    return n / 0\n" in program.editor.evaluate("_ => document.querySelector('run-code').code")


def test_what_is_not_allowed_is_underlined_while_it_is_typed(program: Program, watch: Watch) -> None:
    watch.expected.append(STYLED_BY_CHROMIUM)
    program.write("x = 1\n")
    program.editor.focus()
    program.page.keyboard.press("Control+End")
    program.page.keyboard.type("y = eval('x')")
    expect(program.element.locator(".cm-lintRange-error")).to_have_text("eval")
    expect(program.element.locator(".hint")).to_contain_text("Line 2: ")
    expect(program.element.locator(".hint")).to_contain_text("eval")
    program.page.keyboard.press("Control+a")
    program.page.keyboard.type("print(1)")
    expect(program.element.locator(".cm-lintRange-error")).to_have_count(0)
    expect(program.element.locator(".hint")).to_be_hidden()


def test_a_refused_program_says_where_and_why(program: Program) -> None:
    program.start("import os\nprint(eval('1'))")
    program.ends("Not allowed on line 1")
    expect(program.element.locator(".cm-lintRange-error")).to_have_text(["os", "eval"])
    expect(program.log.locator(".refusal")).to_contain_text("`import os` is not allowed")


def test_a_syntax_error_says_where(program: Program) -> None:
    program.start("a = 1\nprint(a")
    program.ends("Syntax error on line 2")
    expect(program.log).to_contain_text("was never closed")


def test_a_program_that_takes_too_long_is_stopped(program: Program) -> None:
    program.element.evaluate("element => element.setAttribute('timeout', '1')")
    program.start("print('on and on')\nwhile True: pass")
    program.ends("Time is up")
    expect(program.log).to_have_text("on and on\nExecution exceeded 1 second timeout\n")


def test_a_flood_of_output_is_shown_up_to_its_limit(program: Program) -> None:
    program.start("while True: print('0123456789' * 10)")
    program.ends("Too much output")
    length = program.log.evaluate("log => log.querySelector('.stdout').parentNode.textContent.length")
    assert length > 1_000_000


def test_a_carriage_return_overwrites_the_line(program: Program) -> None:
    program.start("for n in range(4): print('\\rstep', n, end='', flush=True)\nprint('\\x1b[1m!\\x1b[0m')")
    program.ends("Finished")
    expect(program.log).to_have_text("step 3!\n")


def test_without_a_websocket_the_output_still_streams(program: Program) -> None:
    program.element.evaluate("element => element.setAttribute('transport', 'sse')")
    program.start("print('first', flush=True)\nwhile True: pass")
    expect(program.log).to_have_text("first\n")
    program.stop.click()
    program.ends("Stopped")
    program.start("print('Hello', input())")
    program.ends("Error on line 1")
    expect(program.log).to_contain_text("Write it into the box")
    program.element.get_by_label("Input for the program").first.fill("Ada\n")
    program.run.click()
    program.ends("Finished")
    expect(program.log).to_have_text("Hello Ada\n")


def test_pages_hear_of_everything(program: Program) -> None:
    program.element.evaluate(
        """element => {
            window.heard = [];
            for (const name of ["run-start", "run-output", "run-waiting", "run-display", "run-file", "run-result"])
                document.addEventListener(name, (event) => heard.push([name, event.detail]));
        }"""
    )
    program.write("input('? ')\nimport pandas as pd\nd = pd.DataFrame({'n': [1]})\nd.to_csv('n.csv')\nd")
    ended = "element => { window.ended = element.run(); }"
    program.element.evaluate(ended)
    program.answer("")
    result = program.page.evaluate("async () => await ended")
    assert (result["status"], result["output"]) == ("success", "? ")
    heard = program.page.evaluate("heard")
    names = [name for name, _ in heard]
    assert names == ["run-start", "run-output", "run-waiting", "run-display", "run-file", "run-result"]
    assert heard[1][1] == {"stream": "stdout", "data": "? "}
    assert heard[-1][1]["reason"] == "completed"


def test_the_rate_limit_is_counted_down(page: Page, serve: Serve) -> None:
    with serve("native", rate_limit="2/minute", pool_size=1, preload="") as limited:
        page.goto(limited.url)
        program = Program(page)
        program.start("print(1)")
        program.ends("Finished")
        expect(program.foot).to_contain_text("1 of 2 runs left this minute")
        program.run.click()
        expect(program.foot).to_contain_text("No runs left this minute, again in")
        program.ends("Finished")
        expect(program.run).to_have_attribute("aria-disabled", "true")
        # another tab of the same person does not know yet, and is told
        page.reload()
        program.start("print(1)")
        program.ends("Too many runs")
        expect(program.log).to_contain_text("Rate limit exceeded: 2 runs in 60 seconds")
        expect(program.foot).to_contain_text("again in")


def test_a_server_that_is_gone_is_said_to_be(page: Page, serve: Serve, watch: Watch) -> None:
    watch.expected += ["ERR_CONNECTION_REFUSED"]
    with serve("native", rate_limit="off", pool_size=1, preload="") as server:
        page.goto(server.url)
        program = Program(page)
        expect(program.run).to_be_visible()
    program.run.click()
    program.ends("No connection")
    expect(program.log).to_contain_text("could not be reached")


def test_every_example_does_what_it_shows(program: Program) -> None:
    for example, status in (
        ("Text", "Finished"),
        ("Plots", "Finished"),
        ("Tables", "Finished"),
        ("Files", "Finished"),
        ("Errors", "Error on line 2"),
        ("Not allowed", "Not allowed on line 1"),
        ("Too slow", "Time is up"),
    ):
        program.page.get_by_role("link", name=example).click()
        expect(program.page.get_by_role("heading", level=1)).to_have_text(example)
        program.run.click()
        program.ends(status)


def test_the_input_example_talks(program: Program, site: Server) -> None:
    program.page.goto(f"{site.url}/#input")
    program.run.click()
    program.answer("Ada")
    expect(program.log).to_contain_text("Hello, Ada")
    program.answer("")
    program.ends("Finished")
