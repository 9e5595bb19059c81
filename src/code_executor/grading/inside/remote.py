"""What stands for objects of the program under test, which are in another sandbox: see `proxy`.

An object of the program's says of itself only what another object of the program's is asked about it: compared with a
plain value it is not equal. Else an object that is equal to everything would pass every test.
"""

from __future__ import annotations

import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DIFFERENCES = tuple(
    sign + name for name in ("sub", "truediv", "floordiv", "mod", "xor", "and", "or") for sign in ("", "r")
)
"""What tells how far two values are apart, so that one of them may be what a test expects: see `_arithmetic`."""

KNOWN_DUNDERS = ("__name__", "__qualname__", "__doc__", "__module__", "__annotations__", "__dict__")


class There:
    """Where an object of the program is: its number in one process of it, and its path in every one."""

    def __init__(self, program: Any, number: int, name: str, path: tuple[str, ...] | None = None) -> None:
        self.program = program
        self.number = number
        self.name = name
        self.path = path
        self.generation = program.generation

    def reference(self) -> dict[str, Any]:
        if self.generation == self.program.generation and self.number >= 0:
            return {"$handle": self.number}
        if self.path is not None:
            return {"$path": list(self.path)}
        raise self.program.end("an object belongs to a process of the program that has ended")

    def ask(self, do: str, *args: Any, **kwargs: Any) -> Any:
        return self.program.ask(do, self.reference(), *args, **kwargs)

    def get(self, name: str) -> Any:
        """Return an attribute, of which it is known how to find it again."""
        found = self.ask("get", name)
        if isinstance(found, Remote) and self.path is not None:
            object.__getattribute__(found, "_remote").path = (*self.path, name)
        return found


def there_of(remote: Any) -> There:
    found: There = object.__getattribute__(remote, "_remote")
    return found


class Remote:  # An object of the program, which has its own docstring.
    __slots__ = ("_remote",)
    __doc__ = property(lambda self: there_of(self).ask("get", "__doc__"))

    def __init__(self, there: There) -> None:
        object.__setattr__(self, "_remote", there)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in KNOWN_DUNDERS:
            raise AttributeError(name)
        return there_of(self).get(name)

    def __setattr__(self, name: str, value: Any) -> None:
        there_of(self).ask("set", name, value)

    def __delattr__(self, name: str) -> None:
        there_of(self).ask("del", name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return there_of(self).ask("call", *args, **kwargs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Remote) and there_of(self).ask("eq", other) is True

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return int(there_of(self).ask("hash"))

    def __bool__(self) -> bool:
        return there_of(self).ask("bool") is True

    def __str__(self) -> str:
        return str(there_of(self).ask("str"))

    def __repr__(self) -> str:
        return str(there_of(self).ask("repr"))

    def __format__(self, how: str) -> str:
        return str(there_of(self).ask("format", how))

    def __len__(self) -> int:
        return int(there_of(self).ask("len"))

    def __iter__(self) -> Any:
        return there_of(self).ask("iter")

    def __next__(self) -> Any:
        return there_of(self).ask("next")

    def __reversed__(self) -> Any:
        return there_of(self).ask("reversed")

    def __getitem__(self, key: Any) -> Any:
        return there_of(self).ask("item", key)

    def __setitem__(self, key: Any, value: Any) -> None:
        there_of(self).ask("setitem", key, value)

    def __delitem__(self, key: Any) -> None:
        there_of(self).ask("delitem", key)

    def __enter__(self) -> Any:
        return there_of(self).ask("enter")

    def __exit__(self, *args: object) -> bool:
        return there_of(self).ask("exit", *(None for _ in args)) is True

    def __instancecheck__(self, each: Any) -> bool:
        return isinstance(each, Remote) and there_of(self).ask("isinstance", each) is True

    def __subclasscheck__(self, each: Any) -> bool:
        return isinstance(each, Remote) and there_of(self).ask("issubclass", each) is True

    def __await__(self) -> Any:
        return awaited(there_of(self)).__await__()


def _ordering(name: str) -> Any:
    def compare(self: Remote, other: object) -> Any:
        return there_of(self).ask(name, other) if isinstance(other, Remote) else NotImplemented

    return compare


def _arithmetic(name: str) -> Any:
    """Compute with an object of the program's, which is not asked for its difference to a plain value.

    The plain value may be what a test expects (``assertAlmostEqual``): the program must not get it. And an object that
    gives 0 for the difference to anything would be almost equal to everything.
    """

    def compute(self: Remote, other: object) -> Any:
        if name in DIFFERENCES and not isinstance(other, Remote):
            return NotImplemented
        return there_of(self).ask(name, other)

    return compute


def _unary(name: str) -> Any:
    def compute(self: Remote) -> Any:
        return there_of(self).ask(name)

    return compute


for _name in ("lt", "le", "gt", "ge"):
    setattr(Remote, f"__{_name}__", _ordering(_name))
for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "matmul", "pow", "and", "or", "xor"):
    setattr(Remote, f"__{_name}__", _arithmetic(_name))
    setattr(Remote, f"__r{_name}__", _arithmetic(f"r{_name}"))
for _name in ("neg", "pos", "abs", "invert"):
    setattr(Remote, f"__{_name}__", _unary(_name))


class Module(types.ModuleType):
    """The program as a module: what tests import."""

    def __init__(self, name: str, program: Any) -> None:
        super().__init__(name, "The program that is tested.")
        self.__dict__["_remote"] = There(program, -1, name, ())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__all__":
            raise AttributeError(name)
        there: There = self.__dict__["_remote"]
        program = there.program
        if name == "__all__":
            return there.ask("names")
        if program.collecting and (program.broken or program.ended):
            return Remote(There(program, -1, name, (name,)))
        try:
            return there.get(name)
        except AttributeError:
            if not program.collecting:
                raise
        return Remote(There(program, -1, name, (name,)))  # and its tests fail, each by itself

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("__"):
            self.__dict__[name] = value
        else:
            self.__dict__["_remote"].ask("set", name, value)

    def __delattr__(self, name: str) -> None:
        self.__dict__["_remote"].ask("del", name)

    def __dir__(self) -> list[str]:
        return list(self.__dict__["_remote"].ask("dir"))


def change(mine: Any, now: Any) -> None:
    """Let an argument be as the program has left it."""
    if type(mine) is not type(now):
        return
    if isinstance(mine, list | bytearray):
        mine[:] = now
    elif isinstance(mine, dict | set):
        mine.clear()
        mine.update(now)


def of_remote(error: Any, name: str) -> Any:
    """Return an attribute of an exception of the program's."""
    there = error.__dict__.get("_remote")
    if there is None or name.startswith("__"):
        raise AttributeError(name)
    return there.ask("get", name)


def made(kind: type, there: There, args: tuple[Any, ...]) -> BaseException:
    error: BaseException
    try:
        error = kind(*args)
    except Exception:
        error = kind.__new__(kind)  # type: ignore[call-overload]
        error.args = args
    error.__dict__["_remote"] = there
    return error


async def awaited(there: There) -> Any:
    return there.ask("await")
