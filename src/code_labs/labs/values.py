"""Python literals as the JSON values of tests. What JSON has no word for has a tag: ``{"$tuple": [1, 2]}``."""

from __future__ import annotations

import ast
import base64
import math
from typing import Any

_PLAIN_INT = 1 << 63


def encoded(value: Any) -> Any:
    """Return the JSON form of a value that a literal can write; raise ``ValueError`` for any other."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return value if -_PLAIN_INT < value < _PLAIN_INT else {"$int": hex(value)}
        case float():
            return value if math.isfinite(value) else {"$float": repr(value)}
        case complex():
            return {"$complex": [repr(value.real), repr(value.imag)]}
        case bytes():
            return {"$bytes": base64.b64encode(value).decode()}
        case list():
            return [encoded(each) for each in value]
        case tuple():
            return {"$tuple": [encoded(each) for each in value]}
        case set():
            return {"$set": sorted((encoded(each) for each in value), key=repr)}
        case dict():
            if all(isinstance(key, str) and not key.startswith("$") for key in value):
                return {key: encoded(each) for key, each in value.items()}
            return {"$dict": [[encoded(key), encoded(each)] for key, each in value.items()]}
    raise ValueError(f"{type(value).__name__} is no literal")


def written(node: ast.expr | str) -> Any:
    """Return the JSON form of an expression that is a literal; raise ``ValueError`` if it is none."""
    try:
        return encoded(ast.literal_eval(node))
    except (TypeError, SyntaxError, MemoryError, RecursionError):
        raise ValueError("no literal") from None


def spelled(value: Any) -> str:
    """Return how Python writes a JSON value; raise ``ValueError`` for one that a literal cannot write."""
    match value:
        case None | bool() | int() | float() | str():
            return repr(value)
        case list():
            return f"[{', '.join(map(spelled, value))}]"
        case {"$tuple": [one]}:
            return f"({spelled(one)},)"
        case {"$tuple": items}:
            return f"({', '.join(map(spelled, items))})"
        case {"$set": []}:
            return "set()"
        case {"$set": items}:
            return f"{{{', '.join(map(spelled, items))}}}"
        case {"$dict": pairs}:
            return f"{{{', '.join(f'{spelled(key)}: {spelled(each)}' for key, each in pairs)}}}"
        case {"$int": text}:
            return str(int(text, 16))
        case {"$bytes": text}:
            return repr(base64.b64decode(text))
        case dict() if not any(key.startswith("$") for key in value):
            return f"{{{', '.join(f'{key!r}: {spelled(each)}' for key, each in value.items())}}}"
    raise ValueError("no literal writes this value")
