"""What an engine is.

An engine starts something that speaks the agent's protocol on a byte stream (a *link*): that is all in which engines
differ. The sandbox on the host's side of the link is the same for all of them (`sandbox.sandbox`).
"""

from __future__ import annotations

from typing import Protocol

from code_executor.sandbox.sandbox import Sandbox


class Engine(Protocol):
    """Makes sandboxes. ``name`` is how the settings and the log call it."""

    name: str

    async def start(self) -> None:
        """Get ready, and remove what a crashed server left behind; raise ``EngineError`` where it cannot work."""

    async def create(self, *, preload: tuple[str, ...] | None = None) -> Sandbox:
        """Return a new sandbox that is ready for its first run; raise ``EngineError`` or ``SandboxError``.

        ``preload``: the modules that are imported in it; None: those that the engine was made with.
        """

    async def close(self) -> None:
        """Release what `start` took. Sandboxes are destroyed before."""


class SharedEngine:
    """An engine that several pools share, as one of them sees it; its owner starts and closes it.

    ``preload``: the modules that are imported in its sandboxes.
    """

    def __init__(self, engine: Engine, preload: tuple[str, ...] = ()) -> None:
        self._engine = engine
        self._preload = preload
        self.name = engine.name

    async def start(self) -> None:
        """The owner has done it."""

    async def create(self, *, preload: tuple[str, ...] | None = None) -> Sandbox:
        return await self._engine.create(preload=self._preload if preload is None else preload)

    async def close(self) -> None:
        """The owner does it."""
