"""JSON in pieces is the JSON that it would be in one."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_executor.api.pieces import PIECE, Bulk, answer_object, cost, event_object, pieces, utf8
from code_executor.core.codec import encode, result_object
from code_executor.core.models import CellDone, Display, File, Output, Reason, Result, Started

VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def whole(value: Any) -> Any:
    return json.loads(b"".join(pieces(value)))


@given(VALUES)
def test_any_value_comes_back(value: Any) -> None:
    assert whole(value) == json.loads(json.dumps(value))


@given(st.binary(max_size=300), st.integers(1, 3 * PIECE))
def test_bulk_is_what_it_would_be_at_once_wherever_it_is_cut(data: bytes, repeats: int) -> None:
    data = (data * (repeats // max(1, len(data)) + 1))[:repeats]
    assert whole({"a": Bulk(data, is_text=True)}) == {"a": data.decode("utf-8", "replace")}
    assert whole([Bulk(data, is_text=False)]) == [base64.b64encode(data).decode()]


def test_no_piece_is_much_larger_than_a_piece() -> None:
    value = {"text": "\ufffd" * (1 << 20), "bulk": Bulk(b"\xff" * (1 << 20), is_text=True), "small": [1] * 100_000}
    assert max(map(len, pieces(value))) < 5 * PIECE


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\ud83d\ude00 \U0001f600"])
def test_halves_of_characters_are_escaped(text: str) -> None:
    assert json.loads(utf8(json.dumps(text, ensure_ascii=False)).decode()) == json.loads(json.dumps(text))


def test_no_line_of_the_json_ends_but_at_its_end() -> None:
    text = "".join(map(chr, range(0x3000)))
    sent = b"".join(pieces({"data": text}))
    assert len(sent.decode().splitlines()) == 1
    assert json.loads(sent) == {"data": text}


def test_text_is_not_escaped_otherwise() -> None:
    assert b"".join(pieces("ä\ufffd")) == '"ä\ufffd"'.encode()


RESULT = Result(
    "1",
    Reason.COMPLETED,
    output="out",
    displays=(Display("text/html", b"<b>\xff"), Display("image/png", b"\x89")),
    files=(File("a/b.csv", b"1,2"),),
)


@pytest.mark.parametrize(
    "event", [Started("1", 0.5), Output("stdout", "x"), *RESULT.displays, *RESULT.files, RESULT], ids=type
)
def test_an_event_is_what_the_codec_says(event: Any) -> None:
    assert whole(event_object(event)) == json.loads(json.dumps(encode(event)))


def test_the_end_of_a_cell_is_a_result() -> None:
    assert whole(event_object(CellDone(RESULT))) == json.loads(json.dumps(encode(RESULT)))
    assert whole(answer_object(RESULT)) == json.loads(json.dumps(result_object(RESULT)))


def test_the_cost_is_what_it_holds() -> None:
    large = Result("1", Reason.COMPLETED, output="\ufffd" * 1000, displays=(Display("image/png", bytes(5000)),))
    assert 7000 < cost(large) < 8500
