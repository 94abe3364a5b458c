"""Options of `kubetally costs` that group, filter and share costs."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from kubetally.cli.answer_file import STDOUT
from kubetally.cli.options import Format, WindowOptions, read_option, window_of
from kubetally.domain.errors import RequestError
from kubetally.domain.question.cost_question import GROUPS, CostQuestion, DetailLevel, Idle, Sharing, Split
from kubetally.domain.question.steps import Step
from kubetally.domain.window import InvalidWindow, Window

if TYPE_CHECKING:
    from kubetally.domain.compare import CompareQuestion
    from kubetally.domain.question.group import Dimension

MAX_TOP = 10_000

By = Annotated[
    str,
    typer.Option(
        "--by",
        metavar="GROUP",
        help="summary, namespace or workload of each cluster; or what all clusters are grouped by together: a comma "
        "list of cluster, organization, namespace, controller_kind, controller, pod, container, node, service, kind, "
        "component, label:KEY, annotation:KEY and namespace_label:KEY.",
    ),
]
StepOption = Annotated[Step | None, typer.Option("--step", help="Divide the window; weeks begin on Monday.")]
FilterText = Annotated[
    str | None,
    typer.Option(
        "--filter",
        metavar="FILTER",
        help='Which rows count, in OpenCost\'s grammar: \'namespace:"shop"+label[team]!:"web"\'. Default: all.',
    ),
]
IdleOption = Annotated[
    Idle | None,
    typer.Option("--idle", help="Idle cost: a line, shared among workloads, or left out. Default: separate."),
]
ShareNamespaces = Annotated[
    str | None,
    typer.Option(
        "--share-namespaces",
        metavar="NAMES",
        help="Comma list of namespaces whose cost the other workloads of the same cluster and day share.",
    ),
]
ShareLabels = Annotated[
    str | None,
    typer.Option(
        "--share-labels", metavar="LABELS", help="Comma list of labels as key:value; workloads with one are shared too."
    ),
]
ShareSplit = Annotated[
    Split | None,
    typer.Option("--share-split", help="Divide shared cost by cost or evenly among namespaces. Default: weighted."),
]
Top = Annotated[
    int | None,
    typer.Option("--top", metavar="N", min=1, max=MAX_TOP, help="Print the N dearest rows and the rest as one row."),
]
Compare = Annotated[
    bool,
    typer.Option(
        "--compare",
        help="Compare with the period of the same length before, and say what changed. Default window: the seven days "
        "before today.",
    ),
]
CompareWith = Annotated[
    str | None,
    typer.Option(
        "--compare-with",
        metavar="WINDOW",
        help="Compare with this period, in the forms of --window: 2026-09, lastmonth or START,END.",
    ),
]


@dataclass(frozen=True, slots=True)
class GroupedQuestion:
    """What is asked of all clusters together.

    compared: with which period, None for none. top: rows to print. words: the options that are not at their defaults.
    """

    costs: CostQuestion
    compared: "CompareQuestion | None"
    top: int | None
    words: tuple[str, ...]


@dataclass(frozen=True)
class GroupingOptions:
    """What rows are chosen and added up, beside what they are grouped by."""

    step: StepOption = None
    filter: FilterText = None
    idle: IdleOption = None
    share_namespaces: ShareNamespaces = None
    share_labels: ShareLabels = None
    share_split: ShareSplit = None
    top: Top = None
    compare: Compare = False
    compare_with: CompareWith = None

    @property
    def given(self) -> list[str]:
        """The options that were given."""
        options = {
            "--step": self.step,
            "--filter": self.filter,
            "--idle": self.idle,
            "--share-namespaces": self.share_namespaces,
            "--share-labels": self.share_labels,
            "--share-split": self.share_split,
            "--top": self.top,
            "--compare": self.compare or None,
            "--compare-with": self.compare_with,
        }
        return [option for option, value in options.items() if value is not None]

    def read_window(self, options: WindowOptions) -> Window:
        """The window of the options. Raises InvalidWindow, UnreadableTime."""
        is_comparison = self.compare or self.compare_with is not None
        if not is_comparison or options != WindowOptions():
            return options.read()
        from kubetally.domain.compare import default_period

        return default_period(datetime.now(UTC))

    def question(self, by: str, window: Window, as_of: datetime | None) -> GroupedQuestion:
        """The question that they ask. Raises RequestError, which names the option."""
        from kubetally.domain.question.arrange import DEFAULT_ORDER
        from kubetally.domain.question.top import with_top
        from kubetally.domain.question.v2 import parse_v2

        costs = CostQuestion(
            window,
            group_of(by),
            self.step,
            read_option("--filter", self.filter or "", parse_v2),
            self.idle or Idle.SEPARATE,
            self._sharing(),
            as_of=as_of,
        )
        return GroupedQuestion(
            with_top(costs, DEFAULT_ORDER, self.top), self._compared(costs), self.top, tuple(self.words())
        )

    def words(self) -> Iterator[str]:
        """Filter, idle and sharing in words, unless they are at their defaults."""
        if self.filter and self.filter.strip():
            yield f"filter {self.filter.strip()}"
        if self.idle not in (None, Idle.SEPARATE):
            yield f"idle {self.idle}"
        shared = " and ".join(filter(None, (self.share_namespaces, self.share_labels)))
        if shared.strip():
            yield f"shared {shared}" + (", split evenly" if self.share_split is Split.EVEN else "")

    def _sharing(self) -> Sharing:
        """What is shared. Raises RequestError, which names the option."""
        from kubetally.domain.question.shared import parse_shared_labels, parse_shared_namespaces, sharing_of

        namespaces = read_option("--share-namespaces", self.share_namespaces or "", parse_shared_namespaces)
        labels = read_option("--share-labels", self.share_labels or "", parse_shared_labels)
        return read_option("--share-split", self.share_split, lambda split: sharing_of(namespaces, labels, split))

    def _compared(self, costs: CostQuestion) -> "CompareQuestion | None":
        if not self.compare and self.compare_with is None:
            return None
        if self.step is not None:
            raise RequestError("a comparison is of a whole window: omit --step", code="compare_has_no_step")
        from kubetally.domain.compare import CompareQuestion

        return CompareQuestion(costs, self._period_before(costs.window))

    def _period_before(self, window: Window) -> Window:
        """What is compared with. Raises RequestError."""
        if self.compare_with is not None:
            return read_option("--compare-with", self.compare_with, window_of)
        try:
            return window.before()
        except OverflowError:
            raise RequestError(
                "--compare: there is no time before this window to compare with: give a later --start",
                code=InvalidWindow.code,
            ) from None


def grouped_question(
    by: str,
    options: GroupingOptions,
    window: Window,
    as_of: datetime | None,
    output: Format,
    *,
    legacy: bool,
    file: str | None,
) -> GroupedQuestion:
    """The question for one report of all clusters. file: where it is written; None is standard output.

    Raises: RequestError, also for Parquet on a terminal and for the old sums, which are of each cluster.
    """
    if legacy:
        given = [f"--by {by}"] * (level_of(by) is None) + options.given
        raise RequestError(
            "--infrastructure legacy_sum goes with summary, namespace or workload of each cluster: omit it or "
            f"{', '.join(given) or '--format parquet'}",
            code="legacy_is_of_clusters",
        )
    if output is Format.PARQUET and file in (None, STDOUT) and sys.stdout.isatty():
        raise RequestError(
            "--format parquet is not for a terminal: give --output FILE, or pipe it into a program",
            code="parquet_on_terminal",
        )
    if (level := level_of(by)) is not None and not options.given:  # of each cluster, as in the other formats
        by = ",".join(("cluster", *GROUPS[level]))
    return options.question(by, window, as_of)


def level_of(by: str) -> DetailLevel | None:
    """The level of detail, if it is one; else `by` is a group."""
    return DetailLevel(by) if by in DetailLevel.__members__.values() else None


def group_of(by: str) -> "tuple[Dimension, ...]":
    """The dimensions of `--by`. Raises RequestError."""
    from kubetally.domain.question.group import parse_group

    level = level_of(by)
    return read_option("--by", by if level is None else ",".join(GROUPS[level]), parse_group)
