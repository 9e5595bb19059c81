"""The pages of labs: a learner's at /labs, a teacher's at /teach, and /dashboard."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, FilePayload, Locator, Page, Route, expect

from tests.api.test_keys import attempt, made
from tests.browser.conftest import Program, Watch, eventually
from tests.browser.labs_course import HALVE, SOLUTION, TRANSCRIPT, prepare, suite_of
from tests.browser.test_page import violations
from tests.conftest import Serve

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
DARK = {"color_scheme": "dark"}

MUTE = "<!doctype html><title>A player that says nothing</title>"
PLAYER = """<!doctype html><title>A player</title><script>
    const said = (info) => parent.postMessage(JSON.stringify({ event: "infoDelivery", info }), "*");
    addEventListener("message", ({ data }) => {
        const { event, func, args } = JSON.parse(data);
        if (event === "listening") said({ currentTime: Number(new URL(location).searchParams.get("start")) });
        if (func === "seekTo") said({ currentTime: args[0] });
    });
</script>"""
"""What stands for YouTube's player: it tells where it is, and goes where it is told."""


@pytest.fixture(scope="module")
def school(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service with labs, and a course in it; its address."""
    settings = {"labs": True, "data": tmp_path_factory.mktemp("kept"), "pool_size": 2, "preload": ""}
    with serve("native", rate_limit="off", check_rate_limit="off", **settings) as running:
        prepare(running.url)
        yield running.url


class Lab(Program):
    """One lab, through what a learner sees of it."""

    def __init__(self, page: Page, school: str, lab: str = "double") -> None:
        super().__init__(page, page.locator("lab-code"))
        self.submit = self.element.get_by_role("button", name="Submit")
        self.tests = self.element.get_by_role("group", name="What the tests found").locator("> ol > li")
        self.kept = page.locator(".kept-line")
        self.after = page.locator(".after")
        page.goto(f"{school}/labs?course=py&lab={lab}")
        expect(self.editor).to_be_visible()

    def hand_in(self, code: str) -> None:
        self.write(code)
        self.submit.click()
        expect(self.element).not_to_have_attribute("running", "")

    def type(self, text: str) -> None:
        """Type below what is there, as a learner does."""
        self.editor.click()
        self.page.keyboard.press("Control+End")
        self.page.keyboard.insert_text(text)


def with_player(page: Page, watch: Watch, player: str = PLAYER) -> list[str]:
    """Answer for YouTube; returns the addresses that were asked for."""
    asked: list[str] = []
    watch.expected += ["a request to https://www.youtube-nocookie.com"]

    def answer(route: Route) -> None:
        asked.append(route.request.url)
        assert route.request.headers.get("referer", "").startswith("http://127.0.0.1")
        route.fulfill(body=player, content_type="text/html")

    page.context.route("https://www.youtube-nocookie.com/**", answer)
    return asked


def no_scroll(page: Page) -> bool:
    fits: bool = page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    return fits


PLACES = (
    "labs",
    "labs?course=py",
    "labs?course=py&lab=double",
    "teach",
    "teach?course=py",
    "teach?course=py&lab=double",
)


@pytest.mark.parametrize("page", [{}, PHONE | DARK], ids=["light", "a dark phone"], indirect=True)
def test_every_page_is_accessible_and_fits(page: Page, school: str) -> None:
    for place in (*PLACES, "dashboard", "dashboard?course=py"):
        page.goto(f"{school}/{place}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        page.evaluate("document.querySelectorAll('main details').forEach((each) => (each.open = true))")
        assert violations(page) == [], place
        assert no_scroll(page), place


def test_pages_have_policies_and_only_the_labs_may_show_a_video(school: str) -> None:
    policies = {
        name: httpx.get(f"{school}/{name}").headers["content-security-policy"]
        for name in ("", "labs", "teach", "dashboard")
    }
    assert "frame-src https://www.youtube-nocookie.com" in policies["labs"]
    assert all("frame-src" not in policy for name, policy in policies.items() if name != "labs")
    assert all("require-trusted-types-for 'script'" in policy for policy in policies.values())


def test_a_learner_goes_from_the_course_to_a_lab_and_passes_it(page: Page, school: str) -> None:
    page.goto(f"{school}/labs")
    page.get_by_role("link", name="Python for beginners").click()
    page.get_by_role("link", name="Double a number").click()
    lab = Lab(page, school)
    lab.start(SOLUTION + "print(double(21))")
    lab.ends("Finished")
    expect(lab.log).to_have_text("42\n")
    lab.hand_in("def double(x):\n    return x + 2\n")
    expect(lab.tests.first).to_contain_text("Wrong answer")
    expect(lab.after).to_contain_text("The video explains this.")
    lab.hand_in(SOLUTION)
    expect(lab.after).to_contain_text("You passed this lab. Next: Triple a number")
    page.goto(f"{school}/labs?course=py")
    expect(page.get_by_role("listitem").filter(has_text="Double a number")).to_contain_text("Passed")


def test_a_task_is_markdown_and_can_do_nothing(page: Page, school: str) -> None:
    Lab(page, school)
    task = page.locator(".task")
    expect(task.get_by_role("heading", name="Examples", level=3)).to_be_visible()
    expect(task.get_by_role("cell", name="double(2)")).to_be_visible()
    expect(task.get_by_role("link", name="the docs")).to_have_attribute("rel", "noopener noreferrer")
    assert task.locator("script, img[src], a[href^=javascript]").count() == 0
    assert page.evaluate("window.hacked") is None


def test_nothing_is_loaded_from_youtube_before_a_click(page: Page, school: str, watch: Watch) -> None:
    asked = with_player(page, watch)
    lab = Lab(page, school)
    link = page.get_by_role("link", name="Open YouTube at 1:00")
    expect(link).to_have_attribute("href", "https://www.youtube.com/watch?v=dQw4w9WgXcQ&t=60")
    assert asked == []
    with page.expect_response("https://www.youtube-nocookie.com/**"):
        page.get_by_role("button", name="Play from 1:00").click()
    frame = page.locator("iframe")
    expect(frame).to_have_attribute("referrerpolicy", "strict-origin-when-cross-origin")
    assert asked[0].startswith("https://www.youtube-nocookie.com/embed/dQw4w9WgXcQ?enablejsapi=1")
    assert "start=60" in asked[0]
    expect(page.get_by_text("Try it now:")).to_be_hidden()
    lab.hand_in("def double(x):\n    return 0\n")
    page.evaluate("document.querySelector('iframe').dataset.same = 'yes'")
    lab.after.get_by_role("button", name="Watch Numbers, 1:00").click()
    expect(frame).to_have_attribute("data-same", "yes")
    before = clicks(school)
    page.goto("about:blank")  # what happened is told at the latest when the page is left
    eventually(lambda: clicks(school) == before + 1)


def clicks(school: str) -> int:
    """How often learners looked at a place again, as teachers are told."""
    rows = httpx.get(f"{school}/api/labs/v1/teach/courses/py/analytics/segments").json()["rows"]
    return sum(row["clicks"] for row in rows if row["start"] == 60)


def test_a_player_that_says_nothing_is_loaded_again_at_the_second(page: Page, school: str, watch: Watch) -> None:
    asked = with_player(page, watch, MUTE)
    page.goto(f"{school}/labs?course=py")
    for second, chapter in (("60", "1:00 Twice"), ("90", "1:30 Bye")):
        with page.expect_response("https://www.youtube-nocookie.com/**"):
            page.get_by_role("button", name=chapter).click()
        assert f"start={second}&" in asked[-1]
    assert len(asked) == 2


def test_a_video_in_a_file_is_loaded_after_a_click(page: Page, school: str, watch: Watch) -> None:
    watch.expected += ["404"]  # there is no such file
    with httpx.Client(base_url=f"{school}/api/labs/v1/teach/courses", timeout=60) as http:
        http.put("/files", json={"title": "Files", "language": "en"})
        film = {"title": "A film", "url": f"{school}/film.webm", "transcript": TRANSCRIPT}
        assert http.put("/files/videos/film", json=film).is_success
    page.goto(f"{school}/labs?course=files")
    expect(page.get_by_role("link", name="Open its file at 0:00")).to_have_attribute("href", f"{school}/film.webm#t=0")
    assert page.locator("video").count() == 0
    page.get_by_role("button", name="1:00 Twice").click()
    video = page.locator("video")
    expect(video).to_have_attribute("src", f"{school}/film.webm#t=60")
    expect(video.locator("track")).to_have_attribute("kind", "captions")
    cues = """video => {
        const [track] = video.textTracks;
        track.mode = "showing";
        return [...(track.cues ?? [])].map(cue => [cue.startTime, cue.text]);
    }"""
    eventually(lambda: [75, "so twice three is six"] in video.evaluate(cues))
    assert violations(page) == []


def test_while_a_video_plays_its_labs_are_offered(page: Page, school: str, watch: Watch) -> None:
    asked = with_player(page, watch)
    page.goto(f"{school}/labs?course=py")
    page.get_by_role("button", name="1:00 Twice").click()
    offers = page.locator(".try-now")
    expect(offers.get_by_role("link", name="Double a number")).to_be_visible()
    page.get_by_role("button", name="1:30 Bye").click()  # by a message, not by another address
    expect(page.get_by_role("link", name="Open YouTube at 1:30")).to_be_visible()
    expect(offers.get_by_role("link", name="Triple a number")).to_be_visible()
    assert len(asked) == 1


def test_hints_come_one_after_the_other(page: Page, school: str) -> None:
    Lab(page, school, "triple")
    hints = page.get_by_role("region", name="Hints")
    expect(hints).not_to_contain_text("As before.")
    hints.get_by_role("button", name="Show hint 1 of 1").click()
    expect(hints).to_contain_text("As before.")
    page.reload()
    expect(hints).to_contain_text("As before.")
    expect(hints.get_by_role("button")).to_have_count(0)


def test_a_program_is_saved_and_there_after_a_reload(page: Page, school: str, watch: Watch) -> None:
    watch.expected += ["409"]  # it was saved when the page was left, which the next one finds out
    page.clock.install()
    lab = Lab(page, school)
    lab.type("# mine")
    expect(lab.kept).to_have_text("Kept in this browser")
    page.reload()
    expect(lab.editor).to_contain_text("# mine")
    page.clock.fast_forward(10_000)
    expect(lab.kept).to_contain_text("Saved at")
    page.evaluate("localStorage.removeItem(Object.keys(localStorage).find(key => key.startsWith('labs:draft:')))")
    page.reload()
    expect(lab.editor).to_contain_text("# mine")


def test_offline_nothing_is_lost(page: Page, school: str, watch: Watch) -> None:
    watch.expected += ["ERR_INTERNET_DISCONNECTED"]
    page.clock.install()
    lab = Lab(page, school)
    page.context.set_offline(True)
    lab.type("# on a train")
    page.clock.fast_forward(10_000)
    expect(lab.kept).to_contain_text("You are offline. It is kept in this browser.")
    page.context.set_offline(False)
    expect(lab.kept).to_contain_text("Saved at")


@pytest.mark.parametrize("mine", [True, False], ids=["mine", "the other"])
def test_of_two_windows_both_versions_are_kept(page: Page, school: str, watch: Watch, mine: bool) -> None:
    watch.expected += ["409"]
    page.clock.install()
    one = Lab(page, school)
    other_page = page.context.new_page()
    other_page.clock.install()
    two = Lab(other_page, school)
    one.type("# one")
    with page.expect_response(lambda answer: answer.request.method == "PUT"):
        page.clock.fast_forward(10_000)
    two.type("# two")
    other_page.clock.fast_forward(10_000)
    offer = other_page.locator(".conflict")
    expect(offer).to_contain_text("There are two versions")
    assert violations(other_page) == []
    offer.get_by_role("button", name="Keep what is in the editor" if mine else "Take the other version").click()
    expect(two.editor).to_contain_text("# two" if mine else "# one")
    other_page.get_by_text("Other versions", exact=True).click()
    expect(other_page.locator(".versions pre")).to_have_count(1)
    assert ("# one" if mine else "# two") in (other_page.locator(".versions pre").text_content() or "")
    other_page.get_by_role("button", name="Restore the version of").click()
    expect(two.editor).to_contain_text("# one" if mine else "# two")


def test_a_lab_can_be_done_with_the_keyboard(page: Page, school: str) -> None:
    lab = Lab(page, school, "triple")
    lab.editor.focus()
    page.keyboard.press("Control+End")
    page.keyboard.insert_text("print(triple(5))")
    page.keyboard.press("Control+Enter")
    lab.ends("Finished")
    page.keyboard.press("Escape")
    lab.submit.focus()
    page.keyboard.press("Enter")
    expect(lab.tests.first).to_contain_text("Wrong answer")


def test_learners_of_two_browsers_are_two(page: Page, school: str, browser: Browser) -> None:
    lab = Lab(page, school)
    lab.hand_in(SOLUTION)
    expect(lab.after).to_contain_text("You passed this lab.")
    another = browser.new_context()
    try:
        fresh = another.new_page()
        fresh.goto(f"{school}/labs?course=py")
        expect(fresh.get_by_role("listitem").filter(has_text="Double a number")).to_contain_text("Not begun")
    finally:
        another.close()


@pytest.fixture(scope="module")
def guarded(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, str]]:
    """A service that needs a key, with an empty course; its address, a key, and a learner's token."""
    data = tmp_path_factory.mktemp("guarded")
    key = made(data, "course", "--scope", "run,check,labs,teach")
    token = attempt(data, "token", "course", "--learner", "ada", "--scope", "run,check,labs").stdout.strip()
    with serve("native", rate_limit="off", labs=True, pool_size=1, preload="", data=data) as running:
        address = f"{running.url}/api/labs/v1/teach/courses/py"
        made_course = httpx.put(
            address, json={"title": "Python", "language": "en"}, headers={"Authorization": f"Bearer {key}"}, timeout=60
        )
        assert made_course.is_success, made_course.text
        yield running.url, key, token


def test_a_page_takes_its_token_from_the_address_or_from_a_form(
    page: Page, guarded: tuple[str, str, str], watch: Watch
) -> None:
    watch.expected += ["401", "403"]
    url, key, token = guarded
    page.goto(f"{url}/labs?course=py#token={token}")
    expect(page.get_by_role("heading", name="Python", level=1)).to_be_visible()
    assert page.url == f"{url}/labs?course=py"
    page.goto(f"{url}/teach")
    expect(page.get_by_role("alert")).to_be_visible()  # a learner is no teacher
    assert violations(page) == []
    page.get_by_label("Key or token").fill(key)
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("link", name="Python", exact=True)).to_be_visible()


def test_what_is_not_there_is_said(page: Page, school: str, watch: Watch) -> None:
    watch.expected += ["404"]
    page.goto(f"{school}/labs?course=none")
    expect(page.get_by_role("heading", name="Not found")).to_be_visible()


# teachers


def panel(page: Page, name: str) -> Locator:
    found = page.locator("details.panel").filter(has=page.get_by_text(name, exact=True))
    found.locator("> summary").click()
    return found


def test_a_teacher_makes_a_course_and_adds_a_video(page: Page, school: str) -> None:
    page.goto(f"{school}/teach")
    page.get_by_label("Title").fill("Another course")
    page.get_by_label("Id").fill("another")
    page.get_by_role("button", name="Make the course").click()
    expect(page.get_by_role("heading", name="Another course", level=1)).to_be_visible()
    form = panel(page, "Add a video")
    file: FilePayload = {"name": "Week 2.txt", "mimeType": "text/plain", "buffer": TRANSCRIPT.encode()}
    form.get_by_label("Transcript: a file").set_input_files(file)
    expect(form.get_by_label("or pasted")).to_have_value(TRANSCRIPT)
    expect(form.get_by_label("Id", exact=False).first).to_have_value("week-2")
    form.get_by_label("YouTube, or address").fill("https://youtu.be/dQw4w9WgXcQ")
    form.get_by_role("button", name="Save the video").click()
    expect(form).to_contain_text("3 chapters")
    page.reload()
    expect(page.get_by_role("link", name="Week 2")).to_have_attribute(
        "href", "https://www.youtube.com/watch?v=dQw4w9WgXcQ&t=0"
    )


def test_a_teacher_matches_labs_with_the_videos(page: Page, school: str) -> None:
    page.goto(f"{school}/teach?course=py")
    matching = panel(page, "Match labs with the videos")
    matching.get_by_role("button", name="Match all labs").click()
    double = matching.get_by_role("region", name="Double a number")
    expect(double).to_contain_text("Words:")
    expect(double.locator(".badge").first).to_be_visible()


def test_labs_are_generated_read_verified_and_published(page: Page, school: str) -> None:
    page.goto(f"{school}/teach?course=py")
    generator = panel(page, "Generate labs")
    generator.get_by_label("or pasted").fill(HALVE)
    generator.get_by_role("button", name="Generate from the code").click()
    expect(generator.locator(".said")).to_contain_text("made, as drafts")
    generator.get_by_role("list", name="Progress").get_by_role("link").first.click()
    expect(page.get_by_role("button", name="Publish")).to_be_visible()


def test_a_lab_is_edited_and_shows_what_was_found(page: Page, school: str, watch: Watch) -> None:
    watch.expected += ["409"]
    page.goto(f"{school}/teach?course=py&lab=new")
    page.get_by_label("Title").fill("Quadruple")
    page.get_by_label("Id").fill("quadruple")
    task = page.get_by_label("Task, in Markdown")
    task.fill("Write `quadruple(x)`, which returns *four* times `x`.")
    expect(page.get_by_role("region", name="The task as learners read it").locator("em")).to_have_text("four")
    page.get_by_label("Starter").fill("def quadruple(x):\n    return x\n")
    page.get_by_label("Solution").fill("def quadruple(x):\n    return 5 * x\n")
    page.get_by_label("Tests, as JSON").fill(json.dumps({"tests": suite_of(4, "quadruple")}))
    said = page.locator("main > .said")
    page.get_by_role("button", name="Save").click()
    expect(said).to_contain_text("Saved as version 1.")
    page.get_by_role("button", name="Publish").click()
    expect(said).to_contain_text("Verify it first.")
    page.get_by_role("button", name="Verify").click()
    found = page.get_by_role("region", name="What the verification found")
    expect(found.get_by_role("heading", name="Not verified")).to_be_visible()
    expect(found.get_by_role("listitem").filter(has_text="solution-fails").first).to_be_visible()
    assert violations(page) == []


def test_the_dashboard_shows_who_needs_help_and_why(page: Page, school: str) -> None:
    page.goto(f"{school}/dashboard?course=py")
    attention = page.get_by_role("region", name="Who needs you now", exact=True)
    expect(attention).to_contain_text("NameError 4 times in a row")
    pace = page.get_by_role("region", name="Pace", exact=True)
    chart = pace.locator("canvas")
    assert chart.evaluate(
        "it => it.getContext('2d').getImageData(0, 0, it.width, it.height).data.some(each => each > 0)"
    )
    pace.get_by_text("As a table").click()
    expect(pace.get_by_role("columnheader", name="Labs passed")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Labs, as CSV").click()
    assert download.value.suggested_filename == "py-labs.csv"
