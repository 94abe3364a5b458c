"""What is asked of the ledger, as understood."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from kubetally.domain.component import Component
from kubetally.domain.question.filter import Field, Filter
from kubetally.domain.question.group import Dimension, parse_group
from kubetally.domain.question.partial import EVERY_ROW, conditions_of
from kubetally.domain.question.scope import Scope, both
from kubetally.domain.question.steps import Step
from kubetally.domain.window import Window

NAMESPACE: Final = ("namespace",)
WORKLOAD: Final = ("namespace", "controller_kind", "controller")
POD: Final = parse_group(",".join((*WORKLOAD, "pod")))


class DetailLevel(StrEnum):
    """How finely an answer about one cluster is broken down; the total is the same at each."""

    SUMMARY = "summary"
    NAMESPACE = "namespace"
    WORKLOAD = "workload"


GROUPS: Final[Mapping[DetailLevel, tuple[str, ...]]] = {
    DetailLevel.SUMMARY: (),
    DetailLevel.NAMESPACE: NAMESPACE,
    DetailLevel.WORKLOAD: WORKLOAD,
}
"""The dimensions of the rows of each level."""


class Idle(StrEnum):
    """What becomes of idle cost: a line, shared among workloads by cost or evenly, or left out."""

    SEPARATE = "separate"
    WEIGHTED = "weighted"
    EVEN = "even"
    NONE = "none"


class Split(StrEnum):
    """How shared cost is split among the other workloads of the account's day: by their total, or evenly."""

    WEIGHTED = "weighted"
    EVEN = "even"


@dataclass(frozen=True, slots=True)
class Sharing:
    """Whose cost the other workloads of the same account and day share: of namespaces, and of labels (key, value)."""

    namespaces: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    split: Split = Split.WEIGHTED

    @property
    def is_nothing(self) -> bool:
        """Whether no cost is shared."""
        return not (self.namespaces or self.labels)


NOTHING_SHARED: Final = Sharing()


class TopCosts(NamedTuple):
    """The `groups` groups that cost most, and all others as one row. component: by its cost; None for the total."""

    groups: int
    component: Component | None


class ExportFormat(StrEnum):
    """What an export is written as."""

    CSV = "csv"
    PARQUET = "parquet"


@dataclass(frozen=True, slots=True)
class CostQuestion:
    """Which rows of the ledger are added up, and how.

    as_of:        the instant at which the figures were stored, None for now.
    detail_level: how finely renderers break down an answer about one cluster, unless they are given a level.
    top:          the only groups that become rows of their own, None for all.
    has_quantities: whether rows have the hours and the traffic behind their costs, also where these are of some
                  components only, and nothing else of hours, efficiency and waste.
    scope:        what its filter was limited to for whoever asks; None for everything.
    """

    window: Window
    group: tuple[Dimension, ...] = POD
    step: Step | None = None
    filter: Filter = EVERY_ROW
    idle: Idle = Idle.SEPARATE
    sharing: Sharing = NOTHING_SHARED
    as_of: datetime | None = None
    detail_level: DetailLevel = DetailLevel.SUMMARY
    has_quantities: bool = False
    top: TopCosts | None = None
    scope: Scope | None = None

    @property
    def asked_filter(self) -> Filter:
        """The filter as it was asked, which answers show."""
        return self.filter if self.scope is None else self.scope.asked

    def limited_to(self, rows: Filter) -> "CostQuestion":
        """The question for those of its rows that pass another filter too, once."""
        if rows == EVERY_ROW:
            return self
        return replace(self, filter=both(self.filter, rows), scope=Scope(rows, self.filter))

    @property
    def splits_components(self) -> bool:
        """Whether rows may be of some components only; hours and waste are of no component."""
        in_filter = any(condition.field is Field.COMPONENT for condition in conditions_of(self.filter))
        return in_filter or any(dimension.name == "component" for dimension in self.group)
