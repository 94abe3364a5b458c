"""What is wrong with data: values carried beside a result, up to the screen."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from kubetally.domain.window import Window


class IssueKind(StrEnum):
    """What can be wrong with what a source answered, or with what was asked."""

    # Something is missing from the answer: the answer is `partial`.
    SOURCE_FAILED = "source_failed"
    WINDOW_WITHOUT_DATA = "window_without_data"
    FIGURE_MISSING = "figure_missing"
    NO_WORKLOADS = "no_workloads"
    ROW_WITHOUT_CLUSTER = "row_without_cluster"
    ANSWER_INCOMPLETE = "answer_incomplete"
    NOT_ASKED = "not_asked"
    NOT_HELD = "not_held"
    NOTHING_COLLECTED = "nothing_collected"
    SAMPLES_MISSING = "samples_missing"
    NODE_INCOMPLETE = "node_incomplete"
    USAGE_MISSING = "usage_missing"
    REQUESTS_MISSING = "requests_missing"
    # Nothing is missing, but a reader should know.
    WINDOW_NOT_OVER = "window_not_over"
    EDGES_PRORATED = "edges_prorated"
    SET_PRORATED = "set_prorated"
    NOT_MEASURED = "not_measured"
    NOT_AUDITED = "not_audited"
    RESOURCE_WITHOUT_ASSET = "resource_without_asset"
    ROWS_MERGED_BY_SOURCE = "rows_merged_by_source"
    ROWS_TOO_COARSE = "rows_too_coarse"
    DUPLICATE_ROWS = "duplicate_rows"
    MACHINE_TWICE = "machine_twice"
    UNKNOWN_COST = "unknown_cost"
    UNKNOWN_ASSET = "unknown_asset"
    NEGATIVE_FIGURE = "negative_figure"
    TOTAL_BELOW_PARTS = "total_below_parts"
    NOT_A_NUMBER = "not_a_number"
    NETWORK_UNPRICED = "network_unpriced"
    BALANCER_CORRECTED = "load_balancer_corrected"
    BALANCER_DIFFERS = "load_balancer_differs"
    USAGE_CORRECTED = "usage_corrected"
    USAGE_UNDERSTATED = "usage_understated"
    CLOCK_DIFFERS = "clock_differs"
    TOTAL_FELL = "total_fell"
    NOT_REPLACED = "not_replaced"
    REPLACED_BY_FORCE = "replaced_by_force"
    SAME_CLUSTER_TWICE = "same_cluster_twice"
    SOURCE_WARNING = "source_warning"
    HOURS_NOT_CHECKED = "hours_not_checked"
    NO_REQUESTS = "no_requests"
    UNEQUAL_COVERAGE = "unequal_coverage"
    NO_MATCH = "no_match"
    COSTS_NOT_SHOWN = "costs_not_shown"


MISSING_DATA = frozenset(
    {
        IssueKind.SOURCE_FAILED,
        IssueKind.WINDOW_WITHOUT_DATA,
        IssueKind.FIGURE_MISSING,
        IssueKind.NO_WORKLOADS,
        IssueKind.ROW_WITHOUT_CLUSTER,
        IssueKind.ANSWER_INCOMPLETE,
        IssueKind.NOT_ASKED,
        IssueKind.NOT_HELD,
        IssueKind.NOTHING_COLLECTED,
        IssueKind.SAMPLES_MISSING,
        IssueKind.NODE_INCOMPLETE,
        IssueKind.USAGE_MISSING,
        IssueKind.REQUESTS_MISSING,
    }
)


WITHOUT_EVIDENCE = frozenset(
    {
        IssueKind.SAMPLES_MISSING,
        IssueKind.NODE_INCOMPLETE,
        IssueKind.USAGE_MISSING,
        IssueKind.REQUESTS_MISSING,
        IssueKind.NO_WORKLOADS,
    }
)
"""What says that the source answered from fewer samples than the day has, so that nothing verifies its figures."""


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing that is wrong, where, and what it means for the figures."""

    kind: IssueKind
    message: str
    source: str | None = None
    window: Window | None = None
    subject: str | None = None
    facts: Mapping[str, object] = field(default_factory=dict)

    @property
    def is_missing_data(self) -> bool:
        """Whether figures are missing because of it, so that the answer is partial."""
        return self.kind in MISSING_DATA


OnIssues = Callable[[Sequence[Issue]], None]
"""Takes the issues of a file, which has no place for them."""


def any_missing(issues: Iterable[Issue]) -> bool:
    """Whether any of `issues` says that data is missing."""
    return any(issue.is_missing_data for issue in issues)
