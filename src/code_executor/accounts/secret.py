"""The server secret: a file with 256 random bits. What is made of it is what learners are known by.

It is made when the first key is. All servers that share keys must share this file. A key remembers a fingerprint of it,
so that a server with another one says so, instead of refusing learners without a reason.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets

from code_executor.core.errors import ConfigurationError

_LENGTH = 32


class ServerSecret:
    """See above. ``key``: 32 bytes."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.fingerprint = self.derive(b"fingerprint")[:8].hex()

    def __repr__(self) -> str:
        return f"<ServerSecret {self.fingerprint}>"

    def derive(self, *parts: bytes) -> bytes:
        """Return 32 bytes that only this secret gives for these bytes."""
        return hmac.digest(self._key, b"".join(parts), hashlib.sha256)

    @classmethod
    def read(cls, path: str) -> ServerSecret | None:
        """Return the one in a file, None where there is no file; raise ``ConfigurationError``."""
        try:
            with open(path, "rb") as file:
                text = file.read(1024).strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigurationError(f"the server secret {path} cannot be read: {error.strerror}") from None
        try:
            key = bytes.fromhex(text.decode("ascii"))
        except ValueError:
            key = b""
        if len(key) != _LENGTH:
            raise ConfigurationError(f"the server secret {path} must be {2 * _LENGTH} hexadecimal digits")
        return cls(key)

    @classmethod
    def make(cls, path: str) -> ServerSecret:
        """Return the one in a file, which is made if there is none; raise ``ConfigurationError``."""
        try:
            os.makedirs(os.path.dirname(os.path.abspath(path)), mode=0o700, exist_ok=True)
            draft = f"{path}.{secrets.token_hex(4)}"
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(f"{secrets.token_hex(_LENGTH)}\n")
            try:
                with contextlib.suppress(FileExistsError):  # of two that make it at once, one is the first
                    os.link(draft, path)
            finally:
                os.unlink(draft)
        except OSError as error:
            raise ConfigurationError(f"the server secret {path} cannot be made: {error.strerror}") from None
        made = cls.read(path)
        if made is None:
            raise ConfigurationError(f"the server secret {path} cannot be read")
        return made
