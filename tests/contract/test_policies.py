"""A program, a session and a submission are checked by the policy that they name, or by the server's own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from code_executor import Executor
from code_executor.core.errors import FileError, PolicyUnknownError
from code_executor.core.models import Execution, File, Reason, Result
from code_executor.grading.grader import Grader
from code_executor.grading.outcomes import Submission
from tests.unit.grading.made import io, suite

pytestmark = pytest.mark.anyio

COURSE = """
extends = "off"

[deny.names]
sorted = "this week you write the sorting yourself"
"""

READS, SORTS = "import os\nprint(len(os.listdir()))", "print(sorted([2, 1]))"


@pytest.fixture(scope="module")
async def opened(engine: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Executor]:
    """An executor with the strict policy, beside which requests may choose two others."""
    path = tmp_path_factory.mktemp("policies") / "course.toml"
    path.write_text(COURSE)
    settings = {"pool_size": 2, "pool_min": 1, "preload": (), "policies": ("off", f"course={path}")}
    async with Executor.open(engine=engine, **settings) as executor:
        yield executor


def refused(result: Result) -> list[int]:
    """Return the lines that were refused."""
    assert (result.reason is Reason.POLICY) == bool(result.problems), result.error
    return [problem.line for problem in result.problems]


@pytest.mark.parametrize(
    ("name", "reads", "sorts"), [("", [1], []), ("strict", [1], []), ("off", [], []), ("course", [], [1])]
)
async def test_a_program_is_checked_by_the_policy_that_it_names(
    opened: Executor, name: str, reads: list[int], sorts: list[int]
) -> None:
    for check_only in (False, True):
        options = {"policy_name": name, "check_only": check_only}
        assert refused(await opened.run(READS, **options)) == reads
        assert refused(await opened.run(SORTS, **options)) == sorts
    result = await opened.run(SORTS, policy_name=name)
    assert result.output == ("" if sorts else "[1, 2]\n")


async def test_no_run_has_the_policy_of_the_one_before(opened: Executor) -> None:
    """There are two sandboxes at most, so each has had the other policies."""
    for name, lines in (("off", []), ("", [1]), ("course", []), ("strict", [1]), ("off", []), ("", [1])):
        assert refused(await opened.run(READS, policy_name=name)) == lines


async def test_files_are_held_to_it_as_well(opened: Executor) -> None:
    helper = (File("helper.py", b"def first(items):\n    return sorted(items)[0]\n"),)
    code = "import helper\nprint(helper.first([2, 1]))"
    assert (await opened.run(code, files=helper)).output == "1\n"
    result = await opened.run(code, files=helper, policy_name="course")
    assert [(problem.file, problem.line) for problem in result.problems] == [("helper.py", 2)]
    assert "this week you write the sorting yourself" in result.error


async def test_a_name_that_is_not_offered_runs_nothing(opened: Executor) -> None:
    with pytest.raises(PolicyUnknownError, match="'third' here; a request may choose strict, off, course"):
        await opened.run("print(1)", policy_name="third")
    for name in ("x" * 65, "off ", "OFF"):
        with pytest.raises(PolicyUnknownError):
            await opened.run("", policy_name=name)


async def test_a_session_has_it_for_all_cells_and_files(opened: Executor) -> None:
    async with opened.session(policy="course") as session:
        assert (await session.run(READS)).output == "0\n"
        assert refused(await session.run(f"x = 1\n{SORTS}")) == [2]
        assert (await session.run("sorted = list\nsorted('ab')")).reason is Reason.COMPLETED  # its own name
        assert await session.write_file("reads.py", READS.encode())
        with pytest.raises(FileError, match=r"line 1, column 7: .*sorting yourself"):
            await session.write_file("sorts.py", SORTS.encode())
        assert await session.write_file("sorts.py", SORTS.encode(), policy=False)
    async with opened.session() as session:
        assert refused(await session.run(READS)) == [1]
        with pytest.raises(FileError):
            await session.write_file("reads.py", READS.encode())
        assert await session.write_file("sorts.py", SORTS.encode())


async def test_the_files_of_a_session_are_held_to_it_before_its_first_cell(opened: Executor) -> None:
    files = (File("sorts.py", SORTS.encode()),)
    async with opened.session(files=files, policy="course") as session:
        assert refused(await session.run("1")) == [1]
    async with opened.session(files=files, policy="off") as session:
        assert (await session.run("import sorts")).output == "[1, 2]\n"


async def test_a_session_under_a_policy_that_is_not_offered_is_not_opened(opened: Executor) -> None:
    with pytest.raises(PolicyUnknownError):
        async with opened.session(policy="third"):
            pass


async def test_a_submission_is_checked_by_the_policy_that_it_names(opened: Executor) -> None:
    tests = suite(io("[1, 2]\n"))
    grader = Grader(opened)
    for name, lines in (("", []), ("off", []), ("course", [1])):
        grade = await grader.grade(Submission(SORTS, policy_name=name), tests)
        assert [problem.line for problem in grade.problems] == lines
        assert [outcome.is_passed for outcome in grade.outcomes] == [not lines]
    with pytest.raises(PolicyUnknownError):
        await grader.grade(Submission(SORTS, policy_name="third"), tests)


async def test_what_the_service_runs_itself_is_checked_by_none(opened: Executor) -> None:
    """As a grader's harness: no request can say this, and a name does not bring the check back."""
    assert (await opened.run(Execution(SORTS, policy=False, policy_name="course"))).output == "[1, 2]\n"
