"""Serves a learner's program to tests that run in another sandbox: requests come on stdin, answers go to stdout.

Both are lines of JSON. A request names something of the program and what to do with it; the answer is a value as data,
or a *handle*: a number for an object that stays here. What is expected of it all is not known here. Whoever takes this
over can answer anything, and has to know the right answer to gain by it.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import io
import json
import operator
import os
import sys
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from code_executor.grading.inside.harness import LONGEST_TEXT, Encoder, TooLargeError, decoded, failure

SIMPLE = (int, str, float, bytes)
"""What a member of an enumeration may also be, and is sent as."""

TUPLE_FIELDS = "_fields"


class GoneError(Exception):
    """Nobody asks any more."""


class Handles(Encoder):
    """Makes JSON of values; whatever is no plain data becomes a handle."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.server = server

    def value(self, value: Any, depth: int = 0) -> Any:
        enum = sys.modules.get("enum")
        if enum is not None and isinstance(value, enum.Enum):
            member: Any = value
            return super().value(member.value, depth) if isinstance(value, SIMPLE) else self.server.handle(value)
        if isinstance(value, BaseException):
            return self.server.handle(value)
        fields = getattr(type(value), TUPLE_FIELDS, None)
        if isinstance(value, tuple) and isinstance(fields, tuple) and len(fields) == len(value):
            items = [self.value(each, depth + 1) for each in tuple.__iter__(value)]
            return {"$named": [type(value).__name__, [str(field) for field in fields], items]}
        return super().value(value, depth)

    def other(self, value: Any, depth: int) -> Any:
        said = super().other(value, depth)
        return self.server.handle(value) if "$object" in said else said


class RemoteInput(io.TextIOBase):
    """The program's stdin: what the tests give it, line by line."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def readable(self) -> bool:
        return True

    def readline(self, size: int = -1) -> str:  # type: ignore[override]
        return str(self.server.ask({"input": "line"}))

    def read(self, size: int | None = -1) -> str:
        return str(self.server.ask({"input": "all"}))

    def __next__(self) -> str:  # type: ignore[override]
        line = self.readline()
        if not line:
            raise StopIteration
        return line


class Server:
    """Holds the objects that the tests know by handles, and answers one request at a time."""

    def __init__(self, module: str) -> None:
        self.name = module
        self.module: Any = None
        self.objects: list[Any] = []
        self.numbers: dict[int, int] = {}
        self.callbacks: dict[int, Any] = {}
        self.number: Any = None  # of the request under way
        self.incoming = sys.stdin  # which says when it waits, so that this is not the program's time
        self.outgoing = os.dup(1)
        os.dup2(2, 1)
        sys.stdin = RemoteInput(self)
        builtins.input = self.input

    # ---- lines

    def send(self, message: dict[str, Any]) -> None:
        line = json.dumps(message).encode("ascii") + b"\n"
        while line:
            line = line[os.write(self.outgoing, line) :]

    def receive(self) -> dict[str, Any]:
        line = self.incoming.readline()
        if not line.endswith("\n"):
            raise GoneError
        message: dict[str, Any] = json.loads(line)
        return message

    def serve(self) -> None:
        """Import the program, say how that went, and answer requests until nobody asks."""
        printed = io.StringIO()
        hello: dict[str, Any] = {"hello": True}
        try:
            with contextlib.redirect_stdout(printed):
                self.module = importlib.import_module(self.name)
        except BaseException as error:
            hello["failed"] = self.failure(error, shown=True)
        hello["printed"] = printed.getvalue()[:LONGEST_TEXT]
        self.send(hello)
        with contextlib.suppress(GoneError):
            while True:
                self.answer(self.receive())

    def ask(self, question: dict[str, Any]) -> Any:
        """Ask the tests something while they wait for an answer, and answer what they ask meanwhile."""
        number = self.number
        self.send({"question": number, **question})
        while True:
            message = self.receive()
            if "do" not in message:
                self.number = number
                break
            self.answer(message)
        if "raised" in message:
            kind = getattr(builtins, message["raised"][0], None)
            is_error = isinstance(kind, type) and issubclass(kind, Exception)
            raise (kind if is_error else RuntimeError)(message["raised"][1])  # type: ignore[misc]
        return self.decoded(message["value"])

    def input(self, prompt: object = "", /) -> str:
        return str(self.ask({"input": "input", "prompt": str(prompt)}))

    # ---- values

    def handle(self, value: Any) -> Any:
        number = self.numbers.get(id(value))
        if number is None:
            number = self.numbers[id(value)] = len(self.objects)
            self.objects.append(value)
        flags = []
        parents: list[Any] = []
        if isinstance(value, type):
            flags.append("class")
            if issubclass(value, BaseException):
                flags.append("exception")
                parents = self.parents(value)
        elif isinstance(value, types.CoroutineType):
            flags.append("coroutine")
        elif isinstance(value, BaseException):
            flags.append("raised")
            parents = self.parents(type(value))
        return {"$handle": [number, flags, type(value).__name__[:200], parents]}

    def parents(self, kind: type) -> list[Any]:
        """Name an exception's classes, the nearest first; those of the program have handles."""
        found: list[Any] = []
        for each in kind.__mro__[:20]:
            own = each.__module__ != "builtins"
            if own and id(each) not in self.numbers:
                self.numbers[id(each)] = len(self.objects)
                self.objects.append(each)
            found.append([each.__name__[:200], self.numbers[id(each)] if own else None])
        return found

    def failure(self, error: BaseException, *, shown: bool = False) -> dict[str, Any]:
        said = failure(error, self.name + ".py", shown=shown)
        said["parents"] = self.parents(type(error))
        said["handle"] = self.handle(error)
        try:
            said["args"] = [Handles(self).value(each) for each in error.args]
        except BaseException:
            said["args"] = []
        return said

    def decoded(self, said: Any) -> Any:
        """Make what the tests gave: values, objects that are here, and functions that are there."""
        if isinstance(said, list):
            return [self.decoded(each) for each in said]
        if not isinstance(said, dict):
            return said
        if "$handle" in said:
            return self.objects[said["$handle"]]
        if "$path" in said:
            return self.found(said["$path"])
        if "$callback" in said:
            return self.callback(said["$callback"])
        tag = next((key for key in said if key.startswith("$")), None)
        if tag is None:
            return {key: self.decoded(each) for key, each in said.items()}
        if tag in CONTAINERS:
            return CONTAINERS[tag](self.decoded(said[tag]))
        return decoded(said)

    def found(self, path: list[str]) -> Any:
        found = self.module
        for name in path:
            found = getattr(found, name)
        return found

    def callback(self, number: int) -> Any:
        """Return the function that stands for one of the tests: always the same, so that it can be found again."""
        if number in self.callbacks:
            return self.callbacks[number]

        def function(*args: Any, **kwargs: Any) -> Any:
            encoder = Handles(self)
            given = [encoder.value(each) for each in args]
            named = {name: encoder.value(each) for name, each in kwargs.items()}
            return self.ask({"callback": number, "args": given, "kwargs": named})

        self.callbacks[number] = function
        return function

    # ---- requests

    def answer(self, message: dict[str, Any]) -> None:
        self.number = message["number"]
        answer: dict[str, Any] = {}
        printed = io.StringIO()
        args: list[Any] = []
        try:
            target = self.decoded(message["of"])
            args = [self.decoded(each) for each in message["args"]]
            kwargs = {name: self.decoded(each) for name, each in message["kwargs"].items()}
            with contextlib.redirect_stdout(printed):
                answer["value"] = Handles(self).value(OPERATIONS[message["do"]](target, *args, **kwargs))
            if message["do"] == "call":
                answer["after"] = [self.changed(each) for each in args]
        except TooLargeError:
            answer = {"tooLarge": True}
        except GoneError:
            raise
        except BaseException as error:
            answer = {"raised": self.failure(error), "after": [self.changed(each) for each in args]}
        self.send({"answer": message["number"], "printed": printed.getvalue()[:LONGEST_TEXT], **answer})

    def changed(self, value: Any) -> Any:
        """Return what an argument is now, if it is one that can be changed."""
        if type(value) not in (list, dict, set, bytearray):
            return None
        try:
            return Handles(self).value(value)
        except TooLargeError:
            return None


CONTAINERS: Any = {
    "$tuple": tuple,
    "$set": set,
    "$frozenset": frozenset,
    "$dict": dict,
    "$slice": lambda parts: slice(*parts),
    "$bytearray": lambda parts: bytearray(parts[0]),
}


def own_names(module: Any) -> list[tuple[str, Any]]:
    """Return what ``import *`` takes of the program, but for the modules that it imports itself."""
    found = vars(module).items()
    return [(name, each) for name, each in found if name[:1] != "_" and not isinstance(each, types.ModuleType)]


BINARY: Any = {
    **{name: getattr(operator, name) for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "matmul", "pow")},
    "and": operator.and_,
    "or": operator.or_,
    "xor": operator.xor,
}

OPERATIONS: Any = {
    "call": lambda target, *args, **kwargs: target(*args, **kwargs),
    "get": getattr,
    "set": setattr,
    "del": delattr,
    "names": lambda target: getattr(target, "__all__", None) or [name for name, _ in own_names(target)],
    "dir": dir,
    "await": lambda target: importlib.import_module("asyncio").run(target),
    "len": len,
    "iter": iter,
    "next": next,
    "hash": hash,
    "str": str,
    "repr": repr,
    "format": format,
    "bool": bool,
    "item": operator.getitem,
    "setitem": operator.setitem,
    "delitem": operator.delitem,
    "isinstance": lambda target, each: isinstance(each, target),
    "issubclass": lambda target, each: issubclass(each, target),
    "enter": lambda target: target.__enter__(),
    "exit": lambda target, *args: target.__exit__(*args),
    "reversed": reversed,
    **{name: getattr(operator, name) for name in ("eq", "lt", "le", "gt", "ge")},
    **BINARY,
    **{f"r{name}": lambda target, each, do=do: do(each, target) for name, do in BINARY.items()},
    **{name: getattr(operator, name) for name in ("neg", "pos", "abs", "invert")},
}


def serve(module: str) -> None:
    Server(module).serve()
