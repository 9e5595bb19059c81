"""The learning loop's routes: which scope each needs, what counts as a run, and how they come to the service."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from typing import Any

import pytest

from code_executor.accounts.keys import Scope
from code_executor.api.mounts import GROUP, Given
from code_executor.api.scopes import needed
from code_executor.app.mounts import mounts
from code_executor.app.settings import Settings
from code_executor.core.errors import ConfigurationError
from code_executor.core.limits import Limits, RequestLimits
from code_executor.core.models import Reason
from code_executor.grading.outcomes import Outcome, Verdict
from code_executor.service.ports import Service
from code_labs.api.mount import mount
from code_labs.api.reports import written
from code_labs.api.submit import error_of
from code_labs.api.videos import youtube_of
from tests.unit.grading.made import io, suite


class Nothing:
    limits = Limits()

    def __getattr__(self, name: str) -> Any:
        return None


async def _none() -> None:
    """There is no database."""


def mounted() -> Any:
    nothing: Any = Nothing()
    service = Service(nothing, nothing, nothing, nothing, nothing)
    return mount(service, RequestLimits(), nothing, Given(_none, lambda name: name.hex(), (), "strict", 1.0))


def test_every_route_needs_the_scope_of_its_half() -> None:
    paths = [route.path for router in mounted().routers for route in router.routes]
    assert len(paths) > 30
    for path in paths:
        scope = Scope.TEACH if path.startswith("/api/labs/v1/teach/") else Scope.LABS
        for name in ("x", "teach", "a\nb"):
            assert needed(re.sub(r"\{[^}]*\}", name, path)) is scope, path
    assert needed("/api/labs/v1/teach") is needed("/api/labs/v1/teach/") is Scope.TEACH
    assert needed("/api/labs/v1/teachers") is Scope.LABS
    assert needed("/api/labs/v2/courses") is None


def test_what_runs_programs_counts_as_a_run() -> None:
    whole = mounted()
    paths = {
        re.sub(r"\{[^}]*\}", "*", route.path)
        for router in whole.routers
        for route in router.routes
        if "POST" in route.methods and re.search(r"/(submit|verify|generate)$", route.path)
    }
    assert {("POST", path) for path in paths} == set(whole.counted)
    assert len(paths) == 3


def test_the_mount_is_installed_and_followed_if_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    [found] = entry_points(group=GROUP, name="labs")
    assert found.load() is mount
    kept: Any = Nothing()
    assert mounts(Settings.load(), kept) == ()
    [mounting] = mounts(Settings.load(labs=True), kept)
    assert mounting.keywords["given"].policy == "strict"  # type: ignore[attr-defined]
    monkeypatch.setattr("code_executor.app.mounts.entry_points", lambda **_: [])
    with pytest.raises(ConfigurationError, match="CODE_EXECUTOR_LABS is set, and nothing is installed"):
        mounts(Settings.load(labs=True), kept)


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        ({"verdict": Verdict.WRONG_ANSWER, "message": "line 1: another one"}, "wrong_answer"),
        ({"verdict": Verdict.WRONG_ANSWER, "message": "ZeroDivisionError: division by zero"}, "ZeroDivisionError"),
        ({"verdict": Verdict.ERROR, "reason": Reason.SYNTAX}, "SyntaxError"),
        ({"verdict": Verdict.ERROR, "reason": Reason.POLICY}, "refused by the policy"),
        ({"verdict": Verdict.ERROR, "stderr": "Traceback …\n  line\nKeyError: 'a'\n"}, "KeyError"),
        ({"verdict": Verdict.ERROR, "stderr": "…\nmodule.Problem\n"}, "module.Problem"),
        ({"verdict": Verdict.ERROR, "stderr": "nothing of use here"}, "error"),
        ({"verdict": Verdict.TIMEOUT, "stderr": "KeyError: 1"}, "timeout"),
    ],
)
def test_why_a_test_was_not_passed_is_said_in_a_word(outcome: dict[str, Any], error: str) -> None:
    assert error_of(Outcome(suite(io()).tests[0], **outcome)) == error


def test_cells_that_would_be_formulas_are_text() -> None:
    rows = [{"a": value} for value in ("=1", "+1", "-1", "@x", "\tx", "\uff1d1", -1, None, ["=1", "2"], 'a"b', "safe")]
    text = written(rows, ("a",))
    assert text.splitlines()[:8] == ["a", "'=1", "'+1", "'-1", "'@x", "'\tx", "'\uff1d1", "-1"]
    assert '"\'=1\n\n2"' in text
    assert '"a""b"' in text


@pytest.mark.parametrize(
    "said",
    [
        "dQw4w9WgXcQ",
        "https://www.youtube.com/watch?v=dQw4w9WgXcQ",
        "https://www.youtube.com/watch?list=PL1&v=dQw4w9WgXcQ&t=83s",
        "youtu.be/dQw4w9WgXcQ?t=3",
        "https://www.youtube-nocookie.com/embed/dQw4w9WgXcQ",
    ],
)
def test_a_video_is_known_by_its_id_or_its_address(said: str) -> None:
    assert youtube_of(said) == "dQw4w9WgXcQ"


@pytest.mark.parametrize("said", ["x", "https://evil.example/dQw4w9WgXcQ", "dQw4w9WgXc<", "javascript:alert(1)"])
def test_what_is_no_video_is_refused(said: str) -> None:
    from code_executor.api.problems import Refusal

    with pytest.raises(Refusal, match="youtube: "):
        youtube_of(said)
