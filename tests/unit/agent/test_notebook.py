"""Which lines of a notebook are passed over, which are answered with a sentence, and which are Python's."""

from __future__ import annotations

import pytest

from sandbox_agent.child.notebook import plain
from sandbox_agent.child.source import RefusedError


@pytest.mark.parametrize(
    ("source", "passed"),
    [
        ("%matplotlib inline\nx = 1", "pass\nx = 1"),
        ("if x:\n    %matplotlib widget\ny", "if x:\n    pass\ny"),
        ("x\n%config InlineBackend.figure_format = 'retina'", "x\npass\n"),
        ("%load_ext autoreload\r\n%autoreload 2\r\n", "pass\npass\n"),
        ("s = '''\n%matplotlib inline\n'''\n% matplotlib", "s = '''\n%matplotlib inline\n'''\npass\n"),
        ("x = (1\n%config\n)\n%config x", "x = (1\n%config\n)\npass\n"),
        ('a = "it\'s"  # """\n%precision 3\n', 'a = "it\'s"  # """\npass\n'),
    ],
)
def test_what_says_how_a_notebook_looks_is_passed_over_and_lines_stay_where_they_are(source: str, passed: str) -> None:
    assert plain(source) == passed


@pytest.mark.parametrize(
    "source",
    [
        "x = 5 \\\n% 3",
        "x = (5\n% 3)",
        "'''\n!ls\n'''",
        "f'''\n%time\n''' + '\n",
        "a b",
        "pip = 3",
        "uv is None",
        "x = [\n!ls",
        "# !ls",
        "print('100 %time')",
        "",
        "'''open",
    ],
)
def test_what_python_may_take_is_left_to_it(source: str) -> None:
    assert plain(source) is None


@pytest.mark.parametrize(
    ("source", "line", "column", "words"),
    [
        ("!pip install requests", 1, 1, "no network"),
        ("x\n  %pip install numpy", 2, 3, "no network"),
        ("pip install numpy", 1, 1, "no network"),
        ("python -m pip install numpy", 1, 1, "no network"),
        ("conda install numpy", 1, 1, "no network"),
        ("!ls -l", 1, 1, "for a shell"),
        ("!!ls", 1, 1, "for a shell"),
        ("files = !ls", 1, 1, "for a shell"),
        ("%%bash\necho 'it", 1, 1, "for a shell"),
        ("%%time\nx", 1, 1, "time.perf_counter()"),
        ("x = %time f()", 1, 1, "time.perf_counter()"),
        ("for x in y:\n    %timeit x", 2, 5, "timeit.timeit()"),
        ("%who_knows", 1, 1, "a magic"),
        ("print?", 1, 1, "help(print)"),
        ("??a.b", 1, 1, "help(a.b)"),
    ],
)
def test_the_rest_is_answered_with_a_sentence_at_its_place(source: str, line: int, column: int, words: str) -> None:
    with pytest.raises(RefusedError) as caught:
        plain(source)
    (found,) = caught.value.problems
    assert (caught.value.reason, found.line, found.column) == ("syntax", line, column)
    assert words in found.message


def test_every_such_line_is_answered_at_once() -> None:
    with pytest.raises(RefusedError) as caught:
        plain("!ls\n%matplotlib inline\n%time x\nx?\n")
    assert [problem.line for problem in caught.value.problems] == [1, 3, 4]
