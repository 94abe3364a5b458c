"""When the lake is looked after."""

from datetime import UTC, datetime, timedelta

from kubetally.domain.errors import StoreError
from kubetally.wiring.collect import Upkeep

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


def test_it_is_maintained_once_a_day_and_tidied_once_an_hour_whatever_fails() -> None:
    done: list[tuple[str, float]] = []
    hours = 0.0

    def maintain() -> None:
        done.append(("maintained", hours))
        raise StoreError("a backup is being written")

    upkeep = Upkeep(maintain, lambda: done.append(("tidied", hours)))
    for quarter in range(4 * 24 + 1):
        hours = quarter / 4
        upkeep.see_to(NOON + timedelta(hours=hours))
    assert [at for what, at in done if what == "maintained"] == [0, 24]
    assert [at for what, at in done if what == "tidied"] == list(range(25))
    upkeep.see_to(NOON - timedelta(days=2))
    assert done[-2:] == [("maintained", hours), ("tidied", hours)], "the clock was set back"
