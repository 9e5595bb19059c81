"""IPython's display protocol: from an object to the richest form that it has of itself.

Libraries know how a notebook shows their objects by the methods that it calls: ``_repr_html_`` and its like,
``_repr_mimebundle_`` for several forms at once, ``_ipython_display_`` for an object that shows itself. A method that
raises is reported and passed over; so is one that returns something else than it may, and silently one that returns
None or raises NotImplementedError.
"""

from __future__ import annotations

import base64
import json
import types
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from sandbox_agent.child import complaints

METHODS = {
    "image/png": "_repr_png_",
    "image/jpeg": "_repr_jpeg_",
    "image/svg+xml": "_repr_svg_",
    "text/html": "_repr_html_",
    "text/markdown": "_repr_markdown_",
    "text/latex": "_repr_latex_",
    "application/json": "_repr_json_",
}
"""By media type, the richest first."""

PLAIN = "text/plain"

_PICTURES = frozenset({"image/png", "image/jpeg"})
_JSON = "application/json"
_CANARY = "_ipython_canary_method_should_not_exist_"


class Form(NamedTuple):
    media_type: str
    data: bytes


class Wanted(NamedTuple):
    """Which media types are wanted: those of ``include`` (None: all) that are not in ``exclude``."""

    include: Collection[str] | None = None
    exclude: Collection[str] | None = None

    def has(self, media_type: str) -> bool:
        return (self.include is None or media_type in self.include) and media_type not in (self.exclude or ())


def richest(thing: object, wanted: Wanted) -> Form | str | None:
    """Return a form of ``thing``, or its text if it has no richer one; None if there is nothing (more) to be shown."""
    if (show_itself := _method(thing, "_ipython_display_")) and _attempt(show_itself) is not _NOTHING:
        return None
    bundle: dict[str, Any] = {}
    if make_bundle := _method(thing, "_repr_mimebundle_"):
        made = _without_metadata(_attempt(make_bundle, include=wanted.include, exclude=wanted.exclude))
        if isinstance(made, dict):
            bundle = made
        elif made is not None and made is not _NOTHING:
            _warn_of_type("_repr_mimebundle_", made, "dict", thing)
    for media_type, name in METHODS.items():
        if wanted.has(media_type) and (form := _form(thing, media_type, bundle, name)) is not None:
            return form
    if not wanted.has(PLAIN):
        return None
    text = bundle.get(PLAIN)
    return text if isinstance(text, str) else complaints.call(repr, thing)


def of_bundle(bundle: dict[str, Any], wanted: Wanted) -> Form | str | None:
    """Return the richest form in a bundle of them."""
    for media_type in METHODS:
        if wanted.has(media_type) and (form := _form(bundle, media_type, bundle)) is not None:
            return form
    text = bundle.get(PLAIN)
    return text if isinstance(text, str) and wanted.has(PLAIN) else None


def _form(thing: object, media_type: str, bundle: dict[str, Any], name: str = "") -> Form | None:
    value = _without_metadata(bundle.get(media_type))
    data = _data(media_type, value, thing) if value is not None else None
    if data is None and name and (method := _method(thing, name)):
        value = _without_metadata(_attempt(method))
        data = _data(media_type, value, thing) if value is not None and value is not _NOTHING else None
    return None if data is None else Form(media_type, data)


def _data(media_type: str, value: object, thing: object) -> bytes | None:
    """Return a method's value as the bytes that are sent; None if it is of no type that the method may return."""
    try:
        if media_type in _PICTURES:
            if isinstance(value, (bytes, bytearray)):
                return bytes(value)
            if isinstance(value, str):  # in base64
                return base64.b64decode(value)
        elif media_type == _JSON:
            if isinstance(value, str):
                return json.dumps(json.loads(value), allow_nan=False).encode()
            if isinstance(value, (dict, list)):
                return json.dumps(value, allow_nan=False).encode()
        elif isinstance(value, str):
            return value.encode("utf-8", "replace")
    except Exception as error:
        complaints.report(error)
        return None
    expected = "bytes or str" if media_type in _PICTURES else "dict or list" if media_type == _JSON else "str"
    _warn_of_type(media_type, value, expected, thing)
    return None


# ---- calling the program


_NOTHING = object()
"""What `_attempt` returns where a method says, or shows by failing, that it has nothing."""


def _method(thing: object, name: str) -> Callable[..., Any] | None:
    """Return a method to be called; None for that of the objects of a class, where the class itself is shown."""
    try:
        if getattr(thing, _CANARY, None) is not None:
            return None  # it claims to have everything that it is asked for
        found = getattr(thing, name, None)
    except Exception:
        return None
    if isinstance(thing, type) and not isinstance(found, types.MethodType):
        return None
    return found if callable(found) else None


def _attempt(method: Callable[..., Any], **arguments: Any) -> Any:
    try:
        return complaints.call(method, **arguments)
    except NotImplementedError:
        pass
    except Exception as error:
        complaints.report(error)
    return _NOTHING


def _without_metadata(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) and len(value) == 2 else value


def _warn_of_type(what: str, value: object, expected: str, thing: object) -> None:
    found = type(value).__name__
    whose = type(thing).__name__
    complaints.warn(
        f"{what} of {whose} returned an object of type {found}, which must be {expected}", complaints.FormatterWarning
    )
