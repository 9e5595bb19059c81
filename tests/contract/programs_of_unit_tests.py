"""A program, and tests of it for unittest and for pytest, which use all that works through the proxy."""

PROGRAM = '''
import asyncio, collections, enum

LIMIT = 10
Point = collections.namedtuple("Point", "x y")

class Color(enum.Enum):
    RED = 1

class Level(enum.IntEnum):
    LOW = 1

class EmptyError(Exception):
    def __init__(self, count):
        super().__init__(f"nothing left of {count}")
        self.count = count

class Stack:
    """Holds things."""
    made = 0
    def __init__(self, *items):
        self.items = list(items)
        type(self).made += 1
    def push(self, item):
        self.items.append(item)
        return self
    def pop(self):
        if not self.items:
            raise EmptyError(3)
        return self.items.pop()
    def __len__(self): return len(self.items)
    def __iter__(self): return iter(self.items)
    def __getitem__(self, at): return self.items[at]
    def __setitem__(self, at, item): self.items[at] = item
    def __eq__(self, other): return isinstance(other, Stack) and self.items == other.items
    def __add__(self, other): return Stack(*self.items, *other.items)
    def __mul__(self, times): return Stack(*self.items * times)
    def __lt__(self, other): return len(self) < len(other)
    def __rpow__(self, base): return base ** len(self)
    def __sub__(self, other): return 0
    def __str__(self): return f"Stack of {len(self)}"
    def __repr__(self): return f"Stack({self.items})"
    def __enter__(self): return self
    def __exit__(self, *error): self.items.clear()

class Tall(Stack):
    pass

def double(x):
    if x is None:
        raise ValueError("no number")
    return x * 2
def sort(items, by=None):
    items.sort(key=by)
def note(table, names, text):
    table["seen"] = text; names.add(text)
def apply(function, *args): return function(*args)
def count():
    for number in range(3):
        yield number
kept = []
def keep(unused, function):
    kept.append(function)
def drop(function):
    kept.remove(function)
    return len(kept)
def greet(name): print("hello", name)
def ask(): return input("name? ").upper()
def read():
    import sys
    return [line.strip() for line in sys.stdin]
def leave(status):
    import sys
    sys.exit(status)
def fail(): return 1 / 0
def values():
    return {"a": [1, (2.5, None), {3}], 4: b"x", "z": 2 + 3j}, float("nan"), 10 ** 40, Point(1, 2), Color.RED, Level.LOW
async def later(x):
    await asyncio.sleep(0)
    return x
def frame():
    import pandas
    return pandas.DataFrame({"a": [1, 2]})
'''

TESTS = """
import asyncio, contextlib, io, math, unittest
from unittest.mock import patch
import solution
from solution import *
from solution import Color, EmptyError, Level, Point, Stack, double

class TestValues(unittest.TestCase):
    def test_results(self):
        self.assertEqual(double(21), 42)
        self.assertEqual(double("ab"), "abab")
        self.assertEqual(double([1]), [1, 1])
        self.assertEqual(solution.LIMIT, 10)
        self.assertIs(type(solution.LIMIT), int)

    def test_all_kinds(self):
        table, nan, large, point, color, level = solution.values()
        self.assertEqual(table, {"a": [1, (2.5, None), {3}], 4: b"x", "z": 2 + 3j})
        self.assertTrue(math.isnan(nan))
        self.assertEqual(large, 10 ** 40)
        self.assertEqual((point, point.x), ((1, 2), 1))
        self.assertEqual(color, Color.RED)
        self.assertEqual(color.name, "RED")
        self.assertEqual(level, Level.LOW)

    def test_arguments_change(self):
        items, table, names = [3, 1, 2], {}, set()
        solution.sort(items)
        solution.note(table, names, "x")
        self.assertEqual((items, table, names), ([1, 2, 3], {"seen": "x"}, {"x"}))

    def test_functions_are_called_here(self):
        self.assertEqual(solution.apply(lambda a, b: a - b, 5, 3), 2)
        items = ["bb", "a"]
        solution.sort(items, by=len)
        self.assertEqual(items, ["a", "bb"])
        with self.assertRaises(KeyError):
            solution.apply(lambda: {}[1])
        self.assertEqual(solution.apply(lambda x: solution.double(x) + 1, 2), 5)
        calls, listeners = [], []
        solution.keep(listeners, calls.append)
        self.assertEqual(solution.drop(calls.append), 0)

    def test_errors(self):
        with self.assertRaises(ValueError) as caught:
            double(None)
        self.assertEqual(str(caught.exception), "no number")
        self.assertRaises(ZeroDivisionError, solution.fail)
        with self.assertRaises(EmptyError) as caught:
            Stack().pop()
        self.assertEqual(str(caught.exception), "nothing left of 3")
        self.assertEqual(caught.exception.count, 3)
        with self.assertRaises(SystemExit) as caught:
            solution.leave(4)
        self.assertEqual(caught.exception.code, 4)

    def test_iteration(self):
        self.assertEqual(list(solution.count()), [0, 1, 2])
        self.assertEqual(sum(solution.count()), 3)
        self.assertIn(2, solution.count())

    def test_coroutines(self):
        self.assertEqual(asyncio.run(solution.later(5)), 5)
        async def here():
            return await solution.later(6)
        self.assertEqual(asyncio.run(here()), 6)

class TestObjects(unittest.TestCase):
    def test_an_object(self):
        stack = Stack(1)
        stack.push(2).push(3)
        self.assertEqual((len(stack), list(stack), stack[0], stack[-1], stack[0:2]), (3, [1, 2, 3], 1, 3, [1, 2]))
        stack[0] = 9
        self.assertEqual(stack.items, [9, 2, 3])
        stack.items = [5]
        self.assertEqual((str(stack), repr(stack), f"{stack}"), ("Stack of 1", "Stack([5])", "Stack of 1"))
        self.assertEqual(stack.pop(), 5)
        self.assertFalse(stack)
        self.assertIsInstance(stack, Stack)
        self.assertNotIsInstance(stack, solution.Tall)
        self.assertTrue(issubclass(solution.Tall, Stack))
        self.assertEqual(Stack.__doc__, "Holds things.")
        self.assertTrue(hasattr(stack, "push"))
        self.assertFalse(hasattr(stack, "shove"))

    def test_objects_of_the_program(self):
        self.assertEqual(Stack(1, 2), Stack(1, 2))
        self.assertNotEqual(Stack(1), Stack(2))
        self.assertEqual((Stack(1) + Stack(2)).items, [1, 2])
        self.assertEqual((Stack(1) * 2).items, [1, 1])
        self.assertEqual(2 ** Stack(1, 2, 3), 8)
        with self.assertRaises(TypeError):
            Stack(1) - 1
        self.assertLess(Stack(), Stack(1))
        with Stack(1) as stack:
            self.assertEqual(len(stack), 1)
        self.assertEqual(len(stack), 0)

    def test_is_not_equal_to_plain_values(self):
        self.assertNotEqual(Stack(1), [1])

class TestInputAndOutput(unittest.TestCase):
    def test_print(self):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            solution.greet("Ann")
        self.assertEqual(out.getvalue(), "hello Ann\\n")

    @patch("builtins.input", return_value="bob")
    def test_input(self, asked):
        self.assertEqual(solution.ask(), "BOB")
        asked.assert_called_once_with("name? ")

    @patch("sys.stdin", io.StringIO("one\\ntwo\\n"))
    def test_stdin(self):
        self.assertEqual(solution.read(), ["one", "two"])

    @unittest.skip("not this week")
    def test_skipped(self):
        self.fail()

    @unittest.expectedFailure
    def test_expected_failure(self):
        self.assertEqual(double(1), 3)

    def test_each(self):
        for number in range(3):
            with self.subTest(number=number):
                self.assertEqual(double(number), 2 * number)
"""

PYTESTS = """
import pytest
import solution
from solution import Stack, double

@pytest.fixture
def stack():
    return Stack(1, 2)

@pytest.mark.parametrize(("given", "wanted"), [(1, 2), ("a", "aa"), ([], [])])
def test_double(given, wanted):
    assert double(given) == wanted

def test_raises():
    with pytest.raises(ValueError, match="no number"):
        double(None)

def test_fixture(stack):
    assert len(stack) == 2
    assert [*stack] == [1, 2]

def test_print(capsys):
    solution.greet("Ann")
    assert capsys.readouterr().out == "hello Ann\\n"

def test_patched(monkeypatch):
    monkeypatch.setattr("builtins.input", lambda prompt: "x")
    assert solution.ask() == "X"

def test_close():
    assert double(0.15) == pytest.approx(0.3)

@pytest.mark.skip(reason="not this week")
def test_skipped():
    assert False

@pytest.mark.xfail
def test_xfail():
    assert double(1) == 3

class TestOfClass:
    def test_method(self):
        assert double(4) == 8
"""
