import json

import pytest

from bench.client import parse, request_bytes

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n" + b'{"a":1}'
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"


@pytest.mark.parametrize("response", [WHOLE, CHUNKED])
def test_a_response_is_there_when_its_last_byte_is(response: bytes) -> None:
    for end in range(len(response)):
        assert parse(response[:end]) is None
    assert parse(response) is not None


def test_a_response_has_its_status_and_body() -> None:
    assert parse(WHOLE) == (200, b'{"a":1}')
    refused = parse(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\ncontent-length: 0\r\n\r\n")
    assert refused == (503, b"")


def test_a_response_of_unknown_length_is_refused() -> None:
    with pytest.raises(ValueError, match="neither"):
        parse(b"HTTP/1.1 200 OK\r\n\r\n")


def test_a_request_says_how_long_its_body_is() -> None:
    head, _, body = request_bytes("host", "print('ü')", stream=True, timeout=5).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert b"Accept: text/event-stream" in head
    assert json.loads(body) == {"code": "print('ü')", "language": "python", "timeout": 5}
