"""Issues of the rows of an answer, counted while they are read."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from kubetally.domain.asset import Asset
from kubetally.domain.component import Component
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.window import Window
from kubetally.domain.words import name_some

_COMPONENT_OF = {
    "cpuCost": Component.CPU,
    "ramCost": Component.RAM,
    "gpuCost": Component.GPU,
    "pvCost": Component.PV,
    "pvs.cost": Component.PV,
    "loadBalancerCost": Component.LOAD_BALANCER,
    "lbAllocations.cost": Component.LOAD_BALANCER,
    "networkCost": Component.NETWORK,
    "totalCost of Disk assets": Component.PV,
    "totalCost of LoadBalancer assets": Component.LOAD_BALANCER,
    "totalCost of Network assets": Component.NETWORK,
    "totalCost of ClusterManagement assets": Component.MANAGEMENT,
}


@dataclass
class Notes:
    """Counts of what is wrong with rows, so that a thousand rows make one issue."""

    source: str
    window: Window
    null_figures: set[str] = field(default_factory=set)
    absent_figures: set[str] = field(default_factory=set)
    merged: int = 0
    coarse: Counter[str] = field(default_factory=Counter)
    negative: dict[str, int] = field(default_factory=dict)
    huge: dict[str, str] = field(default_factory=dict)
    huge_keys: set[str] = field(default_factory=set)
    other_assets: list[Asset] = field(default_factory=list)
    prorated: int = 0
    beyond_parts: dict[str, int] = field(default_factory=dict)
    below_parts: dict[str, int] = field(default_factory=dict)

    @property
    def missing(self) -> frozenset[Component]:
        """Components with a missing figure."""
        figures = self.null_figures | self.absent_figures | self.huge_keys
        keys = (key.removesuffix("Adjustment") for key in figures)
        return frozenset(_COMPONENT_OF[key] for key in keys if key in _COMPONENT_OF)

    def issues(self, unknown_keys: Iterable[str] = ()) -> Iterator[Issue]:
        """One issue of each kind. unknown_keys: of costs, in the rows whose totals exceed their parts."""
        yield from self._figure_issues()
        yield from self._row_issues()
        yield from self._total_issues(sorted(unknown_keys))

    def _figure_issues(self) -> Iterator[Issue]:
        if self.null_figures:
            yield self._issue(
                IssueKind.FIGURE_MISSING,
                f"the source could not compute {', '.join(sorted(self.null_figures))} of some rows (null): the figures "
                "do not include them",
                figures=tuple(sorted(self.null_figures)),
            )
        if self.absent_figures:
            names = ", ".join(sorted(self.absent_figures))
            yield self._issue(
                IssueKind.FIGURE_MISSING,
                f"the source's rows have no {names}: this cost of workloads is unknown, and not included",
                figures=tuple(sorted(self.absent_figures)),
            )
        if self.huge:
            figures = tuple(f"{figure} of {name}" for name, figure in self.huge.items())
            yield self._issue(
                IssueKind.FIGURE_MISSING,
                f"the source returned figures too large to be true; they count as unknown: {name_some(figures, 5)}",
                figures=figures,
            )
        if self.negative:
            amount = sum(self.negative.values())
            yield self._issue(
                IssueKind.NEGATIVE_FIGURE,
                f"{len(self.negative)} rows or assets have minutes, hours or costs that are negative or too large: "
                f"{name_some(tuple(self.negative), 5)}. They do not count in efficiency"
                + (f"; {amount / 1e6:.2f} of cost is part of the difference" if amount else ""),
                rows=tuple(self.negative),
            )

    def _row_issues(self) -> Iterator[Issue]:
        if self.merged:
            yield self._issue(
                IssueKind.ROWS_MERGED_BY_SOURCE,
                f"{self.merged} rows were merged by the source from shorter steps: CPU usage of short-lived "
                "pods is not exact",
                rows=self.merged,
            )
        if self.coarse:
            rows, grains = self.coarse.total(), " and ".join(sorted(self.coarse))
            yield self._issue(
                IssueKind.ROWS_TOO_COARSE,
                f"the source returned {rows} rows {grains} in place of rows by container. Totals are right; pods, "
                "workloads and CPU usage of these rows are not exact, nor is idle cost without a row of its own",
                rows=rows,
            )
        if self.prorated:
            yield self._issue(
                IssueKind.SET_PRORATED,
                f"the source returned longer steps than requested; {self.prorated} rows were prorated by time",
                rows=self.prorated,
            )

    def _total_issues(self, unknown_keys: Sequence[str]) -> Iterator[Issue]:
        if self.beyond_parts:
            keys = ", ".join(unknown_keys) or "no key that ends in Cost"
            yield self._issue(
                IssueKind.UNKNOWN_COST,
                f"the totals of {len(self.beyond_parts)} rows exceed their known parts, by "
                f"{sum(self.beyond_parts.values()) / 1e6:.6f} together; it is booked as external. Unknown in these "
                f"rows: {keys}",
                rows=len(self.beyond_parts),
                keys=tuple(unknown_keys),
            )
        if self.below_parts:
            yield self._issue(
                IssueKind.TOTAL_BELOW_PARTS,
                f"the totals of {len(self.below_parts)} rows are below the sum of their parts, by "
                f"{-sum(self.below_parts.values()) / 1e6:.6f} together; the parts are booked",
                rows=len(self.below_parts),
            )

    def _issue(self, kind: IssueKind, message: str, **facts: object) -> Issue:
        return Issue(kind, message, source=self.source, window=self.window, facts=facts)
