"""The byte stream to a supervisor, which every engine makes in its own way."""

from __future__ import annotations

from typing import Protocol


class Link(Protocol):
    """The byte stream to one supervisor, and the power to end it."""

    async def write(self, data: bytes) -> None:
        """Queue ``data`` whole for the supervisor, then wait until there is room for more; cancelling loses nothing."""

    def begin(self) -> None:
        """A run begins: note what `out_of_memory` has to know."""

    async def out_of_memory(self) -> bool:
        """Whether a sandbox that is gone had its memory exhausted by the run under which it went.

        Bounded in time, and False in doubt.
        """

    async def held(self) -> bool:
        """Whether somebody outside holds the sandbox: paused, frozen or stopped. Nothing inside can do that.

        Bounded in time, and False in doubt.
        """

    async def destroy(self) -> None:
        """End the sandbox and everything in it; idempotent, and bounded in time."""
