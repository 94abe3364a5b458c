"""How a figure came about, as a body."""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from kubetally.domain import component as components
from kubetally.domain import explanation as explained
from kubetally.domain.booking_rules import RULE_IN_WORDS
from kubetally.domain.money import to_number
from kubetally.domain.report import REST, CostReport
from kubetally.domain.row import CAUSE_IN_WORDS
from kubetally.present.bodies import Costs, Coverage, Source, cost_names
from kubetally.present.cost_report import LedgerIssue, issue_bodies, known_amounts, question_fields

_NAMES = ("namespace", "controller_kind", "controller", "pod", "container", "node")
_HOURS = (
    "cpu_core_hours", "ram_byte_hours", "gpu_hours", "pv_byte_hours", "network_transfer_bytes", "network_receive_bytes",
)  # fmt: skip


class ExplainQuestion(Struct, forbid_unknown_fields=True):
    """The question as understood, with its defaults; `filter` is a tree, with positions in its text."""

    start: str
    end: str
    filter: dict[str, Any] | None
    idle: str
    share_namespaces: list[str]
    share_labels: list[str]
    share_split: str | None
    as_of: str | None


@dataclass
class _Line:
    day: str | None
    cloud_account_id: str | None
    cluster: str | None
    kind: str
    cause: str | None
    cause_in_words: str | None
    namespace: str | None
    controller_kind: str | None
    controller: str | None
    pod: str | None
    container: str | None
    node: str | None


@dataclass
class LedgerLine(Costs, _Line):
    """A row of the ledger, with its cost in the figure; one of kind `rest` for all that are not listed."""

    idle_share: float | None
    given_share: float | None
    given_in_words: str | None
    cpu_core_hours: float | None
    ram_byte_hours: float | None
    gpu_hours: float | None
    pv_byte_hours: float | None
    network_transfer_bytes: float | None
    network_receive_bytes: float | None
    rules: list[str]
    count: int | UnsetType = field(default_factory=lambda: UNSET)


@dataclass
class _Day:
    day: str


@dataclass
class ExplainedDay(Costs, _Day):
    """A day of the figure; its costs are null where no hour of it is covered."""

    coverage: Coverage


class Rule(Struct, forbid_unknown_fields=True):
    """A booking rule, in a sentence."""

    name: str
    text: str


class SentRequest(Struct, forbid_unknown_fields=True):
    """A request to a source, for one day. `path`: below the prefix of its API."""

    path: str
    parameters: dict[str, str]


class ExplainedSource(Struct, forbid_unknown_fields=True):
    """Who answered what an account cost, and what it was asked for `day`, the account's last day in the figure."""

    cloud_account_id: str
    cluster: str
    day: str
    source: Source
    requests: list[SentRequest]


class ExplanationReport(Struct, forbid_unknown_fields=True):
    """How a figure came about. `lines` add up to `total`, and so do `days`. `count`: of all rows that cost anything."""

    question: ExplainQuestion
    currency: str | None
    currency_assumed: bool
    total: Costs
    days: list[ExplainedDay]
    lines: list[LedgerLine]
    count: int
    rules: list[Rule]
    sources: list[ExplainedSource]
    coverage: Coverage
    assets_complete: bool
    not_measured: list[str]
    issues: list[LedgerIssue]


def explanation_body(explanation: explained.Explanation) -> ExplanationReport:
    """The body: amounts have at most six decimals; null is not measured, or not covered by any hour."""
    report = explanation.report
    is_known = report.coverage.hours_covered > 0
    return ExplanationReport(
        question=ExplainQuestion(**question_fields(ExplainQuestion, report.question)),
        currency=report.currency,
        currency_assumed=report.currency_assumed,
        total=Costs(**_amounts(report.bill, report, is_known=is_known)),
        days=list(_days(report)),
        lines=[*(_line(line, report) for line in explanation.lines), *_rest(explanation)],
        count=explanation.count,
        rules=[Rule(rule.value, RULE_IN_WORDS[rule]) for rule in explanation.rules],
        sources=[_source(source) for source in explanation.sources],
        coverage=Coverage.of(report.coverage),
        assets_complete=report.assets_complete,
        not_measured=cost_names(report.not_measured),
        issues=issue_bodies(report.issues),
    )


def _days(report: CostReport) -> Iterator[ExplainedDay]:
    for step, costs in explained.costs_by_day(report):
        amounts = _amounts(costs, report, is_known=step.coverage.hours_covered > 0)
        yield ExplainedDay(day=f"{step.window.start:%Y-%m-%d}", coverage=Coverage.of(step.coverage), **amounts)


def _line(line: explained.LedgerLine, report: CostReport) -> LedgerLine:
    return LedgerLine(
        day=line.day.isoformat(),
        cloud_account_id=line.account_id,
        cluster=line.account,
        kind=line.kind.value,
        cause=None if line.cause is None else line.cause.value,
        cause_in_words=None if line.cause is None else CAUSE_IN_WORDS[line.cause],
        idle_share=None if line.idle_share is None else to_number(line.idle_share),
        given_share=None if line.given is None else to_number(line.given),
        given_in_words=explained.GIVEN_IN_WORDS if line.given else None,
        rules=[rule.value for rule in line.rules],
        **{name: getattr(line, name) for name in _NAMES},
        **{name: getattr(line.hours, name) for name in _HOURS},
        **_amounts(line.costs, report),
    )


def _rest(explanation: explained.Explanation) -> Iterator[LedgerLine]:
    """One line for the rows that are not listed, if there are any."""
    count = explanation.count - len(explanation.lines)
    if count:
        nothing: dict[str, Any] = dict.fromkeys(field.name for field in fields(LedgerLine))
        yield LedgerLine(
            **nothing | _amounts(explanation.rest, explanation.report) | {"kind": REST, "rules": [], "count": count}
        )


def _amounts(costs: components.Costs, report: CostReport, *, is_known: bool = True) -> dict[str, Any]:
    """The total and each component, by the names of `Costs`."""
    names = [field.name for field in fields(Costs)]
    return dict(zip(names, known_amounts(costs, report, is_known=is_known), strict=True))


def _source(source: explained.ExplainedSource) -> ExplainedSource:
    requests = [SentRequest(request.path, dict(request.parameters)) for request in source.requests]
    return ExplainedSource(
        source.account_id, source.account, source.day.isoformat(), Source.of(source.identity), requests
    )
