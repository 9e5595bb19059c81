"""Labs made of a teacher's code: what is asked, what is expected, and that each holds."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from code_executor.core.runner import Runner
from code_labs.cli import main
from code_labs.errors import LabsError
from code_labs.generate import Generated, generate, pieces_of
from code_labs.labs import CallTest, IoTest, Lab, read_lab
from code_labs.verify import Verifier

pytestmark = pytest.mark.anyio

PROGRAM = '''\
"""Week 3."""
import math

LIMIT = 10


def clamp(value: int, low: int = 0) -> int:
    """Return the value, but not less than low, and not more than LIMIT.

    >>> clamp(12)
    10
    >>> clamp(-5, -2)
    -2
    """
    if value < low:
        return low
    if value > LIMIT:
        return LIMIT
    return value


def hypotenuse(a, b):
    # by Pythagoras
    return math.sqrt(a * a + b * b)


def shout(words):
    """Print each word in capitals."""
    for word in words:
        print(word.upper() + "!")


def push(stack, item):
    """Put an item on top, if there is room."""
    if len(stack) < 3:
        stack.append(item)


def root(number: int) -> int:
    """Return the whole root; refuse negative numbers."""
    if number < 0:
        raise ValueError("negative")
    guess = 0
    while (guess + 1) ** 2 <= number:
        guess += 1
    return guess


def dice(sides: int) -> int:
    import random
    return random.randint(1, sides)


def talk(somebody):
    return somebody.name


assert hypotenuse(3, 4) == 5
print(hypotenuse(5, 12))
hypotenuse(1, 1), hypotenuse(0, 0), hypotenuse(0.5, 2)
words = ["a", "bc"]
shout(words)
shout([])
shout(["x y"])
shout(["One", "two", "three"])
push([], 1)
push([1, 2], 3)
push([1, 2, 3], 4)
'''


@pytest.fixture(scope="module")
async def made(runner: Runner) -> Generated:
    return await generate(runner, PROGRAM.encode(), "week3.py")


def one(made: Generated, name: str) -> Lab:
    return next(lab for lab, _ in made.labs if lab.id == name)


async def test_all_that_is_offered_holds(runner: Runner, made: Generated) -> None:
    kinds = [lab.kind for lab, _ in made.labs]
    assert [kinds.count(kind) for kind in ("write", "repair", "fill", "order")] == [5, 5, 4, 2], made.dropped
    verifier = Verifier(runner, most=8)
    for lab, report in made.labs:
        assert report.is_verified
        assert (await verifier.verify(lab)).is_verified, lab.id


async def test_a_function_is_to_be_written_with_what_it_needs(made: Generated) -> None:
    lab = one(made, "clamp-write")
    assert lab.starter.startswith(
        'LIMIT = 10\n\n\ndef clamp(value: int, low: int = 0) -> int:\n    """Return the value'
    )
    assert lab.starter.endswith('    """\n    ...\n')
    assert "import math" not in lab.starter
    assert "    if value < low:" in lab.solution
    assert "`clamp(12)` returns `10`." in lab.task
    assert lab.suite is not None
    first, second = lab.suite.tests[:2]
    assert isinstance(first, CallTest)
    assert isinstance(second, CallTest)
    assert (first.args, first.expected, second.args, second.expected) == ((12,), 10, (-5, -2), -2)
    assert {test.visibility for test in lab.suite.tests[2:]} == {"result"}
    assert "import math\n" in one(made, "hypotenuse-write").solution


async def test_tests_look_at_what_is_printed_raised_and_changed(made: Generated) -> None:
    def tests(name: str) -> list[CallTest]:
        suite = one(made, name).suite
        assert suite is not None
        return [test for test in suite.tests if isinstance(test, CallTest)]

    assert [test.stdout for test in tests("shout-write")][:2] == ["A!\nBC!\n", ""]
    assert [test.arguments for test in tests("push-write")][:3] == [([1], 1), ([1, 2, 3], 3), ([1, 2, 3], 4)]
    assert [test.raises.type for test in tests("root-write") if test.raises] == ["ValueError"]
    assert all(test.rel == 1e-9 for test in tests("hypotenuse-write"))


async def test_a_bug_is_one_that_few_tests_find_and_gaps_are_marked(made: Generated) -> None:
    lab = one(made, "clamp-repair")
    different = [
        (one_line, other)
        for one_line, other in zip(lab.starter.splitlines(), lab.solution.splitlines(), strict=True)
        if one_line != other
    ]
    assert len(different) == 1
    assert lab.hints == (f"Look at line {1 + lab.starter.splitlines().index(different[0][0])}.",)
    gaps = one(made, "clamp-fill").starter
    assert gaps.count("___") == 2
    assert "    if ___:\n        return low\n" in gaps


async def test_lines_are_mixed_in_comments_and_the_same_each_time(runner: Runner, made: Generated) -> None:
    lab = one(made, "root-order")
    lines = [line.removeprefix("# ") for line in lab.starter.splitlines()]
    right = [line.strip() for line in ast.unparse(ast.parse(lab.solution)).splitlines() if '"""' not in line]
    assert sorted(lines) == sorted(right)
    assert lines != right
    assert lines[0] == right[0] == "def root(number: int) -> int:"
    program = f"{PROGRAM[: PROGRAM.index('def hypotenuse')]}".encode()
    first, again = [await generate(runner, program, "week3.py", ["write", "order"]) for _ in range(2)]
    assert [lab for lab, _ in first.labs] == [lab for lab, _ in again.labs]
    assert [lab.id for lab, _ in first.labs] == ["clamp-write", "clamp-order"]


async def test_what_gives_no_lab_is_said_with_the_reason(made: Generated) -> None:
    said = "\n".join(made.dropped)
    assert "dice (write): " in said
    assert "talk: nothing calls it with plain values, and its parameters have no types" in said
    assert not [lab for lab, _ in made.labs if lab.id.startswith(("dice", "talk"))]


NOTES = """\
# Loops

A loop repeats:

```python
for i in range(3):
    print(i * i)
```

Here is chance:

```python
import random
print(random.random())
```

~~~
def twice(text):
    return text + text
~~~

```pycon
>>> twice("ab")
'abab'
>>> twice("")
''
>>> twice("xyz")
'xyzxyz'
```

```sh
ls
```

```python
for this is no Python
```

```python
print(twice("la"))
```
"""


async def test_notes_give_programs_whose_output_is_to_be_predicted(runner: Runner) -> None:
    made = await generate(runner, NOTES.encode(), "notes.md")
    predicted = [lab for lab, _ in made.labs if lab.kind == "predict"]
    assert [lab.solution for lab in predicted] == ["print('0')\nprint('1')\nprint('4')\n", "print('lala')\n"]
    assert "```python\nfor i in range(3):\n    print(i * i)\n```" in predicted[0].task
    assert "def twice(text):" in predicted[1].task
    assert predicted[0].suite is not None
    (test,) = predicted[0].suite.tests
    assert isinstance(test, IoTest)
    assert (test.expected, test.visibility) == ("0\n1\n4\n", "result")
    assert "loops.for" in predicted[0].concepts
    assert "twice-write" in [lab.id for lab, _ in made.labs]
    assert "the code from line 13: it prints something else each time" in made.dropped
    assert "the code from line 36 is not Python, and was left out" in made.dropped


def test_a_notebook_has_cells_and_magic_is_left_out() -> None:
    cells = [
        {"cell_type": "markdown", "source": "# x"},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "a = 1\n", "!ls\n", "a?"]},
        {"cell_type": "code", "source": "%%bash\nls"},
        {"cell_type": "code", "source": "b = ("},
    ]
    material = pieces_of(json.dumps({"cells": cells}).encode(), "x.ipynb")
    assert [(piece.where, piece.code.strip()) for piece in material.pieces] == [("cell 2", "a = 1")]
    assert material.dropped == ("cell 4 is not Python, and was left out",)


@pytest.mark.parametrize(
    ("data", "name", "why"),
    [
        (b"{}", "x.ipynb", "no list of cells"),
        (b"{", "x.ipynb", "is not a notebook"),
        (b"\xff", "x.py", "is not UTF-8"),
        (b"", "x.txt", "must end with"),
    ],
)
def test_what_cannot_be_read_is_said(data: bytes, name: str, why: str) -> None:
    with pytest.raises(LabsError, match=why):
        pieces_of(data, name)


def test_the_command_writes_what_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "area.py"
    source.write_text(
        "def area(a: int, b: int) -> int:\n    return a * b if a > 0 and b > 0 else 0\n\n\nprint(area(2, 3))\n"
    )
    command = ["generate", str(source), "--kind", "write", "--kind", "predict", "--engine", "native"]
    assert main([*command, "--to", str(tmp_path / "labs")]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in out] == ["area-write", "predict-1"]
    assert read_lab(tmp_path / "labs/area-write").kind == "write"
    assert main([*command, "--to", str(tmp_path / "labs")]) == 2
    assert "is there already" in capsys.readouterr().err
    source.write_text("x = 1\n")
    assert main([*command, "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == []
