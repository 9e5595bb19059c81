"""`<run-code suite="…">` shows a learner the tests of a stored suite, as far as a learner may see them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.api.test_keys import attempt, made
from tests.browser.conftest import Program, Watch
from tests.browser.test_page import violations
from tests.conftest import Serve, Server
from tests.unit.grading.made import call, io

SUITES: dict[str, dict[str, Any]] = {
    "doubles": {
        "tests": [
            io("42\n", stdin="21\n", name="the answer"),
            io("planted-answer", stdin="3\n", visibility="input", name="in secret", hint="Read the task again."),
            io("8\n", stdin="4\n", visibility="result"),
            io("10\n", stdin="5\n", visibility="hidden", name="planted-hidden", weight=2),
        ]
    },
    "groups": {
        "tests": [
            io("a  b\tc\n", name="spaces", group="easy", hint="Count the spaces."),
            call("half", args=[3], expected=1.5, group="hard", name="half of three"),
            io("a", group="bonus", visibility="hidden"),
        ],
        "groups": [{"id": "easy", "points": 2}, {"id": "hard", "points": 5, "dependsOn": ["easy"]}],
        "scoring": {"mode": "groups", "max": 8},
    },
    "units": {
        "tests": [
            {
                "kind": "unittest",
                "name": "both halves",
                "files": [
                    {
                        "path": "test_half.py",
                        "content": "import unittest\nfrom solution import half\n\nclass Halves(unittest.TestCase):\n"
                        "    def test_even(self):\n        self.assertEqual(half(4), 2)\n"
                        "    def test_odd(self):\n        self.assertEqual(half(3), 1.5)\n",
                    }
                ],
            }
        ]
    },
    "secret": {"tests": [io("1\n", visibility="hidden"), io("2\n", visibility="hidden")]},
    "slow": {"tests": [io("1\n", stdin="0"), io("1\n", stdin="60")], "timeout": 25},
}

DOUBLE = "print(int(input()) * 2)"
PHONE = {"viewport": {"width": 360, "height": 700}, "has_touch": True, "is_mobile": True}


class School:
    """A server that needs a key and keeps suites, and the tokens of its learners."""

    def __init__(self, server: Server, data: Path) -> None:
        self.server = server
        self._data = data
        self._usual = ""

    @property
    def usual(self) -> str:
        """The token of most tests: a learner's, who may do what the page offers."""
        self._usual = self._usual or self.token()
        return self._usual

    def token(self, *, key: str = "course", scope: str = "run,check,grade") -> str:
        return attempt(self._data, "token", key, "--learner", "ada", "--scope", scope).stdout.strip()


@pytest.fixture(scope="module")
def school(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[School]:
    data = tmp_path_factory.mktemp("kept")
    key = made(data, "course", "--scope", "run,check,grade,suites")
    made(data, "few", "--scope", "run,check,grade,suites", "--rate", "1/minute")
    with serve("native", rate_limit="off", check_rate_limit="off", pool_size=2, preload="", data=data) as running:
        for name, suite in SUITES.items():
            stored = httpx.put(
                f"{running.url}/api/suites/{name}", json=suite, headers={"Authorization": f"Bearer {key}"}, timeout=60
            )
            assert stored.status_code == 201, stored.text
        yield School(running, data)


class Exercise(Program):
    """A program with a suite, through what a learner sees of it."""

    def __init__(self, page: Page, school: School, suite: str, token: str | None = None) -> None:
        super().__init__(page)
        page.goto(school.server.url)
        expect(self.editor).to_be_visible()
        for name, value in (("token", token or school.usual), ("suite", suite)):
            self.element.evaluate("(element, [name, value]) => element.setAttribute(name, value)", [name, value])
        self.check = self.element.get_by_role("button", name="Check my work")
        self.report = self.element.get_by_role("group", name="What the tests found")
        self.tests = self.report.locator("> ol > li")
        self.groups = self.report.get_by_role("list", name="Groups of tests").get_by_role("listitem")

    def submit(self, code: str) -> None:
        self.write(code)
        self.check.click()


def shown(test: Locator) -> list[str]:
    """The verdict, the name and the points on the line of a test."""
    return [test.locator(part).first.inner_text() for part in (".verdict", ".test-name", ".points")]


def test_tests_are_shown_as_far_as_a_learner_may_see_them(page: Page, school: School) -> None:
    exercise = Exercise(page, school, "doubles")
    exercise.submit(DOUBLE)
    exercise.ends("2 of 3 tests passed: 4 of 5 points")
    expect(exercise.tests).to_have_count(3)
    assert [shown(test) for test in exercise.tests.all()] == [
        ["Passed", "the answer", "1 of 1 point"],
        ["Wrong answer", "in secret", "0 of 1 point"],
        ["Passed", "Test 3", "1 of 1 point"],
    ]
    wrong = exercise.tests.nth(1)
    expect(wrong).to_contain_text("Line 1 is not right.")
    expect(wrong).to_contain_text("Hint: Read the task again.")
    expect(wrong.locator(".block")).to_have_text(["Input3\n", "Output of your program6\n"])
    assert exercise.tests.nth(2).locator("summary").count() == 0, "there is nothing to see of it"
    assert "planted" not in exercise.element.evaluate("element => element.shadowRoot.innerHTML")
    assert "planted" not in str(exercise.element.evaluate("element => element.graded"))


def test_the_first_difference_shows_with_its_white_space(page: Page, school: School) -> None:
    exercise = Exercise(page, school, "groups")
    exercise.submit("print('a b c')")
    exercise.ends("0 of 2 tests passed: 0 of 8 points")
    spaces, half = exercise.tests.all()
    assert shown(spaces) == ["Wrong answer", "spaces", "0 of 1 point"]
    expect(spaces).to_contain_text("The first difference on line 1:")
    expected, got = spaces.locator(".compared > *").all()
    marks = "pre => [...pre.querySelectorAll('.mark')].map(mark => mark.dataset.mark).join('')"
    assert expected.locator("pre").evaluate(marks) == "··→"
    assert got.locator("pre").evaluate(marks) == "··"
    expect(expected.locator(".spoken")).to_have_text("a(2 spaces)b (tab) c")
    expect(got.locator(".spoken")).to_have_text("a b c")
    expect(spaces.locator(".legend")).to_have_text("Marks: · space, → tab, ↵ end of the line")
    left, right = expected.bounding_box(), got.bounding_box()
    assert left
    assert right
    assert (left["y"], left["x"] < right["x"]) == (right["y"], True), "they are side by side"
    assert shown(half) == ["Skipped", "half of three", "0 of 1 point"]
    assert [shown(group) for group in exercise.groups.all()] == [
        ["Not passed", "easy", "0 of 2 points"],
        ["Not passed", "hard", "0 of 5 points"],
        ["Not passed", "bonus", "0 of 1 point"],
    ]


def test_values_of_calls_are_shown(page: Page, school: School) -> None:
    exercise = Exercise(page, school, "groups")
    exercise.submit("def half(x):\n    return x // 2\nprint('a  b\\tc')")
    exercise.ends("1 of 2 tests passed: 2 of 8 points")
    half = exercise.tests.nth(1)
    expect(half.locator("pre").first).to_have_text("1.5")
    expect(half.locator("pre").nth(1)).to_have_text("1")
    expect(half.locator(".block").first).to_have_text("Callhalf(3)")


def test_unit_tests_are_shown(page: Page, school: School) -> None:
    exercise = Exercise(page, school, "units")
    exercise.submit("def half(x):\n    return x // 2")
    exercise.ends("0 of 1 tests passed: 0.5 of 1 point")
    cases = exercise.tests.first.get_by_role("list", name="Unit tests").get_by_role("listitem")
    expect(cases).to_have_count(2)
    even, odd = cases.all()
    expect(even).to_contain_text("Passed")
    expect(even).to_contain_text("test_even")
    expect(odd).to_contain_text("Wrong answer")
    expect(odd.locator("pre")).to_contain_text("1 != 1.5")
    assert violations(page) == []


def test_all_that_is_passed_is_said_once(page: Page, school: School) -> None:
    exercise = Exercise(page, school, "doubles")
    exercise.element.evaluate(
        """element => {
            const status = element.shadowRoot.querySelector('.foot [role=status]');
            window.said = [];
            new MutationObserver(() => window.said.push(status.textContent)).observe(status, { childList: true });
        }"""
    )
    exercise.submit("n = int(input())\nprint('planted-answer' if n == 3 else 2 * n)")
    exercise.ends("All tests passed: 5 of 5 points")
    assert page.evaluate("window.said") == ["Checking your work", "All tests passed: 5 of 5 points"]
    assert exercise.report.get_by_role("status").count() == 0


def test_of_a_suite_that_is_hidden_only_the_score_is_said(page: Page, school: School) -> None:
    exercise = Exercise(page, school, "secret")
    exercise.submit("print(1)")
    exercise.ends("Not all tests passed: 1 of 2 points")
    expect(exercise.tests).to_have_count(0)
    expect(exercise.report.locator(".note")).to_have_text("The tests of this task are not shown.")
    expect(exercise.groups).to_have_count(0)


def test_a_program_that_is_refused_is_not_tested(page: Page, school: School) -> None:
    exercise = Exercise(page, school, "doubles")
    exercise.submit("import os")
    exercise.ends("Not tested: 0 of 5 points")
    expect(exercise.tests).to_have_count(0)
    expect(exercise.element.locator(".failed-line").first).to_be_visible()
    expect(exercise.element.locator(".hint")).to_contain_text("Line 1: ")


def test_tests_stay_beside_the_output_of_the_next_run(page: Page, school: School) -> None:
    exercise = Exercise(page, school, "doubles")
    exercise.submit(DOUBLE)
    exercise.ends("2 of 3 tests passed: 4 of 5 points")
    note = exercise.report.locator(".note")
    expect(note).to_be_hidden()
    exercise.write("print('seen')")
    expect(note).to_have_text("2 of 3 tests passed: 4 of 5 points. The program was changed since then.")
    exercise.run.click()
    exercise.ends("Finished")
    expect(exercise.log).to_have_text("seen\n")
    expect(exercise.tests).to_have_count(3)
    exercise.start(DOUBLE)
    exercise.answer("1")
    exercise.ends("Finished")
    expect(note).to_have_text("2 of 3 tests passed: 4 of 5 points.")  # that program is back
    exercise.element.evaluate("element => element.clear()")
    expect(exercise.report).to_be_hidden()


def test_a_run_and_a_grade_do_not_go_at_once(page: Page, school: School) -> None:
    exercise = Exercise(page, school, "slow")
    exercise.start("print(input())")
    expect(exercise.prompt).to_be_visible()
    expect(exercise.check).to_have_attribute("aria-disabled", "true")
    assert exercise.element.evaluate("element => element.grade()") is None
    exercise.answer("1")
    exercise.ends("Finished")
    exercise.submit("import time\ntime.sleep(float(input()))\nprint(1)")
    expect(exercise.tests).to_have_count(1)  # the first shows before the second is over
    expect(exercise.run).to_have_attribute("aria-disabled", "true")
    assert exercise.element.evaluate("element => element.run()") is None
    exercise.stop.click()
    exercise.ends("Stopped")
    expect(exercise.check).to_be_focused()
    expect(exercise.tests).to_have_count(1)
    exercise.start("print(6 * 7)")
    exercise.ends("Finished")


def test_a_page_hears_of_it(page: Page, school: School) -> None:
    exercise = Exercise(page, school, "doubles")
    page.evaluate(
        """() => {
            window.heard = [];
            for (const name of ['grade-start', 'grade-test', 'grade-result', 'grade-problem'])
                document.addEventListener(name, event => window.heard.push([name, event.detail]));
        }"""
    )
    exercise.write(DOUBLE)
    grade = exercise.element.evaluate("element => element.grade()")
    assert (grade["verdict"], grade["score"], len(grade["tests"])) == ("partial", 4, 3)
    heard = page.evaluate("window.heard")
    assert [name for name, _ in heard] == ["grade-start", *["grade-test"] * 3, "grade-result"]
    assert heard[0][1] == {"code": DOUBLE}
    assert [detail for _, detail in heard[1:4]] == grade["tests"]
    assert heard[4][1] == exercise.element.evaluate("element => element.graded") == grade


# ---- where there is no grade


def test_a_suite_that_is_not_there_is_said(page: Page, school: School, watch: Watch) -> None:
    watch.expected.append("404")
    exercise = Exercise(page, school, "none")
    exercise.submit(DOUBLE)
    exercise.ends("Not Found")
    expect(exercise.report).to_contain_text("none")


def test_a_token_that_may_not_is_said(page: Page, school: School, watch: Watch) -> None:
    watch.expected.append("403")
    exercise = Exercise(page, school, "doubles", school.token(scope="run,check"))
    exercise.submit(DOUBLE)
    exercise.ends("Forbidden")
    expect(exercise.report).to_contain_text("scope grade")


def test_too_many_grades_are_said(page: Page, school: School, watch: Watch) -> None:
    watch.expected += ["404", "429"]
    exercise = Exercise(page, school, "doubles", school.token(key="few"))
    exercise.submit(DOUBLE)
    exercise.ends("Not Found")  # the suites are another key's; it counts all the same
    expect(exercise.check).to_have_attribute("aria-disabled", "true")
    expect(exercise.foot).to_contain_text("No runs left")


def test_a_service_that_cannot_is_said(page: Page, school: School, watch: Watch) -> None:
    watch.expected.append("503")
    exercise = Exercise(page, school, "doubles")
    problem = {"title": "Service Unavailable", "status": 503, "detail": "Too many wait."}
    page.route("**/api/grade", lambda route: route.fulfill(status=503, json=problem))
    exercise.submit(DOUBLE)
    exercise.ends("Service Unavailable")
    expect(exercise.report.locator(".refusal")).to_have_text("Too many wait.")


def test_no_connection_is_said(page: Page, school: School, watch: Watch) -> None:
    watch.expected.append("ERR_INTERNET_DISCONNECTED")
    exercise = Exercise(page, school, "doubles")
    exercise.write(DOUBLE)
    page.context.set_offline(True)
    exercise.check.click()
    exercise.ends("No connection")
    expect(exercise.report).to_contain_text("could not be reached")
    page.context.set_offline(False)
    exercise.check.click()
    exercise.ends("2 of 3 tests passed: 4 of 5 points")


def test_without_a_suite_there_is_no_button(page: Page, school: School) -> None:
    exercise = Exercise(page, school, " ")
    expect(exercise.check).to_be_hidden()
    assert exercise.element.evaluate("element => element.grade()") is None
    exercise.element.evaluate("element => element.setAttribute('suite', 'doubles')")
    expect(exercise.check).to_be_visible()


# ---- for everybody


@pytest.mark.parametrize("page", [{"color_scheme": "light"}, {"color_scheme": "dark"}], indirect=True)
def test_tests_are_accessible(page: Page, school: School) -> None:
    exercise = Exercise(page, school, "groups")
    assert violations(page) == []
    exercise.submit("def half(x):\n    return x // 2\nprint('a b c')")
    exercise.ends("0 of 2 tests passed: 0 of 8 points")
    assert violations(page) == []
    exercise.start("print('beside it')")
    exercise.ends("Finished")
    for summary in exercise.report.locator("summary").all():
        if not summary.evaluate("summary => summary.parentElement.open"):
            summary.click()
    assert violations(page) == []


def test_the_keyboard_is_enough_for_tests(page: Page, school: School) -> None:
    exercise = Exercise(page, school, "doubles")
    exercise.write(DOUBLE)
    exercise.run.focus()
    page.keyboard.press("Shift+Tab")
    expect(exercise.check).to_be_focused()
    page.keyboard.press("Enter")
    exercise.ends("2 of 3 tests passed: 4 of 5 points")
    expect(exercise.check).to_be_focused()
    exercise.report.focus()
    page.keyboard.press("Tab")
    first = exercise.tests.first.locator("summary")
    expect(first).to_be_focused()
    page.keyboard.press("Enter")
    expect(exercise.tests.first.locator(".block")).to_have_text(["Input21\n", "Output of your program42\n"])


@pytest.mark.parametrize("page", [PHONE, {**PHONE, "color_scheme": "dark"}], indirect=True)
def test_tests_fit_on_a_phone(page: Page, school: School) -> None:
    exercise = Exercise(page, school, "groups")
    exercise.write(f"print('a b {'c' * 300}')")
    exercise.check.tap()
    exercise.ends("0 of 2 tests passed: 0 of 8 points")
    widths = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert widths[0] <= widths[1]
    for part in (exercise.report, exercise.element.locator(".bar")):
        assert part.evaluate("part => part.scrollWidth <= part.clientWidth")
    assert violations(page) == []
