"""Sentences for learners: what happened to a program, and what to do about it."""

from __future__ import annotations

import signal


def uncompilable(error: BaseException) -> str:
    """Explain why a source that is no plain syntax error still could not be compiled."""
    if isinstance(error, UnicodeEncodeError):
        return "The program contains a character that is not valid Unicode text (a lone surrogate)."
    if "null bytes" in str(error):  # a ValueError before Python 3.11.4, a SyntaxError without a place since
        return "The program contains a null character, which Python source may not contain."
    if isinstance(error, (RecursionError, MemoryError)):
        return "The program is too large or too deeply nested to be compiled."
    return f"The program could not be compiled: {error}"


def size(value: int) -> str:
    """``512 MB`` for 512 << 20."""
    for unit, factor in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if value >= factor:
            return f"{value / factor:g} {unit}" if value % factor == 0 else f"{value / factor:.1f} {unit}"
    return f"{value} bytes"


_SIGNALS: dict[int, str] = {
    signal.SIGINT: "Your program was interrupted (SIGINT).",
    signal.SIGSEGV: "Your program crashed: it touched memory that it may not touch (segmentation fault).",
    signal.SIGABRT: "Your program crashed: the interpreter or a library stopped it (abort).",
    signal.SIGFPE: "Your program crashed: an arithmetic error in a compiled library.",
    signal.SIGBUS: "Your program crashed: it used memory that is not there (bus error).",
    signal.SIGILL: "Your program crashed: it tried an instruction that this processor does not know.",
}


def signal_name(number: int) -> str:
    """``SIGSEGV`` for 11."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def violation(syscall: str | None) -> str:
    what = f"called {syscall}, which" if syscall else "did something that"
    return f"Your program was stopped because it {what} no program may do here."


def signal_death(number: int) -> str:
    return _SIGNALS.get(number, f"Your program was ended by a signal ({signal_name(number)}).")
