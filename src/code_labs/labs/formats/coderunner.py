"""CodeRunner, the question type of Moodle, as Moodle's XML.

A test of CodeRunner appends ``testcode`` to the learner's program and compares what is printed. Here that becomes a
call of a function that the test sets up: the same code, in the learner's module. A test without ``testcode`` runs the
program.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any
from xml.etree.ElementTree import Element, ParseError, SubElement, indent, tostring

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from pydantic import ValidationError

from code_labs.errors import ExchangeError, LabError
from code_labs.labs.formats.exchange import LARGEST, Exported, Imported, call_of, id_of
from code_labs.labs.model import CallTest, IoTest, Lab, Suite, complaint, lab_of

TYPES = ("python3", "python3_w_input")
"""The types of CodeRunner that are plain Python."""

RUN = "run_test"
"""What the function is called that has the code of a test in it."""

_NO_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_VISIBLE = {"SHOW": "full", "HIDE": "result", "HIDE_IF_FAIL": "result", "HIDE_IF_SUCCEED": "result"}
_OWN = {"template": "a template of its own", "prototypetype": "a type of its own", "grader": "a grader of its own"}
_USUAL = {"prototypetype": ("", "0"), "grader": ("", "EqualityGrader", "NearEqualityGrader"), "template": ("",)}


def import_coderunner(text: str | bytes) -> Imported:
    """Read the questions of a file; raise ``ExchangeError`` if it is no such file, or none can be read.

    A question that is not plain Python, or has a template or grader of its own, is not carried over: what such a one
    checks is in its template.
    """
    if len(text) > LARGEST:
        raise ExchangeError(f"the file is larger than {LARGEST:,} bytes")
    try:
        quiz = fromstring(text, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise ExchangeError(f"this is not XML that can be read: {error or type(error).__name__}") from None
    if quiz.tag != "quiz":
        raise ExchangeError(f"this is not a file of Moodle's questions: it begins with <{quiz.tag}>, not <quiz>")
    labs: list[Lab] = []
    dropped: list[str] = []
    taken: set[str] = set()
    for question in quiz.iter("question"):
        title = _said(question, "name/text").strip()[:200] or "Untitled"
        if question.get("type") == "category":
            continue
        if why := _refused(question):
            dropped.append(f"{title}: {why}")
            continue
        try:
            labs.append(_lab(question, title, taken, dropped))
        except (LabError, ValidationError) as error:
            said = complaint(error) if isinstance(error, ValidationError) else error
            dropped.append(f"{title}: left out: {said}")
    if not labs:
        raise ExchangeError("; ".join(dropped) or "there is no question of CodeRunner in the file")
    return Imported(tuple(labs), tuple(dropped))


def _said(element: Element, path: str) -> str:
    return element.findtext(path) or ""


def _refused(question: Element) -> str:
    """Say why a question cannot be carried over, or nothing."""
    if question.get("type") != "coderunner":
        return f"left out: a question of the type {question.get('type')!r}, not of CodeRunner"
    kind = _said(question, "coderunnertype").strip()
    if kind not in TYPES:
        return f"left out: its type is {kind!r}; only {' and '.join(TYPES)} are carried over"
    for tag, what in _OWN.items():
        if _said(question, tag).strip() not in _USUAL[tag]:
            return f"left out: it has {what}, and what that checks cannot be carried over"
    return ""


def _lab(question: Element, title: str, taken: set[str], dropped: list[str]) -> Lab:
    tests = list(_tests(question, title, dropped))
    penalties = _said(question, "penaltyregime").strip()
    if penalties not in ("", "0"):
        dropped.append(f"{title}: the penalties {penalties} were dropped: there are none here")
    if question.find("testcases/testcase/extra/text") is not None and any(
        _said(case, "extra/text").strip() for case in question.iterfind("testcases/testcase")
    ):
        dropped.append(f"{title}: the extra data of tests was dropped: only templates read it")
    text = question.find("questiontext")
    if text is not None and text.get("format") == "html":
        dropped.append(f"{title}: the task is HTML, and stays so within Markdown")
    return lab_of(
        {
            "id": id_of(title, taken),
            "title": title,
            "task": _said(question, "questiontext/text").strip() or title,
            "starter": _said(question, "answerpreload"),
            "solution": _said(question, "answer"),
            **({"suite": Suite(tests=tuple(tests)).model_dump(by_alias=True)} if tests else {}),
        }
    )


def _tests(question: Element, title: str, dropped: list[str]) -> Iterator[IoTest | CallTest]:
    for number, case in enumerate(question.iterfind("testcases/testcase"), 1):
        code, stdin, expected = (_said(case, f"{part}/text") for part in ("testcode", "stdin", "expected"))
        display = _said(case, "display/text").strip() or "SHOW"
        if display in ("HIDE_IF_FAIL", "HIDE_IF_SUCCEED"):
            dropped.append(f"{title}, test {number}: {display} is not known here; learners see whether it was passed")
        if case.get("hiderestiffail") == "1":
            dropped.append(f"{title}, test {number}: “hide rest if fail” was dropped")
        shared: dict[str, Any] = {
            "id": str(number),
            "weight": _number(case.get("mark")),
            "visibility": _VISIBLE.get(display, "result"),
            "stdin": stdin,
        }
        if not code.strip():
            yield IoTest(expected=expected, **shared)
        elif plain := _plain_call(code, expected, shared):
            yield plain
        elif setup := _set_up(code):
            yield CallTest(call=RUN, setup=setup, stdout=expected, **shared)
        else:
            dropped.append(f"{title}, test {number}: left out: its code is not Python that can stand in a function")


def _set_up(code: str) -> str:
    """Return the code as the body of a function; empty if it would be another program there."""
    setup = f"def {RUN}():\n{textwrap.indent(code.strip(chr(10)), '    ')}\n"
    try:
        alone, (function,) = ast.parse(code), ast.parse(setup).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    same = isinstance(function, ast.FunctionDef) and [*map(ast.dump, alone.body)] == [*map(ast.dump, function.body)]
    return setup if same else ""


def _number(text: str | None) -> float:
    try:
        return float(text) if text else 1.0
    except ValueError:
        return 1.0


def _plain_call(code: str, expected: str, shared: dict[str, Any]) -> CallTest | None:
    """Read ``print(repr(f(1, 2)))``, which says what is returned and not only what is printed."""
    try:
        match ast.parse(code).body:
            case [ast.Expr(ast.Call(ast.Name("print"), [ast.Call(ast.Name("repr"), [inner])]))]:
                name, args, kwargs = call_of(inner)
                value = ast.literal_eval(expected.strip())
                return CallTest(call=name, args=args, kwargs=kwargs, expected=value, **shared)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass
    return None


def export_coderunner(labs: Sequence[Lab]) -> Exported:
    """Write labs as one file of Moodle's questions, each with its solution, which Moodle checks when it is imported."""
    quiz = Element("quiz")
    dropped: list[str] = []
    for lab in labs:
        _write(quiz, lab, dropped)
    indent(quiz)
    text = tostring(quiz, encoding="unicode")
    if _NO_XML.search(text):
        raise ExchangeError("a lab has a control character, which XML cannot hold")
    return Exported(f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n', tuple(dropped))


def _write(quiz: Element, lab: Lab, dropped: list[str]) -> None:
    question = SubElement(quiz, "question", type="coderunner")
    _text(SubElement(question, "name"), lab.title)
    _text(SubElement(question, "questiontext", format="markdown"), lab.task)
    tests = lab.suite.tests if lab.suite else ()
    with_input = any(isinstance(test, IoTest) for test in tests)
    SubElement(question, "coderunnertype").text = TYPES[with_input]
    SubElement(question, "answer").text = lab.solution
    SubElement(question, "answerpreload").text = lab.starter
    cases = SubElement(question, "testcases")
    for test in tests:
        if why := _cannot_hold(test):
            dropped.append(f"{lab.id}, test {test.id}: left out: {why}")
            continue
        hidden = test.visibility != "full"
        case = SubElement(cases, "testcase", useasexample="0", hiderestiffail="0", mark=f"{test.weight:.7f}")
        code, expected = _case(test)
        for tag, text in (("testcode", code), ("stdin", test.stdin), ("expected", expected), ("extra", "")):
            _text(SubElement(case, tag), text)
        _text(SubElement(case, "display"), "HIDE" if hidden else "SHOW")
    lost = [field for field in ("summary", "goals", "concepts", "hints", "video", "files") if getattr(lab, field)]
    dropped += [f"{lab.id}: {field} cannot be held by a question" for field in lost]


def _text(parent: Element, text: str) -> None:
    SubElement(parent, "text").text = text


def _cannot_hold(test: IoTest | CallTest) -> str:
    if test.files:
        return "it has files"
    if isinstance(test, IoTest):
        if test.args or test.exit_code is not None:
            return "it has arguments or an exit code"
        return "" if test.checker.type == "lines" else f"it compares by {test.checker.type!r}"
    if _is_code(test):
        return ""
    if test.raises or test.setup or test.arguments is not None or test.rel is not None or test.abs is not None:
        return "it looks at exceptions, arguments or tolerances, or sets something up"
    return "it looks at what a call prints and returns" if test.stdout is not None else ""


def _is_code(test: CallTest) -> bool:
    """Whether it is the code of a test, as it is imported."""
    code = textwrap.dedent(test.setup.partition("\n")[2])
    return test.call == RUN and test.stdout is not None and bool(code) and _set_up(code) == test.setup


def _case(test: IoTest | CallTest) -> tuple[str, str]:
    """Return the code that is appended to the program, and what it prints."""
    if isinstance(test, IoTest):
        return "", test.expected
    if _is_code(test) and test.stdout is not None:
        return textwrap.dedent(test.setup.partition("\n")[2]).rstrip("\n"), test.stdout
    given = [*map(repr, test.args), *(f"{name}={value!r}" for name, value in test.kwargs.items())]
    return f"print(repr({test.call}({', '.join(given)})))", f"{test.expected!r}\n"
