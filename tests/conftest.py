"""What all tests share: how much hypothesis tries, and a few texts."""

import os

import pytest
from hypothesis import HealthCheck, settings

from tests.strategies import PATTERN_TEXT

settings.register_profile("ci", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("soak", settings.get_profile("ci"), max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session")
def pattern_text() -> str:
    """17,576 letters of which any three consecutive ones occur once: what is found tells where it was."""
    return PATTERN_TEXT
