"""What the answers of an OpenCost or Kubecost say: pure functions of bytes, so that any process may call them."""

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
from kubetally.sources.opencost.wire import decode_assets, decode_booked, unknown_cost_keys

CLOCK_TOLERANCE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class SourceQuestion:
    """What a source was asked, and what its account states.

    url: of the source, masked. window: of whole hours within one UTC day. cluster_id: chooses one of several clusters.
    currency: what the account states, None where it states nothing. default_currency: used where the source states none
    either; default_is_stated: whether a setting states it.
    """

    url: str
    window: Window
    cluster_id: str | None = None
    currency: str | None = None
    default_currency: str = DEFAULT_CURRENCY
    default_is_stated: bool = False


@dataclass(frozen=True, slots=True)
class SourceAnswers:
    """What a source answered about one window, as it came.

    configs: its configuration, None where it has none. clock_difference: how far its clock is ahead of ours.
    """

    allocations: Answer
    assets: Answer | SourceError
    configs: Mapping[str, Any] | SourceError | None = None
    clock_difference: timedelta | None = None

    @property
    def size_bytes(self) -> int:
        """Bytes that have to be decoded."""
        return len(self.allocations.body) + (len(self.assets.body) if isinstance(self.assets, Answer) else 0)


def interpret(answers: SourceAnswers, question: SourceQuestion) -> Reading:
    """The rows and assets of the answers. It asks nobody and reads no clock: the same answers give the same reading.

    Raises: SourceError, when the rows can't be read or the cluster is not there; RequestError, for several clusters
            or another currency. Assets that can't be read are an issue: the rows alone still make a bill.
    """
    return _Interpretation(question).reading(answers)


def interpret_hours(answer: Answer, question: SourceQuestion) -> Sequence[SeenHour]:
    """What the source saw in each hour of the window; none, where its steps are longer. Raises SourceError."""
    decoded, _ = decode_booked(answer)
    rows = read_allocations(decoded, question.window, Notes(question.url, question.window), question.url).allocations
    mine = {question.cluster_id, None, ""} if question.cluster_id else {row.cluster_id for row in rows}
    return seen_hours([row for row in rows if row.cluster_id in mine], question.window)


def unread_assets_code(reading: Reading) -> str | None:
    """The code of the error that left a reading without assets; None where there was none."""
    for issue in reading.issues:
        if issue.kind is IssueKind.SOURCE_FAILED and issue.subject == "assets":
            return str(issue.facts["code"])
    return None


def stated_currency(configs: Mapping[str, Any]) -> str | None:
    """The currency that a source's configuration states, as a code of three letters."""
    stated = _text(configs.get("currencyCode"))
    return read_currency(stated) if stated else None


class _Interpretation:
    """One question's answers, and the issues of them so far."""

    def __init__(self, question: SourceQuestion) -> None:
        self.question, self.url, self.window = question, question.url, question.window
        self.cluster_id = question.cluster_id
        self.notes, self.issues = Notes(question.url, question.window), list[Issue]()

    def reading(self, answers: SourceAnswers) -> Reading:
        answer, notes, issues, window = answers.allocations, self.notes, self.issues, self.window
        decoded, repaired = decode_booked(answer)
        rows = read_allocations(decoded, window, notes, self.url)
        warnings = decoded.warnings()
        del decoded  # it is several times its body
        assets = self._assets(answers.assets, rows.covered)
        allocations, assets = self._of_one_cluster(rows.allocations, assets)
        matched = match_machines(allocations, assets or [])
        if assets is not None:
            allocations, assets = matched.allocations, matched.assets
            issues += self._machines_twice(matched)
        unknown = unknown_cost_keys(answer, set(notes.beyond_parts)) if notes.beyond_parts else ()
        issues += notes.issues(unknown)
        # They are in no total: one that names no cluster may stand with each.
        others = [a for a in notes.other_assets if self.cluster_id is None or a.cluster_id in (self.cluster_id, None)]
        issues += self._other_assets(others)
        issues += self._warning(warnings, "allocations")
        if repaired:
            issues.append(
                Issue(IssueKind.NOT_A_NUMBER, "the source returned NaN, which counts as unknown", self.url, window)
            )
        issues += self._clock_issue(answers.clock_difference)
        currency, currency_origin = self._currency(answers.configs)
        return Reading(
            window=window,
            allocations=allocations,
            assets=assets,
            covered=rows.covered if allocations else (),
            currency=currency,
            source=self.url,
            issues=tuple(issues),
            missing=notes.missing,
            figure_rounding=FIGURE_ROUNDING,
            other_assets=tuple(others),
            has_machine_twice=bool(matched.twins or matched.renamed),
            collected_at=answer.received_at,
            currency_origin=currency_origin,
        )

    def _assets(self, answered: Answer | SourceError, covered: Sequence[Window]) -> list[Asset] | None:
        """The assets that rows can be held against; None, with an issue where that is a fault, if there are none."""
        try:
            if isinstance(answered, SourceError):
                raise answered
            decoded, _ = decode_assets(answered)
            self.issues += self._warning(decoded.warnings(), "assets")
            assets = read_assets(decoded, self.window, self.notes)
        except SourceError as error:
            self.issues.append(
                Issue(IssueKind.SOURCE_FAILED, str(error), self.url, self.window, "assets", {"code": error.code})
            )
            return None
        return assets if assets is not None and are_of_one_span(assets, covered) else None

    def _of_one_cluster(
        self, rows: list[Allocation], assets: list[Asset] | None
    ) -> tuple[list[Allocation], list[Asset] | None]:
        chosen = choose_cluster(rows, assets, self.cluster_id, source=self.url)
        if chosen.homeless:
            message = f"{chosen.homeless} rows or assets that cost name no cluster, and may be of any of several"
            self.issues.append(Issue(IssueKind.ROW_WITHOUT_CLUSTER, message, self.url, self.window))
        return chosen.rows, chosen.assets

    def _currency(self, configs: Mapping[str, Any] | SourceError | None) -> tuple[str, CurrencyOrigin]:
        ours, default = self.question.currency, self.question.default_currency
        stated = None
        if isinstance(configs, SourceError):
            self._warn_of_currency(f"the currency of the source is unknown, {ours or default} is assumed: {configs}")
        else:
            stated = stated_currency(configs or {})
            text = _text((configs or {}).get("currencyCode"))
            if text and text.strip() and not stated:
                instead = f"{ours} is used, as stated" if ours else f"{default} is assumed"
                self._warn_of_currency(
                    f"the source's currency {printable(text, 40)!r} is not a code of three letters; {instead}"
                )
        return decide_currency(
            of_account=ours,
            of_source=stated,
            default=default,
            default_is_stated=self.question.default_is_stated,
            source=self.url,
        )

    def _warn_of_currency(self, message: str) -> None:
        self.issues.append(Issue(IssueKind.SOURCE_WARNING, message, self.url, self.window, "currency"))

    def _other_assets(self, assets: Sequence[Asset]) -> list[Issue]:
        """One issue for each type that is not known."""
        told = []
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
            told.append(Issue(IssueKind.UNKNOWN_ASSET, message, self.url, self.window, facts={"type": type_}))
        return told

    def _machines_twice(self, matched: Matched) -> list[Issue]:
        """That assets were left out, or nodes of rows matched by another name."""
        told = []
        if matched.twins:
            names = tuple(
                f"{asset.type.value.replace('_', ' ')} {asset.name} ({to_decimal(asset.total):f})"
                for asset in matched.twins
            )
            message = (
                f"the source lists the same thing twice over the same time; it counts once, without {name_some(names)}"
            )
            told.append(Issue(IssueKind.MACHINE_TWICE, message, self.url, self.window, facts={"assets": names}))
        if matched.renamed:
            names = tuple(f"{name} is {listed}" for name, listed in sorted(matched.renamed.items()))
            message = f"the source's rows and assets name nodes differently; matched by provider id: {name_some(names)}"
            told.append(Issue(IssueKind.MACHINE_TWICE, message, self.url, self.window, facts={"nodes": names}))
        return told

    def _warning(self, words: str | None, subject: str) -> list[Issue]:
        """What an answer says beside its data."""
        message = f"the source warns about its {subject}: {words}"
        return [Issue(IssueKind.SOURCE_WARNING, message, self.url, self.window, subject)] if words else []

    def _clock_issue(self, difference: timedelta | None) -> list[Issue]:
        if difference is None or abs(difference) <= CLOCK_TOLERANCE:
            return []
        minutes = difference / timedelta(minutes=1)
        return [
            Issue(
                IssueKind.CLOCK_DIFFERS,
                f"the source's clock differs from ours by {minutes:+.0f} minutes: its days begin at another time; set "
                "both by NTP",
                self.url,
                self.window,
                facts={"minutes": minutes},
            )
        ]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
