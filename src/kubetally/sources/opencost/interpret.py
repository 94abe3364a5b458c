"""What the answers of an OpenCost or Kubecost say: pure functions of bytes, so that any process may call them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from kubetally.domain.allocation import Allocation
from kubetally.domain.asset import NO_ASSET_DETAILS, Asset
from kubetally.domain.errors import RequestError, SourceError
from kubetally.domain.evidence.hours import SeenHour, seen_hours
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.machines import Matched, match_machines
from kubetally.domain.money import DEFAULT_CURRENCY, CurrencyOrigin, to_decimal, to_shown
from kubetally.domain.reading import Reading
from kubetally.domain.window import Window
from kubetally.sources.faults import Answer, printable
from kubetally.sources.opencost.allocations import read_allocations
from kubetally.sources.opencost.assets import are_of_one_span, read_assets
from kubetally.sources.opencost.currency import read_currency
from kubetally.sources.opencost.notes import Notes
from kubetally.sources.opencost.wire import decode_assets, decode_booked, unknown_cost_keys

CLOCK_TOLERANCE = timedelta(minutes=5)
_NAMED_AT_MOST = 10


class SeveralClusters(RequestError):
    """The source answers for several clusters, and none was chosen."""

    code = "several_clusters"

    def __init__(self, url: str, cluster_ids: Iterable[str]) -> None:
        self.url, self.cluster_ids = url, tuple(sorted(cluster_ids))
        super().__init__(
            f"{url} answers for several clusters: choose one of {_some_of(self.cluster_ids)} with --cluster-id"
        )


class ClusterNotThere(SourceError):
    """The source has rows, and none of the cluster that was chosen."""

    code = "cluster_not_there"

    def __init__(self, url: str, cluster_id: str, found: Iterable[str]) -> None:
        self.url, self.cluster_id, self.found = url, cluster_id, tuple(sorted(found))
        super().__init__(
            f"{url} has nothing of cluster {cluster_id!r}, only of {_some_of(self.found)}: correct --cluster-id"
        )


class CurrencyDiffers(RequestError):
    """The source counts in another currency than the account states."""

    code = "currency_differs"

    def __init__(self, url: str, stated: str, found: str) -> None:
        self.url, self.stated, self.found = url, stated, found
        super().__init__(
            f"{url} counts in {found}, not in {stated} as stated; nothing is converted: state --currency {found}"
        )


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

    Raises: SourceError, when the rows can't be read; SeveralClusters, ClusterNotThere, CurrencyDiffers. Assets that
            can't be read are an issue: the rows alone still make a bill.
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
                Issue(IssueKind.NOT_A_NUMBER, "the source answered with NaN, which is no figure", self.url, window)
            )
        issues += self._clock_issue(answers.clock_difference)
        currency, currency_origin = self._checked_currency(answers.configs)
        return Reading(
            window=window,
            allocations=allocations,
            assets=assets,
            covered=rows.covered if allocations else (),
            currency=currency,
            source=self.url,
            issues=tuple(issues),
            missing=notes.missing,
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
        """What is of the chosen cluster, or of the only one where none was chosen (B7)."""
        of_rows = {row.cluster_id for row in rows if row.cluster_id}
        # The assets of a cluster that ran nothing would be a bill without rows, on another cluster's account.
        found = of_rows | {asset.cluster_id for asset in assets or () if asset.cluster_id}
        if self.cluster_id is None:
            if len(found) > 1:
                raise SeveralClusters(self.url, found)
            return rows, assets
        if of_rows and self.cluster_id not in of_rows:
            raise ClusterNotThere(self.url, self.cluster_id, of_rows)
        # What names no cluster is of the only one; of several it can't be told which.
        mine = {self.cluster_id, None, ""} if len(found) <= 1 else {self.cluster_id}
        homeless = [one for one in (*rows, *(assets or ())) if not one.cluster_id and any(one.costs)]
        if homeless and len(found) > 1:
            self.issues.append(
                Issue(
                    IssueKind.ROW_WITHOUT_CLUSTER,
                    f"{len(homeless)} rows or assets that cost name no cluster and can't be given to one of several",
                    self.url,
                    self.window,
                )
            )
        kept = None if assets is None else [asset for asset in assets if asset.cluster_id in mine]
        return [row for row in rows if row.cluster_id in mine], kept

    def _checked_currency(self, configs: Mapping[str, Any] | SourceError | None) -> tuple[str, CurrencyOrigin]:
        ours, default = self.question.currency, self.question.default_currency
        is_stated = ours or self.question.default_is_stated
        unless_told = CurrencyOrigin.STATED if is_stated else CurrencyOrigin.ASSUMED
        if isinstance(configs, SourceError):
            message = f"which currency the source counts in is not known, {ours or default} is assumed: {configs}"
            self.issues.append(Issue(IssueKind.SOURCE_WARNING, message, self.url, self.window, "currency"))
            return ours or default, unless_told
        stated = stated_currency(configs or {})
        told = _text((configs or {}).get("currencyCode"))
        if told and told.strip() and not stated:
            instead = f"{ours} is used, as stated" if ours else f"{default} is assumed"
            message = f"the source's currency {printable(told, 40)!r} is no code of three letters; {instead}"
            self.issues.append(Issue(IssueKind.SOURCE_WARNING, message, self.url, self.window, "currency"))
        if ours and stated and ours.upper() != stated:
            raise CurrencyDiffers(self.url, ours, stated)
        if stated:
            return stated, CurrencyOrigin.SOURCE
        return ours or default, unless_told

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
                f"the source lists the same thing twice over the same time; it counts once, without {_some_of(names)}"
            )
            told.append(Issue(IssueKind.MACHINE_TWICE, message, self.url, self.window, facts={"assets": names}))
        if matched.renamed:
            names = tuple(f"{name} is {listed}" for name, listed in sorted(matched.renamed.items()))
            message = f"the source's rows and assets name nodes differently; matched by provider id: {_some_of(names)}"
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
                f"the source's clock differs from ours by {minutes:+.0f} minutes: its days begin at another time than "
                "ours; set both by NTP",
                self.url,
                self.window,
                facts={"minutes": minutes},
            )
        ]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _some_of(names: tuple[str, ...]) -> str:
    more = len(names) - _NAMED_AT_MOST
    return ", ".join(names[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
