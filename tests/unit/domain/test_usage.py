"""Usage of containers that restarted or moved: taken from Prometheus where it is there, told where a row shows it."""

from typing import Any

import pytest

from kubetally.domain.allocation import Allocation, Kind
from kubetally.domain.booking import book
from kubetally.domain.efficiency import Hours
from kubetally.domain.infrastructure import ContainerKey, Infrastructure, UsedHour, clock_hours
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.reading import Reading
from kubetally.domain.usage import correct_usage, understated_usage
from kubetally.domain.window import HOUR, Window
from tests.unit.domain.clusters import METRICS, MIDNIGHT, SOURCE, TODAY

GIB = 2**30
AFTERNOON = Window(MIDNIGHT + 12 * HOUR, TODAY.end)
APP = ContainerKey("shop", "db-0", "app")


def row(
    cpu: float | None = 6.0,
    ram: float | None = 24.0 * GIB,
    *,
    requested: float = 12.0,
    charged: float = 12.0,
    **more: Any,
) -> Allocation:
    hours = Hours(charged, requested, cpu, 24.0 * GIB, 24.0 * GIB, ram)
    known: dict[str, Any] = {
        "step": TODAY,
        **APP._asdict(),
        "node": "n1",
        "minutes": 1440.0,
        "hours": hours,
        "life": TODAY,
        **more,
    }
    return Allocation(Kind.WORKLOAD, **known)


def reading(
    *rows: Allocation, used: float | None = None, ram: float | None = None, issues: tuple[Issue, ...] = ()
) -> Reading:
    """Rows, and beside them a Prometheus that measured core-hours and a mean of bytes in every hour of the day."""
    measured = None
    if used is not None or ram is not None:
        cpu = None if used is None else used / 24
        of_app = tuple(UsedHour(hour, cpu, ram, 60.0 if ram else 0.0) for hour in clock_hours(TODAY))
        measured = Infrastructure(TODAY, (), METRICS, usage={APP: of_app})
    return Reading(TODAY, rows, None, (TODAY,), "USD", SOURCE, issues, infrastructure=measured)


def usage(of: Reading) -> list[tuple[float | None, float | None]]:
    return [(row.hours.cpu_core_usage_hours, row.hours.ram_byte_usage_hours) for row in of.allocations]


def test_measured_usage_takes_the_place_of_an_average_of_lives() -> None:
    found = correct_usage(reading(row(), used=12.0, ram=0.5 * GIB))
    assert usage(found) == [(pytest.approx(12.0), pytest.approx(12.0 * GIB))]
    (issue,) = found.issues
    assert (issue.kind, issue.source, issue.facts) == (IssueKind.USAGE_CORRECTED, METRICS, {"containers": 1})
    assert "shop/db-0/app 6.00 before, 12.00 core-hours now" in issue.message
    assert not issue.is_missing_data


def test_measured_cpu_below_the_average_is_not_taken() -> None:
    found = reading(row(), used=3.0)
    assert correct_usage(found) is found


def test_usage_nobody_showed_is_taken_too() -> None:
    assert usage(correct_usage(reading(row(None, None), used=12.0, ram=GIB))) == [
        (pytest.approx(12.0), pytest.approx(24.0 * GIB))
    ]


def test_two_rows_of_one_container_share_its_cpu() -> None:
    rows = [row(1.0, minutes=480.0), row(1.0, minutes=960.0, node="n2")]
    assert [cpu for cpu, _ in usage(correct_usage(reading(*rows, used=12.0)))] == [
        pytest.approx(4.0),
        pytest.approx(8.0),
    ]


def test_other_containers_and_other_windows_stay() -> None:
    other = row(pod="db-1")
    longer = row(step=Window(MIDNIGHT, MIDNIGHT + 48 * HOUR))
    found = correct_usage(reading(other, longer, used=12.0))
    assert usage(found) == usage(reading(other, longer))


def test_usage_of_a_part_of_the_day_is_that_of_its_hours() -> None:
    part = Window(MIDNIGHT, MIDNIGHT + 6.5 * HOUR)
    whole = reading(row(), used=12.0)
    assert whole.infrastructure is not None
    found = correct_usage(reading(row(1.0, step=part, minutes=390.0), used=12.0)).allocations[0]
    assert found.hours.cpu_core_usage_hours == pytest.approx(12.0 * 6.5 / 24)
    assert sum(hour.cpu_core_hours or 0.0 for hour in whole.infrastructure.within(part).usage[APP]) == pytest.approx(
        3.25
    )


def test_booked_rows_have_the_measured_usage() -> None:
    booking = book(reading(row(), used=12.0))
    assert [row.hours.cpu_core_usage_hours for row in booking.rows if row.kind is Kind.WORKLOAD] == [
        pytest.approx(12.0)
    ]
    assert IssueKind.USAGE_CORRECTED in {issue.kind for issue in booking.issues}


# ------------------------------------------------------------------------------------------------ what a row shows


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([row(charged=24.0)], "shop/db-0/app 24.00 core-hours charged, 18.00 requested and used"),
        ([row(charged=18.5)], None),
        ([row(0.01, requested=0.0, charged=0.05)], None),
        ([row(None, charged=24.0)], None),
        ([row(hours=Hours(1.0, 1.0, 1.0, 48 * GIB, 24 * GIB, 6 * GIB))], "48.00 GiB-hours charged, 30.00"),
        ([row(), row(node="n2")], "shop/db-0/app on two nodes at the same time"),
        ([row(), row(node="n2", life=AFTERNOON)], "on two nodes"),
        ([row(life=Window(MIDNIGHT, AFTERNOON.start)), row(node="n2", life=AFTERNOON)], None),
        ([row(), row(pod="db-1", node="n2")], None),
    ],
)  # fmt: skip
def test_charge_above_request_and_usage_is_an_issue(rows: list[Allocation], told: str | None) -> None:
    issue = understated_usage(reading(*rows))
    if told is None:
        assert issue is None
    else:
        assert issue is not None
        assert told in issue.message
        assert "--prometheus-url" in issue.message
        assert (issue.kind, issue.is_missing_data) == (IssueKind.USAGE_UNDERSTATED, False)


def test_corrected_rows_are_no_issue() -> None:
    assert understated_usage(correct_usage(reading(row(charged=24.0), used=20.0))) is None


def test_rows_the_source_merged_are_not_judged() -> None:
    merged = Issue(IssueKind.ROWS_MERGED_BY_SOURCE, "merged")
    assert understated_usage(reading(row(charged=24.0), issues=(merged,))) is None
