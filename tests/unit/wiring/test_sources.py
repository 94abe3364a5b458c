"""Settings of sources reach what opens them."""

from dataclasses import fields

from kubetally.settings import Settings
from kubetally.sources.access_settings import AccessSettings
from kubetally.wiring.environment import access_settings
from kubetally.wiring.sources import limits_of


def test_every_setting_of_access_is_passed_on() -> None:
    names = [field.name for field in fields(AccessSettings)]
    settings = Settings(**{name if "prometheus" in name else f"source_{name}": name for name in names})  # type: ignore[arg-type]
    assert access_settings(settings) == AccessSettings(**{name: name for name in names})


def test_limits_are_those_of_the_settings() -> None:
    settings = Settings(connect_seconds=1, read_seconds=2, deadline_seconds=3, max_answer_mib=4, attempts=5)
    limits = limits_of(settings)
    assert (limits.connect_seconds, limits.read_seconds, limits.deadline_seconds) == (1, 2, 3)
    assert (limits.max_bytes, limits.attempts, limits.allow_link_local) == (4 * 1024 * 1024, 5, False)
