"""Points of named metrics, as the first generation of the API showed them, and the sums it made of them.

The sums are kept for comparison while somebody migrates. They are not costs: prices per GiB are added up as if they
were money, hours between samples are not looked at, and both ends of a window count.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import fsum
from typing import NamedTuple

from kubetally.domain.errors import RequestError
from kubetally.domain.issues import Issue
from kubetally.domain.metrics import INFRASTRUCTURE
from kubetally.domain.money import sum_of_known, to_micros
from kubetally.domain.window import Window

OFFERED = ("kubecost_", "cloudtuner_kubecost_")
MAX_NAMES = 50
MAX_POINTS = 200_000
"""Samples of one answer: a year of 22 series, or a week of 1,190. They are about 25 MB of JSON."""


class TooManyPoints(RequestError):
    """More samples than one answer may have. count: how many there are."""

    code = "too_many_points"

    def __init__(self, count: int, *, max_points: int = MAX_POINTS) -> None:
        self.count, self.max_points = count, max_points
        super().__init__(
            f"there are {count:,} samples, and an answer has at most {max_points:,}: "
            "ask for a shorter window or fewer metrics"
        )


class SeriesPoint(NamedTuple):
    """One sample: Unix seconds, the value in the metric's own unit, and all labels but the metric's name."""

    timestamp: int
    value: float
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MeasuredSeries:
    """Points by metric, an hour apart, both ends of `window` included; a metric without any is not among them."""

    window: Window
    points: Mapping[str, tuple[SeriesPoint, ...]]
    issues: tuple[Issue, ...] = ()

    @property
    def count(self) -> int:
        """How many points of all metrics there are."""
        return sum(map(len, self.points.values()))

    def of(self, metric: str) -> tuple[SeriesPoint, ...]:
        """The points of one metric; none where it has none."""
        return self.points.get(metric, ())


class LegacySums(NamedTuple):
    """What the old sums come to, in micros; None for a metric without any sample. See the module on what they are."""

    management: int | None = None
    load_balancer: int | None = None
    network_internet: int | None = None
    network_region: int | None = None
    network_zone: int | None = None

    @property
    def network(self) -> int | None:
        """Micros of the three network sums together; None if all are unknown."""
        return sum_of_known((self.network_internet, self.network_region, self.network_zone))

    @property
    def total(self) -> int | None:
        """Micros of all sums together; None if all are unknown."""
        return sum_of_known(self)


def metric_names(text: str | None) -> tuple[str, ...]:
    """The metrics of a comma list, each once; those of infrastructure cost where it is empty.

    Raises: RequestError.
    """
    names = dict.fromkeys(name for name in (part.strip() for part in (text or "").split(",")) if name)
    for name in names:
        rest = name.removeprefix("cloudtuner_").removeprefix("kubecost_")
        if not name.startswith(OFFERED) or not rest.isascii() or not rest.replace("_", "a").isalnum():
            raise _not_offered(f"the metric {name[:80]!r} is not offered")
    if len(names) > MAX_NAMES:
        raise _not_offered(f"{len(names)} metrics are too many")
    return tuple(names) or tuple(INFRASTRUCTURE.values())


def _not_offered(problem: str) -> RequestError:
    beginnings = " or ".join(OFFERED)
    return RequestError(
        f"{problem}: give at most {MAX_NAMES} names that begin with {beginnings}", code="metric_not_offered"
    )


def legacy_sum(points: Mapping[str, Iterable[SeriesPoint]]) -> LegacySums:
    """The old sums: of each metric every sample of every series, added up.

    Units:  samples in the currency (prices per hour or per GiB, taken for money), the answer in micros.
    """

    def added(metric: str) -> int | None:
        values = [point.value for point in points.get(metric, ())]
        return to_micros(fsum(values)) if values else None

    return LegacySums(*(added(metric) for metric in INFRASTRUCTURE.values()))
