"""What an object is shown as: IPython's display protocol, with methods that behave and methods that do not."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from sandbox_agent.child import complaints, rich
from sandbox_agent.child.rich import Form, Wanted

ALL = Wanted()
EVERY = {
    "_repr_png_": (b"png", Form("image/png", b"png")),
    "_repr_jpeg_": (b"jpeg", Form("image/jpeg", b"jpeg")),
    "_repr_svg_": ("<svg/>", Form("image/svg+xml", b"<svg/>")),
    "_repr_html_": ("<b>ü</b>", Form("text/html", "<b>ü</b>".encode())),
    "_repr_markdown_": ("**x**", Form("text/markdown", b"**x**")),
    "_repr_latex_": ("$x$", Form("text/latex", b"$x$")),
    "_repr_json_": ({"a": [1]}, Form("application/json", b'{"a": [1]}')),
}


def having(**methods: Any) -> Any:
    """Return an object whose methods return these values, or raise them."""

    def make(value: Any) -> Any:
        def method(_self: Any, **_options: Any) -> Any:
            if isinstance(value, Exception):
                raise value
            return value

        return method

    made = {name: make(value) for name, value in methods.items()}
    return type("Thing", (), {**made, "__repr__": lambda _self: "plain"})()


@pytest.mark.parametrize("name", EVERY)
def test_each_method_is_asked(name: str) -> None:
    value, form = EVERY[name]
    assert rich.richest(having(**{name: value}), ALL) == form
    assert rich.richest(having(**{name: (value, {"width": 4})}), ALL) == form


def test_the_richest_form_is_taken() -> None:
    names = list(EVERY)
    for index, name in enumerate(names):
        thing = having(**{other: EVERY[other][0] for other in names[index:]})
        assert rich.richest(thing, ALL) == EVERY[name][1]


def test_a_picture_may_be_in_base64() -> None:
    text = base64.b64encode(b"\x89PNG").decode()
    assert rich.richest(having(_repr_png_=text), ALL) == Form("image/png", b"\x89PNG")


def test_what_has_no_method_is_its_text() -> None:
    assert rich.richest(having(), ALL) == "plain"
    assert rich.richest(5, ALL) == "5"


@pytest.mark.parametrize("value", [None, NotImplementedError()])
def test_a_method_that_has_nothing_is_passed_over_in_silence(value: Any, capfd: pytest.CaptureFixture[str]) -> None:
    assert rich.richest(having(_repr_html_=value, _repr_markdown_="m"), ALL) == Form("text/markdown", b"m")
    assert rich.richest(having(_repr_html_=value, _repr_mimebundle_=value), ALL) == "plain"
    assert capfd.readouterr() == ("", "")


def test_a_method_that_raises_is_reported_and_passed_over(capsys: pytest.CaptureFixture[str]) -> None:
    assert rich.richest(having(_repr_html_=ValueError("broken"), _repr_latex_="l"), ALL) == Form("text/latex", b"l")
    error = capsys.readouterr().err
    assert error.startswith("Traceback (most recent call last):\n")
    assert error.endswith("ValueError: broken\n")
    assert "sandbox_agent" not in error


@pytest.mark.parametrize(
    ("name", "value"), [("_repr_html_", 5), ("_repr_svg_", b"<svg/>"), ("_repr_png_", 1.5), ("_repr_json_", 5)]
)
def test_a_method_that_returns_a_wrong_type_is_warned_of_and_passed_over(name: str, value: Any) -> None:
    with pytest.warns(complaints.FormatterWarning, match="Thing returned an object of type"):
        assert rich.richest(having(**{name: value}), ALL) == "plain"


def test_a_warning_names_the_line_that_shows_the_object() -> None:
    with pytest.warns(complaints.FormatterWarning) as caught:
        rich.richest(having(_repr_html_=5), ALL)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("value", [{"a": {1, 2}}, {"a": float("nan")}, "{"])
def test_what_is_no_json_is_reported(value: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert rich.richest(having(_repr_json_=value), ALL) == "plain"
    assert "Error" in capsys.readouterr().err


def test_a_bundle_has_forms_that_no_method_has() -> None:
    thing = having(_repr_mimebundle_={"text/html": "h", "text/plain": "p", "application/x-own": 1})
    assert rich.richest(thing, ALL) == Form("text/html", b"h")
    assert rich.richest(having(_repr_mimebundle_=({"text/latex": "l"}, {"text/latex": {}})), ALL) == Form(
        "text/latex", b"l"
    )
    assert rich.richest(having(_repr_mimebundle_={"text/plain": "p"}), ALL) == "p"
    assert rich.richest(having(_repr_mimebundle_={"text/html": "h"}, _repr_png_=b"p"), ALL) == Form("image/png", b"p")
    with pytest.warns(complaints.FormatterWarning, match="_repr_mimebundle_"):
        assert rich.richest(having(_repr_mimebundle_=[1]), ALL) == "plain"


def test_a_bundle_is_made_of_what_is_wanted() -> None:
    asked = []

    class Thing:
        def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
            asked.append((include, exclude))
            return {"text/html": "h", "text/markdown": "m"}

    assert rich.richest(Thing(), Wanted(("text/markdown",))) == Form("text/markdown", b"m")
    assert rich.richest(Thing(), Wanted(None, ("text/html",))) == Form("text/markdown", b"m")
    assert asked == [(("text/markdown",), None), (None, ("text/html",))]


def test_what_is_not_wanted_is_not_shown() -> None:
    thing = having(_repr_html_="h")
    assert rich.richest(thing, Wanted(("image/png",))) is None
    assert rich.richest(thing, Wanted(None, ("text/html",))) == "plain"
    assert rich.richest(thing, Wanted(None, ("text/html", "text/plain"))) is None


def test_a_class_is_not_shown_as_its_objects_are() -> None:
    class Thing:
        def _repr_html_(self) -> str:
            return "h"

    class Own:
        @classmethod
        def _repr_html_(cls) -> str:
            return "own"

    assert rich.richest(Thing, ALL) == repr(Thing)
    assert rich.richest(Own, ALL) == Form("text/html", b"own")


def test_an_object_that_claims_to_have_everything_is_its_text() -> None:
    class Everything:
        def __getattr__(self, name: str) -> Any:
            return lambda *_a, **_k: "no"

        def __repr__(self) -> str:
            return "everything"

    class Nothing(Everything):
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

    assert rich.richest(Everything(), ALL) == "everything"
    assert rich.richest(Nothing(), ALL) == "everything"


def test_an_object_may_show_itself() -> None:
    shown = []

    class Thing:
        def _ipython_display_(self) -> None:
            shown.append(self)

        def _repr_html_(self) -> str:
            raise AssertionError

    assert rich.richest(Thing(), ALL) is None
    assert len(shown) == 1
    refuses = having(_ipython_display_=NotImplementedError(), _repr_html_="h")
    assert rich.richest(refuses, ALL) == Form("text/html", b"h")


def test_a_bundle_by_itself_is_its_richest_form() -> None:
    assert rich.of_bundle({"text/plain": "p", "text/html": "h"}, ALL) == Form("text/html", b"h")
    assert rich.of_bundle({"text/plain": "p"}, ALL) == "p"
    assert rich.of_bundle({"application/x-own": "p"}, ALL) is None
