"""What this package raises on purpose. The message says what is wrong, what is allowed, and what to do."""

from __future__ import annotations


class LabsError(Exception):
    """Root of everything this package raises on purpose."""


class TranscriptError(LabsError):
    """A text is no transcript that can be read, or it is too large for one."""


class LabError(LabsError):
    """A lab, or a file of one, is not as it must be."""


class ExchangeError(LabsError):
    """A file of another system cannot be read, or has nothing that can be used."""


class UnknownError(LabsError):
    """There is no such course, video, lab, version or hint."""


class StateError(LabsError):
    """It cannot be done as things stand, as publishing what is not verified."""


class FullError(LabsError):
    """There is no room for more of them."""
