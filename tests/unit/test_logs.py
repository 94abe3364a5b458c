"""Events reach structlog only from the level that is logged."""

from collections.abc import Iterator

import pytest
import structlog
from structlog.testing import capture_logs

from kubetally import logs


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    logs.configure_later(None)
    structlog.reset_defaults()


def test_event_below_the_level_is_dropped() -> None:
    configured = list[str]()
    with capture_logs() as logged:
        logs.configure_later(lambda: configured.append("done"), "warning")
        logs.debug("below")
        assert (configured, logged) == ([], [])
        logs.warning("above")
    assert configured == ["done"]
    assert [event["event"] for event in logged] == ["above"]
