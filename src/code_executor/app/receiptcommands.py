"""``code-executor receipts``: verify a receipt, list the keys that receipts verify with, or make a new one."""

from __future__ import annotations

import http.client
import json
import sys
import urllib.request
from collections.abc import Sequence
from typing import Any

from code_executor.app.settings import Settings
from code_executor.core.errors import CodeExecutorError, ConfigurationError
from code_executor.grading.receipts import ReceiptError, verify
from code_executor.grading.signing import PublicKey, RingFile, key_set, keys_of_set

_WITHIN = 10.0
"""Seconds in which a server must give its keys."""

_MOST = 64 << 20
"""Bytes of a file with a receipt: a grade has texts beside it."""

_MOST_KEYS = 1 << 20


def add_parser(commands: Any) -> None:
    """Add the command to those of the command line."""
    receipts = commands.add_parser("receipts", help="the receipts of grades, and the keys that sign them")
    parts = receipts.add_subparsers(dest="action", required=True)
    checking = parts.add_parser("verify", help="say whether a receipt is genuine, and what it says")
    checking.add_argument("file", metavar="FILE", help="the receipt, or a grade that has one, as JSON (-: stdin)")
    checking.add_argument(
        "--keys",
        metavar="URL|FILE",
        help="the keys of the service: https://…/.well-known/code-executor-keys.json (default: those kept here)",
    )
    parts.add_parser("keys", help="print the public keys, as a JSON Web Key Set")
    parts.add_parser("rotate", help="make a new key, which signs from now on; older receipts still verify")


def run(options: dict[str, Any]) -> int:
    """Run the command; of `verify`, the exit status is 1 if the receipt is not genuine."""
    file = RingFile(Settings.load().receipt_keys_path())
    match options["action"]:
        case "verify":
            return _verify(options["file"], options["keys"], file)
        case "keys":
            ring = file.find()
            print(json.dumps(key_set(ring.keys if ring else ()), indent=2))
        case "rotate":
            had = file.find() is not None
            ring = file.rotate() if had else file.need()
            print(f"receipts are signed with the key {ring.keys[0].kid} from now on")
            if had:
                print(f"those of the {len(ring.keys) - 1} before it still verify")
    return 0


def _verify(path: str, keys: str | None, file: RingFile) -> int:
    text = _receipt(path)
    if keys is None:
        ring = file.find()
        if ring is None:
            raise ConfigurationError(f"there are no keys in {file.path}: name those of the service with --keys")
        known: Sequence[PublicKey] = ring.keys
    else:
        known = _keys(keys)
    try:
        claims = verify(text, known)
    except ReceiptError as error:
        print(f"{path}: not genuine: {error}", file=sys.stderr)
        return 1
    print(json.dumps(claims, indent=2, ensure_ascii=False))
    return 0


def _receipt(path: str) -> str:
    """Return the receipt in a file: the file is one, or it is a grade, or a job whose result is one."""
    text = _read(path, _MOST).decode("utf-8", "replace").strip()
    if not text.startswith("{"):
        return text
    try:
        said = json.loads(text)
        found = (said.get("result") or said).get("receipt")
    except (ValueError, AttributeError, RecursionError):
        raise ConfigurationError(f"{path} is neither a receipt nor a grade in JSON") from None
    if not isinstance(found, str):
        raise ConfigurationError(f"{path} has no receipt")
    return found


def _keys(source: str) -> tuple[PublicKey, ...]:
    """Return the keys at a URL or in a file; raise ``ConfigurationError``."""
    text = _fetch(source) if source.startswith(("http://", "https://")) else _read(source, _MOST_KEYS)
    try:
        return keys_of_set(text)
    except ValueError as error:
        raise ConfigurationError(f"{source}: {error}") from None


def _fetch(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=_WITHIN) as answer:  # noqa: S310  # http or https, as given
            text: bytes = answer.read(_MOST_KEYS)
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = getattr(error, "reason", error)
        raise CodeExecutorError(f"{url}: {why}") from None
    return text


def _read(path: str, most: int) -> bytes:
    try:
        if path == "-":
            return sys.stdin.buffer.read(most)
        with open(path, "rb") as file:
            return file.read(most)
    except OSError as error:
        raise CodeExecutorError(f"{path}: {error.strerror}") from None
