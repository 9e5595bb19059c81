"""Frames mean the same however they arrive, and nothing that is not one is taken for one."""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_agent.contract import protocol
from sandbox_agent.contract.protocol import (
    EVENT,
    MAX_BODY,
    Cause,
    Command,
    Event,
    EventReader,
    EventType,
    Outcome,
    ProtocolError,
    Record,
    RecordReader,
)

EVENTS = st.builds(Event, st.sampled_from(EventType), st.integers(0, 0xFFFF), st.binary(max_size=300))
OUTCOMES = st.builds(
    Outcome,
    cause=st.sampled_from(Cause),
    exit_code=st.integers(0, 255),
    signal=st.integers(0, 255),
    truncated=st.booleans(),
    syscall=st.integers(0, 2**32 - 1),
    wall_us=st.integers(0, 2**64 - 1),
    cpu_us=st.integers(0, 2**64 - 1),
    memory=st.integers(0, 2**64 - 1),
)


def frames(events: list[Event]) -> bytes:
    return b"".join(protocol.event(*event) for event in events)


@pytest.mark.fuzz
@given(events=st.lists(EVENTS, max_size=8), data=st.data())
def test_the_same_events_come_of_the_same_bytes_in_any_pieces(events: list[Event], data: st.DataObject) -> None:
    stream = frames(events)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=20))
    reader = EventReader()
    pieces = [stream[start:end] for start, end in pairwise([0, *sorted(cuts), len(stream)])]
    assert [event for piece in pieces for event in reader.feed(piece)] == events


def test_one_byte_at_a_time_is_enough() -> None:
    events = [Event(kind, 7, bytes(range(kind))) for kind in EventType]
    reader = EventReader()
    assert [event for byte in frames(events) for event in reader.feed(bytes([byte]))] == events


@pytest.mark.fuzz
@given(st.lists(st.binary(max_size=200), max_size=10))
def test_garbage_is_events_or_a_protocol_error_and_nothing_else(pieces: list[bytes]) -> None:
    reader = EventReader()
    try:
        for piece in pieces:
            for event in reader.feed(piece):
                assert isinstance(event.type, EventType)
                assert len(event.body) <= MAX_BODY
    except ProtocolError:
        pass


@pytest.mark.fuzz
@given(events=st.lists(EVENTS, min_size=1, max_size=4), at=st.integers(0), bit=st.integers(0, 7))
def test_a_damaged_stream_is_events_or_a_protocol_error_and_nothing_else(
    events: list[Event], at: int, bit: int
) -> None:
    stream = bytearray(frames(events))
    stream[at % len(stream)] ^= 1 << bit
    try:
        received = EventReader().feed(bytes(stream))
    except ProtocolError:
        return
    assert all(isinstance(event.type, EventType) for event in received)


@pytest.mark.parametrize("kind", [0, max(EventType) + 1, 255])
def test_an_unknown_type_is_refused_before_its_body_comes(kind: int) -> None:
    with pytest.raises(ProtocolError, match=f"unknown frame type {kind}"):
        EventReader().feed(EVENT.pack(kind, 0, 1, 1000))


@pytest.mark.parametrize("length", [MAX_BODY + 1, 2**31, 2**32 - 1])
def test_a_body_that_is_too_large_is_refused_before_it_comes(length: int) -> None:
    with pytest.raises(ProtocolError, match=f"{length} bytes"):
        EventReader().feed(EVENT.pack(EventType.STDOUT, 0, 1, length))


def test_the_largest_body_is_taken() -> None:
    body = bytes(MAX_BODY)
    assert EventReader().feed(protocol.event(EventType.STDOUT, 1, body)) == [Event(EventType.STDOUT, 1, body)]


def test_no_more_than_one_frame_is_kept() -> None:
    reader = EventReader()
    frame = protocol.event(EventType.STDOUT, 1, bytes(MAX_BODY))
    for _ in range(5):
        for start in range(0, len(frame), 100_000):
            reader.feed(frame[start : start + 100_000])
            assert len(reader._buffer) <= MAX_BODY + EVENT.size
    assert len(reader._buffer) == 0
    assert len(reader.feed(protocol.event(EventType.STDOUT, 1, b"x") * 50_000)) == 50_000
    assert len(reader._buffer) == 0


@pytest.mark.fuzz
@given(OUTCOMES)
def test_an_outcome_survives_the_wire(outcome: Outcome) -> None:
    assert Outcome.unpack(outcome.pack()) == outcome


@pytest.mark.fuzz
@given(st.binary(max_size=80))
def test_a_malformed_outcome_is_a_protocol_error(body: bytes) -> None:
    try:
        outcome = Outcome.unpack(body)
    except ProtocolError:
        return
    assert len(body) == len(outcome.pack())
    assert outcome.cause in Cause


@pytest.mark.parametrize(
    "body", [b"", Outcome(Cause.EXIT).pack()[:-1], Outcome(Cause.EXIT).pack() + b"\0", b"\xff" * 32]
)
def test_an_outcome_of_another_shape_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(ProtocolError, match="malformed result"):
        Outcome.unpack(body)


def test_the_bytes_on_the_wire_are_the_documented_ones() -> None:
    """Both ends come from one file, so only this notices that it changed without `VERSION`."""
    run = protocol.command(Command.RUN, 0x0102, b"xyz", flags=1, wall_ms=0x03040506, cpu_ms=7, output_bytes=8)
    assert run == bytes.fromhex("01 01 0102 00000003 03040506 00000007 00000008") + b"xyz"
    assert protocol.command(Command.CANCEL, 1) == bytes.fromhex("03 00 0001 00000000 00000000 00000000 00000000")
    assert protocol.event(EventType.RESULT, 0xFFFF, b"ab") == bytes.fromhex("05 00 ffff 00000002") + b"ab"
    outcome = Outcome(Cause.SIGNAL, exit_code=0, signal=9, truncated=True, syscall=1, wall_us=2, cpu_us=3, memory=4)
    assert outcome.pack() == bytes.fromhex("04 00 09 01 00000001") + struct.pack(">QQQ", 2, 3, 4)


@pytest.mark.parametrize(
    "options", [{"run": 0x10000}, {"run": -1}, {"wall_ms": 2**32}, {"output_bytes": -1}, {"flags": 256}]
)
def test_a_command_that_does_not_fit_is_never_sent(options: dict[str, Any]) -> None:
    with pytest.raises(struct.error):
        protocol.command(Command.RUN, **{"run": 1, **options})


# ---- streams of records, which a program can write to

RECORDS = st.builds(Record, st.text(max_size=20), st.binary(max_size=60))


@pytest.mark.fuzz
@given(records=st.lists(RECORDS, max_size=6), data=st.data())
def test_the_same_records_come_of_the_same_bytes_in_any_pieces(records: list[Record], data: st.DataObject) -> None:
    stream = b"".join(protocol.record(*record) for record in records)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=12))
    reader = RecordReader(1 << 20)
    pieces = [stream[start:end] for start, end in pairwise([0, *sorted(cuts), len(stream)])]
    assert [record for piece in pieces for record in reader.feed(piece)] == records


@pytest.mark.fuzz
@given(st.lists(st.binary(max_size=100), max_size=8))
def test_what_is_no_record_is_dropped(pieces: list[bytes]) -> None:
    reader = RecordReader(200)
    found = [record for piece in pieces for record in reader.feed(piece)]
    assert sum(len(record.data) for record in found) <= 200
    assert len(reader._buffer) <= 200


def test_after_the_first_thing_that_is_no_record_nothing_is_believed() -> None:
    reader = RecordReader(1 << 20)
    bad = protocol.RECORD.pack(2, 1) + b"\xff\xfe" + b"x"
    assert reader.feed(protocol.record("a", b"1") + bad + protocol.record("b", b"2")) == [Record("a", b"1")]
    assert reader.feed(protocol.record("c", b"3")) == []


def test_no_more_records_are_read_than_anybody_needs() -> None:
    reader = RecordReader(1 << 30)
    assert len(reader.feed(protocol.record("a", b"") * (protocol.MOST_RECORDS + 5))) == protocol.MOST_RECORDS
    assert reader.feed(protocol.record("a", b"")) == []


def test_no_more_is_kept_than_was_allowed() -> None:
    reader = RecordReader(1000)
    announced = protocol.RECORD.pack(1, 2**32 - 1) + b"a"
    reader.feed(announced)
    for _ in range(100):
        assert reader.feed(bytes(100)) == []
        assert len(reader._buffer) <= 1000
