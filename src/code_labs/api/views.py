"""What learners and teachers are told, as JSON. What a learner gets of a lab is chosen here, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from code_executor.grading import views
from code_executor.grading.outcomes import skipped
from code_executor.grading.suite import Level, Suite
from code_executor.grading.views import Audience
from code_labs.api.desk import draft_object
from code_labs.labs import lab_object
from code_labs.matching import Match
from code_labs.progress import Draft, Moment, Video, Work
from code_labs.progress.labs import Entry
from code_labs.progress.models import Version
from code_labs.progress.privacy import iso
from code_labs.verify import Report
from code_labs.verify.findings import report_object

Object = dict[str, Any]

_SHOWN = ("stdin", "args", "call")


def video_object(video: Video) -> Object:
    return {
        "video": video.name,
        "title": video.title,
        "youtube": video.youtube,
        "url": video.url,
        "language": video.language,
        "duration": video.duration,
        "chapters": chapters_object(video.chapters),
    }


def chapters_object(chapters: Iterable[tuple[float, str]]) -> list[Object]:
    return [{"start": start, "title": title} for start, title in chapters]


def moment_object(moment: Moment) -> Object:
    return {
        "video": moment.video,
        "start": moment.start,
        "end": moment.end,
        "by": moment.by,
        "words": list(moment.words),
    }


def moments_object(moments: Iterable[Moment]) -> list[Object]:
    return [moment_object(moment) for moment in moments]


# ---- for learners


def entry_object(entry: Entry) -> Object:
    lab, work = entry.version.lab, entry.work
    return {
        "lab": lab.id,
        "title": lab.title,
        "summary": lab.summary,
        "difficulty": lab.difficulty,
        "concepts": list(lab.tags),
        "kind": lab.kind,
        "version": entry.version.number,
        "state": "new" if work is None else "begun" if work.first_at is None else "passed",
        "moments": moments_object(entry.moments),
    }


def lab_view(
    version: Version, suite: Suite, work: Work | None, draft: Draft | None, moments: Sequence[Moment]
) -> Object:
    """Return what a learner gets of a lab: neither its solution, nor hints that were not taken, nor hidden tests."""
    lab = version.lab
    taken = min(work.hints, len(lab.hints)) if work is not None else 0
    return {
        "lab": lab.id,
        "version": version.number,
        "title": lab.title,
        "summary": lab.summary,
        "goals": list(lab.goals),
        "concepts": list(lab.tags),
        "difficulty": lab.difficulty,
        "language": lab.language,
        "kind": lab.kind,
        "policy": lab.policy,
        "task": lab.task,
        "starter": lab.starter,
        "files": [{"path": file.path, "content": file.content} for file in lab.files],
        "hints": len(lab.hints),
        "given": [{"number": number, "text": lab.hints[number - 1]} for number in range(1, taken + 1)],
        "tests": tests_object(suite),
        "moments": moments_object(moments),
        "draft": draft and draft_object(draft),
        "completion": completion_object(work),
    }


def tests_object(suite: Suite) -> list[Object]:
    """Return of each test what a learner may see before a program was run, by the rule for what came of it."""
    audience = Audience.today(full=False)
    found = []
    for test in suite.tests:
        told = views.test_object(skipped(test), audience)
        if told is None:
            continue
        level: Level = test.visibility.at(audience.now)
        view: Object = {
            "id": test.id,
            "name": test.name,
            "group": test.group,
            "weight": test.weight,
            "visibility": level.value,
            "kind": test.task.kind,
        }
        given = told.get("input") or {}
        view |= {name: given[name] for name in _SHOWN if given.get(name)}
        if "expected" in told:
            view["expected"] = told["expected"]
        found.append(view)
    return found


def completion_object(work: Work | None) -> Object | None:
    if work is None or work.first_at is None:
        return None
    return {
        "firstAt": iso(work.first_at),
        "attempts": work.first_submits,
        "seconds": round(work.first_seconds or 0),
        "hints": work.first_hints,
    }


# ---- for teachers


def taught_object(version: Version) -> Object:
    return {
        "lab": lab_object(version.lab),
        "status": version.placed.status,
        "version": version.number,
        "verified": version.is_verified,
        "report": version.report,
    }


def verified_object(report: Report) -> Object:
    """Return what verifying a lab said."""
    told = report_object(report)
    mutants: Mapping[str, Any] = told["mutants"]
    return {
        "ok": report.is_verified,
        "findings": told["findings"],
        "mutants": mutants["made"],
        "killed": mutants["killed"],
        "survivors": mutants["survivors"],
        "runs": told["runs"],
        "seconds": told["seconds"],
    }


def match_object(match: Match) -> Object:
    return {
        "lab": match.lab,
        "video": match.lecture,
        "start": match.shown,
        "end": match.end,
        "score": round(match.score, 3),
        "words": [reason.word for reason in match.reasons],
        "confident": match.good,
    }
