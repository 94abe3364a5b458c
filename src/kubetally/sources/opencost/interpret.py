"""Interprets the answers of an OpenCost or Kubecost: pure functions of bytes, which any process may call."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from kubetally.domain.allocation import Allocation
from kubetally.domain.asset import NO_ASSET_DETAILS, Asset
from kubetally.domain.cluster_choice import choose_cluster
from kubetally.domain.currency import decide_currency
from kubetally.domain.errors import SourceError
from kubetally.domain.evidence.hours import SeenHour, seen_hours
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.machines import Matched, match_machines
from kubetally.domain.money import DEFAULT_CURRENCY, CurrencyOrigin, to_decimal, to_shown
from kubetally.domain.reading import Reading
from kubetally.domain.window import Window
from kubetally.domain.words import name_some
from kubetally.sources.faults import Answer, printable
from kubetally.sources.opencost.allocations import read_allocations
from kubetally.sources.opencost.assets import are_of_one_span, read_assets
from kubetally.sources.opencost.currency import read_currency
from kubetally.sources.opencost.figures import FIGURE_ROUNDING
from kubetally.sources.opencost.notes import Notes
from kubetally.sources.opencost.wire import decode_assets, decode_booked, text_of, unknown_cost_keys

CLOCK_TOLERANCE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class ReadingRequest:
    """The request to a source, and the settings of its account.

    url: of the source, masked. window: whole hours within one UTC day. cluster_id: chooses one of several clusters.
    currency: stated by the account, if any. default_currency: used if the source states none either.
    default_is_stated: whether a setting states the default.
    """

    url: str
    window: Window
    cluster_id: str | None = None
    currency: str | None = None
    default_currency: str = DEFAULT_CURRENCY
    default_is_stated: bool = False


@dataclass(frozen=True, slots=True)
class SourceAnswers:
    """The raw answers of a source about one window.

    configs: its configuration, if it has one. clock_difference: how far its clock is ahead of ours.
    """

    allocations: Answer
    assets: Answer | SourceError
    configs: Mapping[str, Any] | SourceError | None = None
    clock_difference: timedelta | None = None

    @property
    def size_bytes(self) -> int:
        """Bytes to decode."""
        return len(self.allocations.body) + (len(self.assets.body) if isinstance(self.assets, Answer) else 0)


def interpret(answers: SourceAnswers, request: ReadingRequest) -> Reading:
    """The rows and assets of the answers. It reads no clock: the same answers give the same reading.

    Raises: SourceError, if the rows can't be read or the cluster is missing; RequestError, for several clusters or
            another currency. Assets that can't be read are an issue: the rows alone still make a bill.
    """
    return _Interpretation(request).reading(answers)


def interpret_hours(answer: Answer, request: ReadingRequest) -> Sequence[SeenHour]:
    """The rows of each hour of the window; empty if the source's steps are longer. Raises SourceError."""
    decoded, _ = decode_booked(answer)
    rows = read_allocations(decoded, request.window, Notes(request.url, request.window), request.url).allocations
    mine = {request.cluster_id, None, ""} if request.cluster_id else {row.cluster_id for row in rows}
    return seen_hours([row for row in rows if row.cluster_id in mine], request.window)


def unread_assets_code(reading: Reading) -> str | None:
    """The code of the error that left a reading without assets, if any."""
    for issue in reading.issues:
        if issue.kind is IssueKind.SOURCE_FAILED and issue.subject == "assets":
            return str(issue.facts["code"])
    return None


def stated_currency(configs: Mapping[str, Any]) -> str | None:
    """The currency in a source's configuration, as a code of three letters; None if missing or ambiguous."""
    stated = text_of(configs, "currencyCode")
    return read_currency(stated) if stated else None


class _Interpretation:
    """The answers to one request, and their issues so far."""

    def __init__(self, request: ReadingRequest) -> None:
        self.request, self.url, self.window = request, request.url, request.window
        self.cluster_id = request.cluster_id
        self.notes, self.issues = Notes(request.url, request.window), list[Issue]()

    def reading(self, answers: SourceAnswers) -> Reading:
        answer, notes, window = answers.allocations, self.notes, self.window
        decoded, repaired = decode_booked(answer)
        rows = read_allocations(decoded, window, notes, self.url)
        warnings = decoded.warnings()
        del decoded  # it is several times its body
        assets = self._assets(answers.assets, rows.covered)
        allocations, assets = self._of_one_cluster(rows.allocations, assets)
        matched = match_machines(allocations, assets or [])
        if assets is not None:
            allocations, assets = matched.allocations, matched.assets
            self._report_machines(matched)
        unknown = unknown_cost_keys(answer, set(notes.beyond_parts)) if notes.beyond_parts else ()
        self.issues += notes.issues(unknown)
        # They are in no total: one that names no cluster may be of each.
        others = [a for a in notes.other_assets if self.cluster_id is None or a.cluster_id in (self.cluster_id, None)]
        self._report_unknown_assets(others)
        self._report_warning(warnings, "allocations")
        if repaired:
            self._report(IssueKind.NOT_A_NUMBER, "the source returned NaN, which counts as unknown")
        self._report_clock(answers.clock_difference)
        currency, currency_origin = self._currency(answers.configs)
        return Reading(
            window=window,
            allocations=allocations,
            assets=assets,
            covered=rows.covered if allocations else (),
            currency=currency,
            source=self.url,
            issues=tuple(self.issues),
            missing=notes.missing,
            figure_rounding=FIGURE_ROUNDING,
            other_assets=tuple(others),
            has_machine_twice=bool(matched.twins or matched.renamed),
            collected_at=answer.received_at,
            currency_origin=currency_origin,
        )

    def _report(self, kind: IssueKind, message: str, subject: str | None = None, **facts: object) -> None:
        self.issues.append(Issue(kind, message, self.url, self.window, subject, facts))

    def _assets(self, answered: Answer | SourceError, covered: Sequence[Window]) -> list[Asset] | None:
        """The assets if they are about the same time as the rows, else None; an issue if they can't be read."""
        try:
            if isinstance(answered, SourceError):
                raise answered
            decoded, _ = decode_assets(answered)
            self._report_warning(decoded.warnings(), "assets")
            assets = read_assets(decoded, self.window, self.notes)
        except SourceError as error:
            self._report(IssueKind.SOURCE_FAILED, str(error), "assets", code=error.code)
            return None
        return assets if assets is not None and are_of_one_span(assets, covered) else None

    def _of_one_cluster(
        self, rows: list[Allocation], assets: list[Asset] | None
    ) -> tuple[list[Allocation], list[Asset] | None]:
        chosen = choose_cluster(rows, assets, self.cluster_id, source=self.url)
        if chosen.homeless:
            message = f"{chosen.homeless} rows or assets with costs name no cluster, although there are several"
            self._report(IssueKind.ROW_WITHOUT_CLUSTER, message)
        return chosen.rows, chosen.assets

    def _currency(self, configs: Mapping[str, Any] | SourceError | None) -> tuple[str, CurrencyOrigin]:
        ours, default = self.request.currency, self.request.default_currency
        stated, warning = None, ""
        if isinstance(configs, SourceError):
            warning = f"the currency of the source is unknown, {ours or default} is assumed: {configs}"
        elif (text := text_of(configs, "currencyCode")) and text.strip():
            stated = read_currency(text)
            if stated is None:
                instead = f"{ours} is used, as stated" if ours else f"{default} is assumed"
                warning = f"the source's currency {printable(text, 40)!r} is not a code of three letters; {instead}"
        if warning:
            self._report(IssueKind.SOURCE_WARNING, warning, "currency")
        return decide_currency(
            of_account=ours,
            of_source=stated,
            default=default,
            default_is_stated=self.request.default_is_stated,
            source=self.url,
        )

    def _report_unknown_assets(self, assets: Sequence[Asset]) -> None:
        """One issue for each unknown type."""
        amounts = defaultdict[str, list[int | None]](list)
        for asset in assets:
            details = asset.details or NO_ASSET_DETAILS
            amounts[details.source_type or "no type"].append(details.amount)
        for type_, costs in sorted(amounts.items()):
            known = [cost for cost in costs if cost is not None]
            amount = f"{to_shown(sum(known))}" if known else "an unknown amount"
            message = (
                f"the source lists {len(costs)} asset{'' if len(costs) == 1 else 's'} of the unknown type {type_}, for "
                f"{amount}; not in the total, as another asset may contain it"
            )
            self._report(IssueKind.UNKNOWN_ASSET, message, type=type_)

    def _report_machines(self, matched: Matched) -> None:
        """Issues for assets that were left out, and for nodes that rows call by another name."""
        if matched.twins:
            names = tuple(
                f"{asset.type.value.replace('_', ' ')} {asset.name} ({to_decimal(asset.total):f})"
                for asset in matched.twins
            )
            message = (
                f"the source lists the same thing twice over the same time; it counts once, without {name_some(names)}"
            )
            self._report(IssueKind.MACHINE_TWICE, message, assets=names)
        if matched.renamed:
            names = tuple(f"{name} is {listed}" for name, listed in sorted(matched.renamed.items()))
            message = f"the source's rows and assets name nodes differently; matched by provider id: {name_some(names)}"
            self._report(IssueKind.MACHINE_TWICE, message, nodes=names)

    def _report_warning(self, text: str | None, subject: str) -> None:
        if text:
            self._report(IssueKind.SOURCE_WARNING, f"the source warns about its {subject}: {text}", subject)

    def _report_clock(self, difference: timedelta | None) -> None:
        if difference is None or abs(difference) <= CLOCK_TOLERANCE:
            return
        minutes = difference / timedelta(minutes=1)
        message = (
            f"the source's clock differs from ours by {minutes:+.0f} minutes: its days begin at another time; set "
            "both by NTP"
        )
        self._report(IssueKind.CLOCK_DIFFERS, message, minutes=minutes)
