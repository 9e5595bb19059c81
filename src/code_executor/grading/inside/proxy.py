"""The program under test, as the tests of a suite see it: a module whose attributes are somewhere else.

The program runs in another sandbox (`served`); the host passes lines on between the two. What comes back is data, made
here into plain values, or a handle for an object that stays there. Two things follow, on which grades rest:

- What a test compares with an expected value is a plain value of this process, or it is not equal: an object of the
  program's says of itself only what another object of the program's is asked about it.
- A program that ends, hangs or sends what is no answer to the question has failed the test, whatever the test catches.
"""

from __future__ import annotations

import builtins
import collections
import io
import json
import os
import re
import sys
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from code_executor.grading.inside.harness import Encoder, TooLargeError, decoded
    from code_executor.grading.inside.remote import Module, Remote, There, awaited, change, made, of_remote, there_of

LONGEST_LINE = 4 << 20
MOST_TEXT = 4 << 20
"""Characters of an array of texts, each of which takes the room of the longest."""

MOST_STARTS = 500
"""Processes of the program in one run of tests."""


class ProgramEnded(BaseException):  # no Exception, so that no test takes it for one that it waits for
    """There is no answer, and there will be none."""


class MisuseError(TypeError):
    """A test does what cannot be done through this: it is the suite that is wrong, and not the program."""


class Strict:
    """Makes values of JSON that a learner's sandbox has sent. What is no value ends the program."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def value(self, said: Any, depth: int = 0) -> Any:
        if depth > 120:
            raise ValueError("too deep")
        if isinstance(said, list):
            return [self.value(each, depth + 1) for each in said]
        if not isinstance(said, dict):
            return said
        tags = [key for key in said if key.startswith("$")]
        if not tags:
            return {key: self.value(each, depth + 1) for key, each in said.items()}
        tag, content = tags[0], said[tags[0]]
        if tag == "$handle":
            return self.program.remote(content)
        if tag == "$named":
            name, fields, items = content
            made: Any = collections.namedtuple  # noqa: PYI024  # its fields are known only now
            kind = made(str(name), [str(field) for field in fields], rename=True)
            return kind(*[self.value(each, depth + 1) for each in items])
        if tag in ("$tuple", "$set", "$frozenset"):
            items = [self.value(each, depth + 1) for each in content]
            return {"$tuple": tuple, "$set": set, "$frozenset": frozenset}[tag](items)
        if tag == "$dict":
            return {self.value(key, depth + 1): self.value(each, depth + 1) for key, each in content}
        if tag == "$fraction" and not re.fullmatch(r"-?\d{1,4000}(/\d{1,4000})?", content):
            raise ValueError("no fraction")
        if tag == "$array":
            text = re.fullmatch(r"(?:bool|u?int\d+|float\d+|complex\d+|object|<U(\d{1,6}))", content["dtype"])
            if text is None or int(text[1] or 0) * len(content["values"]) > MOST_TEXT:
                raise ValueError("no array")
        if tag == "$object":
            raise ValueError("no value")
        return decoded(said)


class Giving(Encoder):
    """Makes JSON of what a test gives to the program: values, what came from it, and functions."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program

    def value(self, value: Any, depth: int = 0) -> Any:
        if isinstance(value, Remote):
            return there_of(value).reference()
        if isinstance(value, slice):
            return {"$slice": [self.value(each, depth + 1) for each in (value.start, value.stop, value.step)]}
        if isinstance(value, bytearray):
            return {"$bytearray": [super().value(bytes(value), depth)]}
        if isinstance(value, type) and value in self.program.exceptions:
            return {"$handle": self.program.exceptions[value]}
        return super().value(value, depth)

    def other(self, value: Any, depth: int) -> Any:
        said = super().other(value, depth)
        if "$object" not in said:
            return said
        if callable(value):
            return {"$callback": self.program.callback(value)}
        if isinstance(value, types.CoroutineType):
            raise TypeError("what can be awaited cannot be given back to the program")
        raise MisuseError(f"a test cannot give the program objects of the type {type(value).__name__}")


class Program:
    """The program that is tested: started anew when asked to, and asked one thing at a time."""

    def __init__(self) -> None:
        self.incoming = sys.stdin  # which says when it waits, so that this is not the tests' time
        self.outgoing = os.dup(1)
        os.dup2(2, 1)
        sys.stdin = io.StringIO()
        self.generation = 0
        self.number = 0
        self.ended = True
        self.why = "the program was not started"
        self.broken = ""
        """Why it cannot even be imported: it is not tried again."""
        self.failures = 0
        """How often there was no answer."""
        self.collecting = False
        self.misused = ""
        """What a test wanted to do that cannot be done with a program in another sandbox."""
        self.callbacks: list[Callable[..., Any]] = []
        self.unmet: BaseException | None = None
        """What a function of a test found wrong while the program called it."""
        self.classes: dict[str, type] = {}
        self.exceptions: dict[type, int] = {}

    # ---- lines

    def tell(self, sign: bytes, message: bytes = b"") -> None:
        line = sign + message + b"\n"
        while line:
            line = line[os.write(self.outgoing, line) :]

    def line(self) -> dict[str, Any]:
        """Return what the program says next; raise ``ProgramEnded``."""
        line = self.incoming.readline(LONGEST_LINE)
        if line.startswith("=") and line.endswith("\n"):
            try:
                message = json.loads(line[1:])
            except (ValueError, RecursionError):
                raise self.end("the program sent what is no answer") from None
            if isinstance(message, dict):
                return message
            raise self.end("the program sent what is no answer")
        raise self.end(line[1:].strip() or "the program ended before it answered")

    def end(self, why: str) -> ProgramEnded:
        """Note that this process of the program is of no more use."""
        self.ended, self.why, self.unmet = True, why, None
        self.failures += 1
        return ProgramEnded(why)

    def start(self) -> None:
        """Start another process of the program, unless the last one is as good as new."""
        if self.broken or self.generation >= MOST_STARTS or not (self.ended or self.number):
            return
        self.generation += 1
        self.number = 0
        self.callbacks.clear()
        self.exceptions.clear()
        self.tell(b"!")
        self.ended = False
        while self.incoming.readline(LONGEST_LINE) not in ("+\n", ""):
            pass  # of the process before
        try:
            hello = self.line()
        except ProgramEnded as error:
            self.broken = str(error)
            return
        self.show(hello)
        if "failed" in hello:
            try:
                self.broken = f"{hello['failed']['types'][0]}: {hello['failed']['message']}"[:500]
            except (TypeError, LookupError):
                self.broken = "the program sent what is no answer"
            self.ended = True

    # ---- asking

    def ask(self, do: str, of: Any, *args: Any, **kwargs: Any) -> Any:
        """Have something done with an object of the program, and return what comes of it, or raise what it raised."""
        if self.broken:
            self.failures += 1
            raise ProgramEnded(f"the program cannot be imported: {self.broken}")
        if self.ended:
            self.failures += 1
            raise ProgramEnded(self.why)
        giving = Giving(self)
        self.number += 1
        number = self.number
        try:
            given = [giving.value(each) for each in args]
            named = {name: giving.value(each) for name, each in kwargs.items()}
        except TooLargeError:
            self.misused = "a test gives the program more than 1 MB, or 90,000 items"
            raise MisuseError(self.misused) from None
        except MisuseError as error:
            self.misused = str(error)
            raise
        self.tell(
            b">",
            json.dumps({"number": number, "do": do, "of": of, "args": given, "kwargs": named}).encode("ascii"),
        )
        while True:
            message = self.line()
            if message.get("question") == number:
                self.reply(message)
                continue
            if message.get("answer") != number:
                raise self.end("the program sent what is no answer")
            if self.unmet is not None:  # whatever the program made of it
                unmet, self.unmet = self.unmet, None
                raise unmet
            return self.outcome(message, args)

    def outcome(self, message: dict[str, Any], args: tuple[Any, ...]) -> Any:
        self.show(message)
        if message.get("tooLarge"):
            raise self.end("what the program returned is too large")
        strict = Strict(self)
        try:
            for mine, said in zip(args, message.get("after") or (), strict=False):
                if said is not None:
                    change(mine, strict.value(said))
            if "raised" in message:
                raised = self.raised(message["raised"])
            else:
                return strict.value(message["value"])
        except ProgramEnded:
            raise
        except Exception:
            raise self.end("the program sent what is no value") from None
        raise raised

    def reply(self, message: dict[str, Any]) -> None:
        """Answer what the program asks while it works: its input, or a function that a test gave it."""
        strict = Strict(self)
        answer: dict[str, Any]
        try:
            if "input" in message:
                value = self.input(message)
            else:
                function = self.callbacks[int(message["callback"])]
                given = [strict.value(each) for each in message["args"]]
                value = function(*given, **{name: strict.value(each) for name, each in message["kwargs"].items()})
            answer = {"value": Giving(self).value(value)}
        except ProgramEnded:
            raise
        except MisuseError as error:
            self.misused = str(error)
            answer = {"raised": ["TypeError", str(error)]}
        except Exception as error:
            if isinstance(error, AssertionError):
                self.unmet = error
            # what an assertion says is not for the program
            answer = {"raised": [type(error).__name__, "" if error is self.unmet else str(error)]}
        except BaseException as error:  # as pytest.fail raises it
            self.unmet = error
            answer = {"raised": ["AssertionError", ""]}
        self.tell(b">", json.dumps(answer).encode("ascii"))

    @staticmethod
    def input(message: dict[str, Any]) -> str:
        kind = message["input"]
        if kind == "input":
            return builtins.input(str(message.get("prompt", "")))
        return sys.stdin.readline() if kind == "line" else sys.stdin.read()

    @staticmethod
    def show(message: dict[str, Any]) -> None:
        printed = message.get("printed")
        if isinstance(printed, str) and printed:
            sys.stdout.write(printed)

    # ---- what it has

    def callback(self, function: Callable[..., Any]) -> int:
        if function not in self.callbacks:
            self.callbacks.append(function)
        return self.callbacks.index(function)

    def remote(self, content: Any, path: tuple[str, ...] | None = None) -> Any:
        """Return what stands for an object of the program."""
        number, flags, name, parents = content
        there = There(self, int(number), str(name), path)
        if "exception" in flags:
            return self.exception(parents)
        if "raised" in flags:
            return made(self.exception(parents), there, ())
        if "coroutine" in flags:
            return awaited(there)
        return Remote(there)

    def exception(self, parents: Any) -> type:
        """Return the class here that stands for an exception of the program's, whose nearest builtin is its base.

        It is the same for all of that name, in each process of the program: tests know it from the first one.
        """
        base: type = BaseException
        own: list[tuple[str, int]] = []
        for name, number in parents:
            if number is None:
                found = getattr(builtins, str(name), None)
                if isinstance(found, type) and issubclass(found, BaseException):
                    base = found
                break
            own.append((str(name), int(number)))
        if base in (BaseException, KeyboardInterrupt, GeneratorExit):
            base = ProgramFailure
        for name, number in reversed(own):
            if name not in self.classes:
                self.classes[name] = type(name, (base,), {"__module__": "solution", "__getattr__": of_remote})
            base = self.classes[name]
            self.exceptions[base] = number
        return base

    def raised(self, said: Any) -> BaseException:
        number, _, name, _ = said["handle"]["$handle"]
        args = [Strict(self).value(each) for each in said.get("args") or ()]
        error = made(self.exception(said["parents"]), There(self, int(number), str(name)), tuple(args))
        if not args and said.get("message"):
            error.args = (str(said["message"]),)
        return error


class ProgramFailure(Exception):  # noqa: N818  # what stands for an exception that is none of the usual ones
    """The program raised something that is no ``Exception``."""


def installed(name: str) -> Program:
    """Put the program under its name where ``import`` finds it, and return it."""
    program = Program()
    sys.modules[name] = Module(name, program)
    return program
