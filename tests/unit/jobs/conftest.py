"""Certificates of an authority that only these tests trust."""

from __future__ import annotations

import ssl

import pytest
import trustme


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trust(authority: trustme.CA) -> ssl.SSLContext:
    """What trusts it."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context
