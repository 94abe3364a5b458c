"""What was measured hour by hour: parts of a window add up to it, and what has no sample is not zero."""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubetally.domain.component import NetworkClasses
from kubetally.domain.infrastructure import Infrastructure, MeasuredHour, NetworkBytes, clock_hours
from kubetally.domain.metrics import Family
from kubetally.domain.reading import Reading
from kubetally.domain.window import HOUR, Window, joined_spans
from tests.unit.domain.clusters import METRICS, MIDNIGHT, SOURCE, TODAY, infrastructures

cuts = st.lists(
    st.one_of(st.timedeltas(timedelta(), timedelta(days=1)), st.integers(0, 24).map(lambda hour: hour * HOUR)),
    max_size=4,
)


def parts_of(whole: Infrastructure, at: list[timedelta]) -> list[Infrastructure]:
    points = [TODAY.start, *(TODAY.start + offset for offset in sorted(at)), TODAY.end]
    return [whole.within(Window(start, end)) for start, end in pairwise(points) if start < end]


@given(infrastructures(), cuts)
def test_adjacent_parts_add_up_to_the_whole_to_the_micro(whole: Infrastructure, at: list[timedelta]) -> None:
    parts = parts_of(whole, at)
    assert sum(part.management or 0 for part in parts) == (whole.management or 0)
    assert sum(part.load_balancer or 0 for part in parts) == (whole.load_balancer or 0)
    assert NetworkClasses.sum(part.network for part in parts if part.network) == (whole.network or NetworkClasses())
    sent = [part.network_bytes for part in parts if part.network_bytes]
    for amounts, of_whole in zip(zip(*sent, strict=True), whole.network_bytes or (), strict=bool(sent)):
        assert sum(amounts) == pytest.approx(of_whole)


@given(infrastructures(), cuts)
def test_unmeasured_parts_make_an_unmeasured_whole(whole: Infrastructure, at: list[timedelta]) -> None:
    parts = parts_of(whole, at)
    assert (whole.management is None) == all(part.management is None for part in parts)
    assert (whole.load_balancer is None) == all(part.load_balancer is None for part in parts)
    assert (whole.network is None) == all(part.network is None for part in parts)


@given(infrastructures(), cuts)
def test_every_hour_of_a_part_lies_inside_it(whole: Infrastructure, at: list[timedelta]) -> None:
    assert all(part.window.contains(hour.span) for part in parts_of(whole, at) for hour in part.hours)


def test_quarter_of_an_hour_has_a_quarter_of_its_figures() -> None:
    hour = Window(MIDNIGHT, MIDNIGHT + HOUR)
    whole = MeasuredHour(hour, 100_000, 40, NetworkClasses(8, 4, 0), NetworkBytes(2.0**30, 0.0, 4.0))
    quarter = whole.within(Window(MIDNIGHT + HOUR / 4, MIDNIGHT + HOUR / 2))
    assert quarter == MeasuredHour(
        Window(MIDNIGHT + HOUR / 4, MIDNIGHT + HOUR / 2), 25_000, 10, NetworkClasses(2, 1, 0), NetworkBytes(2**28, 0, 1)
    )
    assert whole.within(hour) is whole
    assert whole.within(Window(MIDNIGHT + HOUR, MIDNIGHT + 2 * HOUR)) is None


def test_nothing_measured_is_unknown_and_zero_measured_is_zero() -> None:
    nothing = Infrastructure(TODAY, (), METRICS)
    assert (nothing.management, nothing.load_balancer, nothing.network, nothing.network_bytes) == (None,) * 4
    zero = Infrastructure(TODAY, (MeasuredHour(clock_hours(TODAY)[0], 0, 0, NetworkClasses()),), METRICS)
    assert (zero.management, zero.load_balancer, zero.network) == (0, 0, NetworkClasses())


def test_a_part_of_a_reading_has_its_part_of_what_was_measured() -> None:
    hours = tuple(MeasuredHour(hour, 100_000) for hour in clock_hours(TODAY))
    whole = Reading(TODAY, (), None, (), "USD", SOURCE, infrastructure=Infrastructure(TODAY, hours, METRICS))
    part = whole.within(Window(MIDNIGHT + HOUR / 2, MIDNIGHT + 3 * HOUR)).infrastructure
    assert part is not None
    assert part.management == 250_000


def test_adjacent_hours_are_one_span() -> None:
    hours = clock_hours(TODAY)
    assert joined_spans([hours[0], hours[1], hours[5]]) == [Window(MIDNIGHT, MIDNIGHT + 2 * HOUR), hours[5]]
    assert joined_spans([]) == []


def test_missing_spans_are_what_a_family_leaves_of_the_window() -> None:
    def span(first: float, last: float) -> Window:
        return Window(MIDNIGHT + first * HOUR, MIDNIGHT + last * HOUR)

    whole = Infrastructure(
        TODAY,
        (),
        METRICS,
        present={Family.COST_MODEL: (span(2, 5), span(6, 24)), Family.CADVISOR: ()},
        since=MIDNIGHT + HOUR,
    )
    assert whole.missing(Family.COST_MODEL) == (span(1, 2), span(5, 6))
    assert whole.missing(Family.CADVISOR) == (span(1, 24),)
    assert whole.missing(Family.KUBE_STATE) == ()
    part = whole.within(span(0.5, 5.5))
    assert part.missing(Family.COST_MODEL) == (span(1, 2), span(5, 5.5))
    assert part.missing(Family.CADVISOR) == (span(1, 5.5),)
    assert whole.within(span(0, 1)).missing(Family.CADVISOR) == ()
