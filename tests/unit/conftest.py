"""How long the property tests search: a moment by default, as long as ``HYPOTHESIS_PROFILE=fuzz`` allows otherwise."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# no deadline: a busy machine is not a failure. The default is the same every time, so that CI fails for a reason
settings.register_profile("short", max_examples=100, deadline=None, derandomize=True, database=None)
settings.register_profile(
    "fuzz", max_examples=5_000, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))
