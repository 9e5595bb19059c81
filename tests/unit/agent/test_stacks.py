"""A thread's stack takes nothing from what a program's data may be, and the limit goes back when it has gone."""

from __future__ import annotations

import os
import resource
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from sandbox_agent.child import stacks

DATA, HARD = 8 << 30, 64 << 30
"""The child has what its parent had, which is all that a worker of pytest gathered: half of this must be far more."""

STACK = 8 << 20
LARGE = DATA + (1 << 20)

UNJOINED = sys.version_info >= (3, 13)
"""Whether those that have ended can have their stacks, however many there were at once."""


@pytest.fixture
def limited(in_child: Any) -> Callable[[Callable[[], Any]], Any]:
    """Call something in a child whose data is limited, and whose threads have their room."""

    def call(work: Callable[[], Any], hard: int = HARD) -> Any:
        def limit_and_work() -> Any:
            resource.setrlimit(resource.RLIMIT_DATA, (DATA, hard))
            installed = stacks.install()
            return installed if hard == DATA else work()

        return in_child(limit_and_work)

    return call


def soft() -> int:
    return resource.getrlimit(resource.RLIMIT_DATA)[0]


def together(count: int) -> int:
    """Return the limit while so many threads run."""
    there, go = threading.Barrier(count + 1), threading.Event()
    threads = [threading.Thread(target=lambda: (there.wait(), go.wait())) for _ in range(count)]
    for thread in threads:
        thread.start()
    there.wait()
    seen = soft()
    go.set()
    for thread in threads:
        thread.join()
    return seen


def test_every_thread_has_room_for_its_stack_beside_the_data(limited: Any) -> None:
    kept = UNJOINED * STACK  # of the one that has ended
    assert limited(lambda: [soft(), together(1), together(7)]) == [DATA, DATA + STACK, DATA + 7 * STACK + kept]


def test_what_ended_threads_leave_is_no_more_than_what_the_c_library_keeps_of_them(limited: Any) -> None:
    def after(count: int) -> int:
        together(count)
        return soft()

    assert limited(lambda: [after(1), after(5), after(20)]) == [DATA + STACK, DATA + (40 << 20), DATA + (40 << 20)]


def test_a_stack_as_large_as_all_the_data_can_be_had_again_and_again(limited: Any) -> None:
    def again_and_again() -> list[int]:
        threading.stack_size(LARGE)
        for _ in range(3):
            assert together(2) == DATA + 2 * LARGE
        return [threading.stack_size(), len(bytearray(100 << 20)) >> 20]

    assert limited(again_and_again) == [LARGE, 100]


def test_without_the_room_there_is_no_such_thread(in_child: Any) -> None:
    """A test of the test: it is this limit that the stack of a thread meets."""

    def start() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (DATA, HARD))
        threading.stack_size(LARGE)
        threading.Thread(target=int).start()

    with pytest.raises(AssertionError, match="can't start new thread"):
        in_child(start)


def test_data_is_held_where_it_was_while_threads_run(limited: Any) -> None:
    def too_much() -> str:
        go = threading.Event()
        threading.stack_size(LARGE)
        thread = threading.Thread(target=go.wait)
        thread.start()
        try:
            bytearray(DATA)
        except MemoryError:
            return "MemoryError"
        finally:
            go.set()
        return "had"

    assert limited(too_much) == "MemoryError"


def test_it_never_goes_beyond_the_hard_limit(limited: Any) -> None:
    assert limited(lambda: together(10), hard=DATA + 3 * STACK) == DATA + 3 * STACK


def test_a_limit_that_the_program_sets_is_left_alone(limited: Any) -> None:
    def set_it() -> list[int]:
        resource.setrlimit(resource.RLIMIT_DATA, (DATA // 2, HARD))
        return [together(2), soft()]

    assert limited(set_it) == [DATA // 2] * 2


def test_a_hard_limit_that_holds_the_memory_itself_is_not_touched(limited: Any) -> None:
    assert limited(lambda: None, hard=DATA) is False


def test_a_thread_that_could_not_be_started_counts_no_longer(limited: Any) -> None:
    def fail_and_go_on() -> list[Any]:
        try:
            threading.stack_size(HARD)
            threading.Thread(target=int).start()
        except RuntimeError:
            short = stacks.fits()
            threading.stack_size(0)
            return [short, stacks.fits(), threading.active_count()]
        return []

    assert limited(fail_and_go_on) == [False, True, 1]


def test_threads_of_a_forked_child_start_counting_anew(in_child: Any) -> None:
    def fork_and_count() -> int:
        resource.setrlimit(resource.RLIMIT_DATA, (DATA, HARD))
        stacks.install()
        together(3)
        go = threading.Event()
        thread = threading.Thread(target=go.wait)
        thread.start()
        pid = os.fork()
        if pid == 0:
            os._exit((together(1) - DATA) // STACK)  # the three that ended are kept; of the fourth it has no stack
        go.set()
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    assert in_child(fork_and_count) == 3 + 2 * UNJOINED
