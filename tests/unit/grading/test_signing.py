"""The keys of receipts: made once, readable by their owner alone, and remembered when there is a newer one."""

from __future__ import annotations

import json
import stat
import threading
from pathlib import Path

import pytest

from code_executor.core.errors import ConfigurationError
from code_executor.grading.receipts import ReceiptForgedError, sign, verify
from code_executor.grading.signing import PublicKey, Ring, RingFile, from_text, key_set, keys_of_set, to_text

CLAIMS = {
    "iss": "x",
    "iat": 1,
    "jti": "0f",
    "code": "",
    "files": {},
    "env": {},
    "policy": "",
    "limits": {},
    "server": "1",
    "engine": "native",
    "tests": [],
    "score": None,
    "max": 1.0,
}


@pytest.fixture
def file(tmp_path: Path) -> RingFile:
    return RingFile(str(tmp_path / "data/receipt-keys.json"))


def test_no_keys_are_made_by_looking(file: RingFile) -> None:
    assert file.find() is None
    assert not Path(file.path).parent.exists()


def test_keys_are_made_at_first_need_for_their_owner_alone(file: RingFile) -> None:
    ring = file.need()
    assert stat.S_IMODE(Path(file.path).stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(file.path).parent.stat().st_mode) == 0o700
    assert file.need() == file.find() == RingFile(file.path).find() == ring
    assert [each.name for each in Path(file.path).parent.iterdir()] == ["receipt-keys.json"]


def test_all_who_make_them_at_once_have_the_same(file: RingFile) -> None:
    start, found = threading.Barrier(8), []

    def make() -> None:
        mine = RingFile(file.path)
        start.wait()
        found.append(mine.need())

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert {ring.issuer for ring in found} == {found[0].issuer}


def test_a_new_key_signs_and_the_old_one_still_verifies(file: RingFile) -> None:
    first = file.need()
    other = RingFile(file.path)  # of another process
    other.need()
    old = sign(CLAIMS, first)
    second = file.rotate()
    assert second.issuer == first.issuer
    assert second.seal == first.seal
    assert second.keys == (PublicKey.of_private(second.private), *first.keys)
    assert stat.S_IMODE(Path(file.path).stat().st_mode) == 0o600
    assert to_text(first.private) not in Path(file.path).read_text()
    assert other.find() == second
    new = sign(CLAIMS, second)
    assert verify(old, second.keys) == verify(new, second.keys) == CLAIMS
    with pytest.raises(ReceiptForgedError):
        verify(new, first.keys)


def test_of_two_who_rotate_at_once_both_keys_stay(file: RingFile) -> None:
    file.need()
    threads = [threading.Thread(target=RingFile(file.path).rotate) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ring = file.find()
    assert ring is not None
    assert len(set(ring.keys)) == 7


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"issuer": 1, "keys": [], "private": "", "seal": ""}'])
def test_a_file_with_something_else_is_named_and_left_alone(file: RingFile, text: str) -> None:
    Path(file.path).parent.mkdir()
    Path(file.path).write_text(text)
    for attempt in (file.find, file.need, file.rotate):
        with pytest.raises(ConfigurationError, match="does not have keys of receipts"):
            attempt()
    assert Path(file.path).read_text() == text


def test_a_private_key_that_is_not_the_first_public_one_is_refused(file: RingFile) -> None:
    file.need()
    told = json.loads(Path(file.path).read_text())
    Path(file.path).write_text(json.dumps({**told, "private": to_text(bytes(32))}))
    with pytest.raises(ConfigurationError, match="does not have keys of receipts"):
        file.find()


def test_where_no_file_can_be_made_the_error_says_so() -> None:
    with pytest.raises(ConfigurationError, match="cannot be made"):
        RingFile("/proc/nonexistent/receipt-keys.json").need()


def test_what_is_private_is_not_shown() -> None:
    ring = Ring.new()
    assert "private" not in repr(ring)
    assert repr(ring.private) not in repr(ring)
    assert repr(ring.seal) not in repr(ring)


def test_a_thumbprint_is_that_of_the_standard() -> None:
    # RFC 8037, appendix A.3
    key = PublicKey(from_text("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"))
    assert key.kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    # appendix A.1
    private = from_text("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
    assert PublicKey.of_private(private) == key


def test_public_keys_are_read_from_a_set_as_they_are_written() -> None:
    ring = Ring.new().rotated()
    told = key_set(ring.keys)
    assert keys_of_set(json.dumps(told).encode()) == ring.keys
    assert set(told["keys"][0]) == {"kty", "crv", "x", "kid", "use", "alg"}
    told["keys"].append({"kty": "RSA", "n": "AQAB", "e": "AQAB"})
    told["keys"][0]["kid"] = told["keys"][1]["kid"]
    assert keys_of_set(json.dumps(told).encode()) == ring.keys


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"keys": 1}', '{"keys": [1]}', '{"keys": [{"crv": "Ed25519", "x": "AA"}]}', "[" * 100_000]
)
def test_a_set_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        keys_of_set(text.encode())


@pytest.mark.parametrize("text", ["A", "AB", "AA==", "A A", "AAA+", "\u00e9\u00e9"])
def test_there_is_one_way_to_write_bytes(text: str) -> None:
    with pytest.raises(ValueError):
        from_text(text)
