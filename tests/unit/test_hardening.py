"""The hardening as data."""

from __future__ import annotations

from code_executor.core.limits import Limits
from code_executor.sandbox.hardening import process_limit


def test_gvisor_has_room_for_the_threads_that_it_makes_of_a_program() -> None:
    """45 of its own and 4 for each process were counted in a calm one; with fewer it does not even start."""
    limits = Limits(processes=10)
    assert process_limit(limits) == process_limit(limits, "runc") == 12
    assert 45 + 12 * 4 < process_limit(limits, "runsc") == process_limit(limits, "runsc-kvm") < 300
