"""What receipts are signed with: keys of Ed25519 in a file beside the server secret, made with the first receipt.

One key signs. Of those before it the file has the public half alone, so that what they have signed still verifies. The
file also has a secret that never changes, which seals what a learner's receipt holds for this service alone.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from code_executor.core.errors import ConfigurationError

FILE = "receipt-keys.json"
"""What the file is called, in the directory of what the server keeps."""

_LENGTH = 32
_MOST = 1 << 20
"""Bytes of a file or a list of keys."""


def to_text(data: bytes) -> str:
    """Return bytes as base64url without padding, as JOSE has it."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def from_text(text: str) -> bytes:
    """Return the bytes that `to_text` was given; raise ``ValueError`` for any other text."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
    if to_text(data) != text:  # the same bytes, written in another way
        raise ValueError("not the one way to write these bytes")
    return data


@dataclass(frozen=True, slots=True)
class PublicKey:
    """What verifies; ``x``: 32 bytes."""

    x: bytes

    @property
    def kid(self) -> str:
        """Its thumbprint (RFC 7638)."""
        told = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": to_text(self.x)}, separators=(",", ":"))
        return to_text(hashlib.sha256(told.encode()).digest())

    def jwk(self) -> dict[str, str]:
        """Return it as JSON Web Keys are written (RFC 8037)."""
        return {"kty": "OKP", "crv": "Ed25519", "x": to_text(self.x), "kid": self.kid, "use": "sig", "alg": "EdDSA"}

    @classmethod
    def of_private(cls, seed: bytes) -> PublicKey:
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415  # takes long to import

        return cls(ed25519.Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw())


@dataclass(frozen=True, slots=True)
class Ring:
    """``issuer``: who signs, for ever. ``private``: the seed of the first of ``keys``. ``seal``: see above."""

    issuer: str
    keys: tuple[PublicKey, ...]
    private: bytes = field(repr=False)
    seal: bytes = field(repr=False)

    @classmethod
    def new(cls) -> Ring:
        private = secrets.token_bytes(_LENGTH)
        issuer = f"code-executor:{secrets.token_hex(8)}"
        return cls(issuer, (PublicKey.of_private(private),), private, secrets.token_bytes(_LENGTH))

    def rotated(self) -> Ring:
        """Return a ring with a new key, which forgets how to sign with the one before."""
        private = secrets.token_bytes(_LENGTH)
        return replace(self, private=private, keys=(PublicKey.of_private(private), *self.keys))

    def _text(self) -> str:
        told = {
            "issuer": self.issuer,
            "private": to_text(self.private),
            "seal": to_text(self.seal),
            "keys": [to_text(key.x) for key in self.keys],
        }
        return json.dumps(told, indent=1) + "\n"

    @classmethod
    def _of_text(cls, text: bytes) -> Ring:
        """Return the ring that was written; raise ``ValueError``, ``TypeError``, ``LookupError`` or the like."""
        told = json.loads(text)
        keys = tuple(PublicKey(_exact(each)) for each in told["keys"])
        ring = cls(str(told["issuer"]), keys, _exact(told["private"]), _exact(told["seal"]))
        if keys[:1] != (PublicKey.of_private(ring.private),):
            raise ValueError("its first public key is not that of its private one")
        return ring


def _exact(text: str) -> bytes:
    data = from_text(text)
    if len(data) != _LENGTH:
        raise ValueError(f"a key has {_LENGTH} bytes")
    return data


def key_set(keys: Sequence[PublicKey]) -> dict[str, Any]:
    """Return public keys as a JSON Web Key Set (RFC 7517)."""
    return {"keys": [key.jwk() for key in keys]}


def keys_of_set(text: bytes) -> tuple[PublicKey, ...]:
    """Return the keys of a JSON Web Key Set that can have signed a receipt; raise ``ValueError``.

    A key is known by its thumbprint, whatever the set calls it.
    """
    try:
        told = json.loads(text)["keys"]
        return tuple(PublicKey(_exact(each["x"])) for each in told if each.get("crv") == "Ed25519")
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a JSON Web Key Set: {error!r}") from None


class RingFile:
    """The file. It is read again when it has changed. Each method raises ``ConfigurationError`` where it cannot be."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._seen: tuple[tuple[int, ...], Ring] | None = None

    def __repr__(self) -> str:
        return f"<RingFile {self.path}>"

    def find(self) -> Ring | None:
        """Return the ring; None where there is no file."""
        with self._lock:
            try:
                status = os.stat(self.path)
                mark = (status.st_ino, status.st_mtime_ns, status.st_size)
                if self._seen is None or self._seen[0] != mark:
                    self._seen = mark, self._read()
            except FileNotFoundError:
                return None
            except OSError as error:
                raise self._unusable("read", error) from None
            return self._seen[1]

    def need(self) -> Ring:
        """Return the ring, which is made if there is none."""
        found = self.find()
        if found is not None:
            return found
        try:
            os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
            with self._draft(Ring.new()) as draft, contextlib.suppress(FileExistsError):
                os.link(draft, self.path)  # of two that make it at once, one is the first
        except OSError as error:
            raise self._unusable("made", error) from None
        found = self.find()
        if found is None:
            raise ConfigurationError(f"the keys of receipts {self.path} cannot be read")
        return found

    def rotate(self) -> Ring:
        """Return the ring with a new key that signs from now on; it is made if there is none."""
        self.need()
        try:
            with self._alone():
                before = self.find()
                if before is None:
                    raise ConfigurationError(f"the keys of receipts {self.path} are gone")
                owner = os.stat(self.path)
                with self._draft(before.rotated()) as draft:
                    with contextlib.suppress(PermissionError):  # an administrator's file would be no server's to read
                        os.chown(draft, owner.st_uid, owner.st_gid)
                    os.replace(draft, self.path)
        except OSError as error:
            raise self._unusable("written", error) from None
        return self.need()

    def _read(self) -> Ring:
        with open(self.path, "rb") as file:
            text = file.read(_MOST)
        try:
            return Ring._of_text(text)  # noqa: SLF001  # its own file
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            raise ConfigurationError(
                f"the file {self.path} does not have keys of receipts. Put back what was there, or remove it: then a "
                "new one is made, and what was signed before cannot be verified any more"
            ) from None

    @contextlib.contextmanager
    def _draft(self, ring: Ring) -> Iterator[str]:
        """Write a ring beside the file; what is still there at the end is removed."""
        draft = f"{self.path}.{secrets.token_hex(4)}"
        try:
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                file.write(ring._text())  # noqa: SLF001  # as above
                file.flush()
                os.fsync(file.fileno())
            yield draft
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(draft)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep all others from rotating: what two write at once, one of them would forget."""
        directory = os.open(os.path.dirname(self.path), os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            yield
        finally:
            os.close(directory)

    def _unusable(self, how: str, error: OSError) -> ConfigurationError:
        return ConfigurationError(f"the keys of receipts {self.path} cannot be {how}: {error.strerror}")
