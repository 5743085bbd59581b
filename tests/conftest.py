"""What all tests share: how much hypothesis tries, and a few texts."""

import gc
import os

import pytest
from hypothesis import HealthCheck, settings

from tests.strategies import CI_EXAMPLES, PATTERN_TEXT

settings.register_profile("ci", max_examples=CI_EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("few", settings.get_profile("ci"), max_examples=5)
settings.register_profile("soak", settings.get_profile("ci"), max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_collection_finish() -> None:
    """Ten thousand tests are millions of objects, and many a test collects garbage: it need not look at those."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def pattern_text() -> str:
    """17,576 letters of which any three consecutive ones occur once: what is found tells where it was."""
    return PATTERN_TEXT
