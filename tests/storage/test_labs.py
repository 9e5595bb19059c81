"""Courses, how learners stand, what is erased and what teachers are told: on both databases."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from code_executor.storage.database import Database
from code_labs.errors import FullError, StateError, UnknownError
from code_labs.progress import Attempt, Course, DraftChangedError, Happening, Labs, Video, tables
from code_labs.progress import catalog as catalog_room
from code_labs.progress.models import Said, Version, Who
from code_labs.progress.sql import pack
from tests.labs.made import RIGHT, WRONG, lab

pytestmark = pytest.mark.anyio

ADA, BOB = Who("ce_school", "a" * 32), Who("ce_school", "b" * 32)
DAY = 86_400.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_796_000_000.0

    def __call__(self) -> float:
        return self.now


class Room:
    """A course with one lab that learners get."""

    def __init__(self, labs: Labs, clock: Clock, course: Course, version: Version) -> None:
        self.labs, self.clock, self.course, self.version = labs, clock, course, version

    async def submit(self, who: Who, code: str = WRONG, error: str = "wrong_answer", **more: Any) -> int:
        passed = code == RIGHT
        attempt = Attempt(
            code,
            "passed" if passed else "failed",
            passed,
            None,
            "" if passed else error,
            [] if passed else ["1"],
            **more,
        )
        return await self.labs.journal.record(who, self.course, self.version, attempt)

    async def note(self, who: Who, *kinds: str, **data: object) -> None:
        told = [Happening(kind, self.clock.now, "clamp", data) for kind in kinds]
        await self.labs.journal.note(who, self.course, {"clamp": self.version.placed.id}, told)


async def course_of(labs: Labs, name: str = "python", owner: str = "ce_school") -> Course:
    await labs.catalog.put_course(owner, name, "Python", "en")
    return await labs.catalog.course(owner, name)


@pytest.fixture
async def room(database: Database) -> Room:
    clock = Clock()
    labs = Labs(database, now=clock)
    course = await course_of(labs)
    await labs.catalog.put_lab(course, lab(), report={"ok": True}, verified=True)
    await labs.catalog.publish(course, await labs.catalog.lab(course, "clamp"))
    version = await labs.published(course, "clamp")
    return Room(labs, clock, await labs.catalog.course("ce_school", "python"), version)


# ---- what teachers make


async def test_courses_belong_to_their_owner(room: Room) -> None:
    catalog = room.labs.catalog
    assert not await catalog.put_course("ce_school", "python", "Python 2", "en")
    assert await catalog.put_course("ce_other", "python", "Theirs", "")
    assert [each.course.title for each in await catalog.courses("ce_school")] == ["Python 2"]
    with pytest.raises(UnknownError, match="there is no course 'python'"):
        await catalog.course("", "python")


async def test_a_version_never_changes_and_learners_keep_theirs(room: Room) -> None:
    catalog, course = room.labs.catalog, room.course
    again = await catalog.put_lab(course, lab())
    assert (again.number, again.placed.published) == (1, 1)
    changed = await catalog.put_lab(course, lab(title="Another"))
    assert changed.number == 2
    assert (await room.labs.published(course, "clamp")).lab.title == "Clamp a value"
    with pytest.raises(UnknownError, match="no version 2"):
        await room.labs.published(course, "clamp", 2)
    with pytest.raises(StateError, match="version 2 of the lab clamp is not verified"):
        await catalog.publish(course, changed.placed)
    await catalog.put_report(changed, {"ok": True}, verified=True)
    await catalog.publish(course, changed.placed)
    assert (await room.labs.published(course, "clamp")).lab.title == "Another"
    assert (await room.labs.published(course, "clamp", 1)).lab.title == "Clamp a value"
    await catalog.retire(course, changed.placed)
    with pytest.raises(UnknownError):
        await room.labs.published(course, "clamp", 1)


async def test_there_is_a_bound_of_what_is_kept(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MOST_COURSES", "MOST_VIDEOS", "MOST_LABS", "MOST_VERSIONS"):
        monkeypatch.setattr(catalog_room, name, 1)
    catalog, course = room.labs.catalog, room.course
    await catalog.put_video(course, Video("one", "One", None, None, "en", 0.0), None)
    with pytest.raises(FullError, match="1 courses"):
        await catalog.put_course("ce_school", "more", "More", "")
    with pytest.raises(FullError, match="1 videos"):
        await catalog.put_video(course, Video("two", "Two", None, None, "en", 0.0), None)
    with pytest.raises(FullError, match="1 labs"):
        await catalog.put_lab(course, lab("more"))
    with pytest.raises(FullError, match="1 versions"):
        await catalog.put_lab(course, lab(title="Another"))


async def test_a_pin_counts_more_than_words_and_goes_with_its_video(room: Room) -> None:
    catalog = room.labs.catalog
    said = Said(((0.0, 9.0, "welcome"), (90.0, 99.0, "to clamp a value compare it and return the most it may be")))
    for name in ("one", "two"):
        made = await catalog.put_video(room.course, Video(name, name, None, None, "en", 99.0, ((0.0, "a"),)), said)
        assert made
    video = await catalog.video(room.course, "two")

    async def moments() -> list[tuple[str, float, str]]:
        course = await catalog.course("ce_school", "python")
        found = (await room.labs.matcher.places(course)).moments["clamp"]
        return [(each.video, each.start, each.by) for each in found]

    await catalog.put_pin(room.course, room.version.placed, video, 5.0, None)
    assert await moments() == [("two", 5.0, "teacher")]
    await catalog.put_pin(room.course, room.version.placed, video, 7.0, 8.0)
    assert await moments() == [("two", 7.0, "teacher")]
    await catalog.delete_video(room.course, "two")
    assert [each[0] for each in await moments() if each[2] == "teacher"] == []
    assert await catalog.pins(room.course) == []


# ---- what learners do


async def test_of_two_windows_the_slower_one_is_told_and_nothing_is_lost(room: Room) -> None:
    journal, placed = room.labs.journal, room.version.placed
    first = await journal.put_draft(ADA, room.course, placed, "a = 1", None)
    assert first.revision == 1
    many = [journal.put_draft(ADA, room.course, placed, f"a = {n}", 1) for n in range(2, 8)]
    done = await asyncio.gather(*many, return_exceptions=True)
    kept = [each for each in done if not isinstance(each, BaseException)]
    lost = [each for each in done if isinstance(each, DraftChangedError)]
    assert (len(kept), len(lost)) == (1, 5)
    assert {each.draft for each in lost} == {kept[0]} == {await journal.draft(ADA, placed)}
    with pytest.raises(DraftChangedError):
        await journal.put_draft(ADA, room.course, placed, "a = 9", None)
    assert await journal.draft(BOB, placed) is None
    with pytest.raises(DraftChangedError) as caught:
        await journal.put_draft(BOB, room.course, placed, "b", 3)
    assert caught.value.draft is None


async def test_many_submits_at_once_are_all_counted(room: Room) -> None:
    numbers = await asyncio.gather(*(room.submit(who) for who in (ADA, BOB) for _ in range(20)))
    assert len(set(numbers)) == 40
    works = await room.labs.journal.works(ADA, room.course)
    assert works[room.version.placed.id].submits == 20
    [summary] = await room.labs.journal.summaries(ADA)
    assert (summary.course, summary.passed, summary.labs, summary.attempts) == ("python", 0, 1, 20)


async def test_how_a_lab_was_passed_first_stays(room: Room) -> None:
    lab_id = room.version.placed.id
    await room.note(ADA, "open")
    for seconds in (60, 1000, 30):  # the second is a pause
        room.clock.now += seconds
        await room.submit(ADA)
    with pytest.raises(StateError, match="hint 1 must be taken before hint 2"):
        await room.labs.journal.take_hint(ADA, room.course, room.version.placed, 2)
    await room.labs.journal.take_hint(ADA, room.course, room.version.placed, 1)
    room.clock.now += 10
    await room.submit(ADA, RIGHT)
    passed = room.clock.now
    room.clock.now += 50
    await room.submit(ADA)
    work = (await room.labs.journal.works(ADA, room.course))[lab_id]
    assert (work.first_at, work.first_submits, work.first_seconds, work.first_hints) == (passed, 4, 100.0, 1)
    assert (work.submits, work.seconds) == (5, 150.0)
    assert await room.labs.journal.passed(ADA) == {room.course.id: 1}
    assert await room.labs.journal.works(BOB, room.course) == {}


async def test_our_failure_says_nothing_of_a_learner(room: Room) -> None:
    await room.submit(ADA, counts=False)
    work = (await room.labs.journal.works(ADA, room.course))[room.version.placed.id]
    assert work.submits == 0


async def test_what_is_told_of_another_lab_is_dropped(room: Room) -> None:
    await room.labs.journal.note(ADA, room.course, {}, [Happening("open", room.clock.now, "clamp")])
    assert await room.labs.journal.works(ADA, room.course) == {}


# ---- what is kept of learners


async def everything(labs: Labs, who: Who) -> tuple[dict[str, object], dict[str, str]]:
    with zipfile.ZipFile(io.BytesIO(await labs.privacy.export(who))) as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    return json.loads(files.pop("data.json")), files


async def test_a_learner_gets_all_that_is_kept(room: Room) -> None:
    await room.note(ADA, "open", "segment_click", video="one", start=3)
    number = await room.submit(ADA, "planted-code", files={"data.txt": b"planted-file"})
    await room.labs.journal.put_draft(ADA, room.course, room.version.placed, "planted-draft", None)
    await room.submit(BOB, "not ada's")
    data, files = await everything(room.labs, ADA)
    assert files == {
        "drafts/python/clamp.py": "planted-draft",
        f"attempts/python/clamp/{number}/program.py": "planted-code",
        f"attempts/python/clamp/{number}/files/data.txt": "planted-file",
    }
    counts = {name: len(data[name]) for name in ("labs", "drafts", "attempts", "events")}  # type: ignore[arg-type]
    assert counts == {"labs": 1, "drafts": 1, "attempts": 1, "events": 2}
    nobody, none = await everything(room.labs, Who("ce_other", ADA.pseudonym))
    assert (nobody["attempts"], none) == ([], {})


def bytes_of(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(directory.glob("test.db*")))


async def test_of_who_is_erased_nothing_is_left_in_the_database(room: Room, database: Database, tmp_path: Path) -> None:
    secret, shared = "x = 'planted " + "code' * 1", "y = 'shared'"
    for who, code in ((ADA, secret), (ADA, shared), (BOB, shared)):
        await room.submit(who, code)
    await room.labs.journal.put_draft(ADA, room.course, room.version.placed, secret, None)
    await room.note(ADA, "open", "hint", planted="planted-data")
    assert await room.labs.privacy.erase(ADA)
    assert not await room.labs.privacy.erase(ADA)
    data, files = await everything(room.labs, ADA)
    assert (data["labs"], files) == ([], {})
    assert list((await everything(room.labs, BOB))[1].values()) == [shared]
    if not database.is_sqlite:
        return
    assert room.labs.catalog._database is database
    traces = [ADA.pseudonym.encode(), b"planted", pack({"code": secret, "files": {}}), pack(secret)]
    async with database.reading() as connection:
        await connection.exec_driver_sql("COMMIT")
        await connection.exec_driver_sql("VACUUM")
        await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        await connection.exec_driver_sql("BEGIN")
    whole = await asyncio.to_thread(bytes_of, tmp_path)
    assert pack({"code": shared, "files": {}}) in whole
    assert BOB.pseudonym.encode() in whole
    assert [trace for trace in traces if trace in whole] == []


@pytest.mark.parametrize("whole", [True, False])
async def test_with_a_lab_or_a_course_go_the_programs_that_were_handed_in(
    room: Room, database: Database, *, whole: bool
) -> None:
    await room.submit(ADA)
    if whole:
        await room.labs.catalog.delete_course(room.course)
    else:
        await room.labs.catalog.delete_lab(room.course, room.version.placed)
    async with database.reading() as connection:
        for table in (tables.snapshots, tables.attempts, tables.work):
            assert (await connection.execute(select(table))).all() == []


async def test_programs_and_events_are_forgotten_after_a_time(room: Room) -> None:
    await room.submit(ADA, "old")
    await room.submit(ADA, "again")
    await room.note(ADA, "open")
    room.clock.now += 366 * DAY
    await room.submit(ADA, "again")
    await room.labs.privacy.forget(room.clock.now - 365 * DAY)
    data, files = await everything(room.labs, ADA)
    assert list(files.values()) == ["again"]
    assert (len(data["attempts"]), data["events"]) == (3, [])  # type: ignore[arg-type]
    assert (await room.labs.journal.works(ADA, room.course))[room.version.placed.id].submits == 3


# ---- what teachers are told


def learners(count: int) -> list[Who]:
    return [Who("ce_school", f"{number:032x}") for number in range(count)]


async def test_who_needs_a_teacher_is_told_with_the_reason(room: Room) -> None:
    stuck, looping, gone, slow = learners(4)
    started = room.clock.now
    for number in range(5):
        await room.submit(stuck, error=f"Error{number}")
    for _ in range(4):
        await room.submit(looping, error="NameError")
    await room.submit(gone)
    room.clock.now += 8 * DAY
    for who in (stuck, looping, slow):
        await room.note(who, "open")
    rows = await room.labs.analytics.attention(room.course)
    assert [(row["learner"], row["lab"], row["why"]) for row in rows] == [
        (looping.pseudonym, "clamp", "NameError 4 times in a row"),
        (stuck.pseudonym, "clamp", "5 submits without success"),
        (gone.pseudonym, None, "nothing for 8 days, with labs open"),
    ]
    assert rows[0]["since"].startswith("2026-11-")
    assert started < room.clock.now
    await room.submit(looping, RIGHT)
    rows = await room.labs.analytics.attention(room.course)
    assert looping.pseudonym not in {row["learner"] for row in rows}


async def test_slow_is_who_has_passed_less_than_half_of_the_median(room: Room) -> None:
    everybody = learners(5)
    for who in everybody[:4]:
        await room.submit(who, RIGHT)
    await room.submit(everybody[4])
    [row] = await room.labs.analytics.attention(room.course)
    assert row["learner"] == everybody[4].pseudonym
    assert row["why"] == "passed 0 labs, less than half of the course's median (1)"


async def test_shares_of_few_learners_are_not_told(room: Room) -> None:
    for who in learners(4):
        await room.submit(who, RIGHT)
    [row] = await room.labs.analytics.labs(room.course)
    assert (row["opened"], row["ran"], row["submitted"], row["passed"]) == (4, 4, 4, 4)
    assert (row["attempts"], row["minutes"], row["lastHint"], row["left"]) == (None, None, None, None)
    fifth, gone = Who("ce_school", "f" * 32), Who("ce_school", "e" * 32)
    await room.submit(fifth)
    await room.submit(fifth, RIGHT)
    for number in (1, 2):
        await room.labs.journal.take_hint(fifth, room.course, room.version.placed, number)
    await room.note(gone, "open")
    room.clock.now += 120
    [row] = await room.labs.analytics.labs(room.course)
    assert (row["title"], row["opened"], row["submitted"], row["passed"]) == ("Clamp a value", 6, 5, 5)
    assert (row["attempts"], row["lastHint"], row["left"]) == (1, 0.167, 0.167)


async def test_errors_are_told_with_three_programs_at_most(room: Room) -> None:
    for number, who in enumerate(learners(4)):
        await room.submit(who, f"program {number}", "NameError")
        await room.submit(who, f"program {number}", "NameError")
    await room.submit(ADA, RIGHT)
    await room.submit(ADA, WRONG)
    first, second = await room.labs.analytics.errors(room.course)
    assert (first["lab"], first["error"], first["test"], first["count"]) == ("clamp", "NameError", "1", 8)
    assert len(set(first["programs"])) == 3
    assert (second["error"], second["count"], second["programs"]) == ("wrong_answer", 1, [WRONG])


async def test_segments_are_told_by_clicks(room: Room) -> None:
    said = Said(((3.0, 9.0, "this"), (10.0, 42.0, "that")))
    await room.labs.catalog.put_video(room.course, Video("one", "One", None, None, "en", 42.0), said)
    for who in learners(5):
        await room.note(who, "segment_click", video="one", start=3)
        room.clock.now += 60
    await room.submit(learners(5)[0], RIGHT)
    room.clock.now += 3600
    await room.submit(learners(5)[1], RIGHT)
    await room.note(ADA, "segment_click", video="one", start=10)
    assert await room.labs.analytics.segments(room.course) == [
        {"video": "one", "start": 3.0, "end": 42.0, "clicks": 5, "passedAfter": 1},
        {"video": "one", "start": 10.0, "end": 42.0, "clicks": 1, "passedAfter": None},
    ]


async def test_pace_is_told_day_by_day(room: Room) -> None:
    await room.submit(ADA)
    await room.submit(BOB)
    room.clock.now += DAY
    await room.submit(ADA, RIGHT)
    rows = await room.labs.analytics.pace(room.course)
    assert [(row["passed"], row["active"]) for row in rows] == [(0, 2), (1, 1)]
