"""The hardening as data."""

from __future__ import annotations

from code_executor.core.limits import Limits
from code_executor.sandbox.hardening import agent_config, process_limit


def test_gvisor_has_room_for_the_threads_that_it_makes_of_a_program() -> None:
    """45 of its own and 4 for each process were counted in a calm one; with fewer it does not even start."""
    limits = Limits(processes=10)
    assert process_limit(limits) == process_limit(limits, "runc") == limits.tasks + 2
    assert 45 + (limits.tasks + 2) * 4 < process_limit(limits, "runsc") == process_limit(limits, "runsc-kvm") < 300


def test_ten_workers_of_any_kind_have_their_helpers_and_forty_processes_are_too_many() -> None:
    first, manager, pool = 1, 3, 3  # a manager: its process, the thread that accepts, the one that answers the program
    feeders = answered = workers = 10
    assert Limits(processes=workers).tasks == first + workers + feeders + answered + pool + manager
    assert 33 <= Limits().tasks <= 40  # min(32, processors + 4) workers are a pool's default; the corpus has the 40


def test_where_a_control_group_counts_the_uid_never_says_no_before_it() -> None:
    for processes in (1, 10, 1000):
        limits = Limits(processes=processes)
        assert agent_config(limits, 1, (), {}).uid_processes > process_limit(limits)
