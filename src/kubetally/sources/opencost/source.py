"""One OpenCost or Kubecost as a source of the ledger: what it is, and what it says a cluster cost."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Generic, TypeVar

from kubetally.domain.allocation import Allocation
from kubetally.domain.asset import Asset
from kubetally.domain.errors import RequestError, SourceError
from kubetally.domain.evidence import SeenHour, seen_hours
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.machines import Matched, match_machines
from kubetally.domain.money import DEFAULT_CURRENCY, CurrencyOrigin, to_decimal, to_shown
from kubetally.domain.reading import Reading
from kubetally.domain.savings import Savings
from kubetally.domain.window import Window
from kubetally.ledger.ports import About
from kubetally.sources.faults import Answer, SourceFailed, printable
from kubetally.sources.kubecost.savings import read_savings
from kubetally.sources.opencost.client import CostModelClient
from kubetally.sources.opencost.currency import read_currency
from kubetally.sources.opencost.read import Notes, UnknownAsset, are_of_one_span, read_allocations, read_assets
from kubetally.sources.opencost.wire import AssetAnswer, decode_object, unknown_cost_keys
from kubetally.tasks import task_group

CLOCK_TOLERANCE = timedelta(minutes=5)
_NAMED_AT_MOST = 10
_ROWS_BY_THE_HOUR = 500  # a day of more rows is asked for by the hour in few rows, as 24 times as many would not do
_FINEST = "cluster,node,namespace,pod,container"
_COARSE = "cluster,controllerKind"  # volumes that nobody mounts have no controller: they say nothing of samples
T = TypeVar("T")


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


class Once(Generic[T]):
    """A question that is asked once; whoever asks meanwhile has the same answer. A failure is asked again later."""

    def __init__(self, ask: Callable[[], Awaitable[T]]) -> None:
        self._ask = ask
        self._lock = asyncio.Lock()
        self._answer: tuple[T] | None = None
        self._failures: list[SourceError] = []

    async def __call__(self) -> T:
        earlier = len(self._failures)
        async with self._lock:
            if self._answer is None:
                if len(self._failures) > earlier:
                    raise self._failures[-1]
                try:
                    self._answer = (await self._ask(),)
                except SourceError as error:
                    self._failures.append(error)
                    raise
            return self._answer[0]


class CostModelSource:
    """Reads one cluster from an OpenCost or Kubecost. What it is, is asked once and remembered.

    `cluster_id` chooses one of several clusters; `currency` is what the account states, None where it states nothing;
    `default_currency` is taken where neither says; `default_is_stated`: a setting states it.
    """

    def __init__(
        self,
        client: CostModelClient,
        *,
        cluster_id: str | None = None,
        currency: str | None = None,
        default_currency: str = DEFAULT_CURRENCY,
        default_is_stated: bool = False,
        profile: str | None = None,
    ) -> None:
        self.client = client
        self.cluster_id = cluster_id
        self._currency, self._default_currency = currency, default_currency
        self._default_is_stated = default_is_stated
        self._profile = profile
        self._about = Once(self._ask_about)
        self._configs = Once(partial(client.about, "/getConfigs"))
        self._savings_answer = Once(partial(client.raw, "/savings"))

    @property
    def url(self) -> str:
        """Where it is, fit to be shown."""
        return self.client.url

    @property
    def account(self) -> str | None:
        """Whose it is, in logs."""
        return self.client.account

    async def read(self, window: Window) -> Reading:
        """What the source says of `window`: rows and assets, one question each, and its currency once.

        Raises: SourceError, when the rows can't be had; SeveralClusters, CurrencyDiffers. Assets that can't be had
                are an issue: the rows alone still make a bill.
        """
        notes = Notes(self.url, window)
        async with task_group() as group:
            rows_task = group.create_task(self.client.day_allocations(window, self.cluster_id))
            assets_task = group.create_task(_attempt(self.client.day_assets(window, self.cluster_id)))
            configs_task = group.create_task(_attempt(self._configs_once_found()))
        answer, decoded, repaired = rows_task.result()
        try:
            rows = read_allocations(decoded, window, notes, self.url)
        except SourceError as error:
            self.client.log_failure("/allocation", error, answer.duration_seconds)
            raise
        warnings = decoded.warnings()
        del decoded, rows_task  # the decoded answer is several times its body
        issues: list[Issue] = []
        assets = self._assets(assets_task.result(), rows.covered, window, notes, issues)
        allocations, assets = self._of_one_cluster(rows.allocations, assets, window, issues)
        matched = match_machines(allocations, assets or [])
        if assets is not None:
            allocations, assets = matched.allocations, matched.assets
            issues += self._machines_twice(matched, window)
        if not allocations and self.cluster_id is not None:
            await self._check_that_it_is_there(self.cluster_id)
        unknown = unknown_cost_keys(answer, set(notes.beyond_parts)) if notes.beyond_parts else ()
        issues += notes.issues(unknown)
        unknown_assets = [one for one in notes.unknown_assets if self.cluster_id in (None, one.cluster_id)]
        issues += self._unknown_assets(unknown_assets, window)
        issues += self._warning(warnings, "allocations", window)
        if repaired:
            issues.append(
                Issue(IssueKind.NOT_A_NUMBER, "the source answered with NaN, which is no figure", self.url, window)
            )
        issues += self._clock_issue(window)
        currency, currency_origin = self._checked_currency(configs_task.result(), window, issues)
        return Reading(
            window=window,
            allocations=allocations,
            assets=assets,
            covered=rows.covered if allocations else (),
            currency=currency,
            source=self.url,
            issues=tuple(issues),
            missing=notes.missing,
            has_unknown_assets=bool(unknown_assets),
            has_machine_twice=bool(matched.twins or matched.renamed),
            collected_at=answer.received_at,
            currency_origin=currency_origin,
        )

    async def hours(self, window: Window, rows: int) -> Sequence[SeenHour]:
        """What the source saw in each hour of a day that has so many rows; none, where it does not answer by the hour.

        Raises: SourceError.
        """
        aggregate = _FINEST if rows <= _ROWS_BY_THE_HOUR else _COARSE
        answer, decoded, _ = await self.client.hourly_allocations(window, self.cluster_id, aggregate)
        try:
            read = read_allocations(decoded, window, Notes(self.url, window), self.url)
        except SourceError as error:
            self.client.log_failure("/allocation", error, answer.duration_seconds)
            raise
        mine = {self.cluster_id, None, ""} if self.cluster_id else {row.cluster_id for row in read.allocations}
        return seen_hours([row for row in read.allocations if row.cluster_id in mine], window)

    async def savings(self) -> Savings | None:
        """What Kubecost recommends to save per month; None from an OpenCost. Raises SourceError."""
        answer = await self._savings_answer()
        about = await self.about()
        if answer is None or not about.savings_offered:
            return None
        try:
            return read_savings(answer.body, profile=self._profile or about.profile, cluster_id=self.cluster_id)
        except SourceError as error:
            self.client.log_failure("/savings", error, answer.duration_seconds)
            raise

    async def wait_for_place(self) -> None:
        """Until an answer has shown where the API begins."""
        await self.client.wait_for_place()

    async def _configs_once_found(self) -> dict[str, Any] | None:
        """The configuration, asked in one place; who waits for more than a day has asked everywhere (`about`)."""
        await self.wait_for_place()
        return await self._configs()

    async def about(self) -> About:
        """What the source tells of itself; asked once, again where it told nothing."""
        try:
            return await self._about()
        except SourceError:
            return About()

    async def introduce(self) -> About:
        """As `about`, but raises SourceError where the source can't be reached."""
        return await self._about()

    async def _ask_about(self) -> About:
        ask = self.client.about
        questions = (ask("/clusterInfo"), ask("/installInfo"), ask("/clusterInfoMap"), self._configs())
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_attempt(question)) for question in questions]
            savings_task = group.create_task(_attempt(self._savings_answer()))
        told = [task.result() for task in tasks]
        failures = [one for one in told if isinstance(one, SourceError)]
        cluster, install, clusters, configs = ({} if isinstance(one, SourceError) else one or {} for one in told)
        if failures and not (cluster or install or clusters):
            raise failures[0]  # not remembered
        # An OpenCost has neither savings nor a configuration to be read: it answers 404, it does not break on them.
        kubecost = bool(configs) or is_savings(savings_task.result())
        chosen = self.cluster_id or _text(cluster.get("id"))
        return About(
            product="Kubecost" if kubecost else "OpenCost" if cluster or install or clusters else None,
            version=_text(install.get("version")),
            cluster_id=chosen,
            cluster_name=_text(_dict(clusters.get(chosen or "")).get("name"))
            or (_text(cluster.get("name")) if chosen == _text(cluster.get("id")) else None),
            provider=_text(cluster.get("provider")),
            profile=_text(cluster.get("clusterProfile")),
            currency=_currency(configs),
            savings_offered=kubecost,
            cluster_ids=tuple(sorted(clusters)),
            ahead=self.client.clock_difference,
        )

    def _assets(
        self,
        answered: AssetAnswer | SourceError,
        covered: Sequence[Window],
        window: Window,
        notes: Notes,
        issues: list[Issue],
    ) -> list[Asset] | None:
        """The assets that rows can be held against; None, with an issue where that is a fault, if there are none."""
        try:
            if isinstance(answered, SourceError):
                raise answered
            issues += self._warning(answered.warnings(), "assets", window)
            assets = read_assets(answered, window, notes)
        except SourceError as error:
            issues.append(Issue(IssueKind.SOURCE_FAILED, str(error), self.url, window, "assets", {"code": error.code}))
            return None
        return assets if assets is not None and are_of_one_span(assets, covered) else None

    def _of_one_cluster(
        self, rows: list[Allocation], assets: list[Asset] | None, window: Window, issues: list[Issue]
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
            issues.append(
                Issue(
                    IssueKind.ROW_WITHOUT_CLUSTER,
                    f"{len(homeless)} rows or assets that cost name no cluster and can't be given to one of several",
                    self.url,
                    window,
                )
            )
        kept = None if assets is None else [asset for asset in assets if asset.cluster_id in mine]
        return [row for row in rows if row.cluster_id in mine], kept

    async def _check_that_it_is_there(self, cluster_id: str) -> None:
        """A source that filters answers nothing for a mistyped id, as for a window without data: it lists its own."""
        found = (await self.about()).cluster_ids
        if found and cluster_id not in found:
            raise ClusterNotThere(self.url, cluster_id, found)

    def _checked_currency(
        self, configs: dict[str, Any] | SourceError | None, window: Window, issues: list[Issue]
    ) -> tuple[str, CurrencyOrigin]:
        unless_told = CurrencyOrigin.STATED if self._currency or self._default_is_stated else CurrencyOrigin.ASSUMED
        if isinstance(configs, SourceError):
            currency = self._currency or self._default_currency
            message = f"which currency the source counts in is not known, {currency} is assumed: {configs}"
            issues.append(Issue(IssueKind.SOURCE_WARNING, message, self.url, window, "currency"))
            return currency, unless_told
        stated = _currency(configs or {})
        told = _text((configs or {}).get("currencyCode"))
        if told and told.strip() and not stated:
            instead = (
                f"{self._currency} is used, as stated" if self._currency else f"{self._default_currency} is assumed"
            )
            message = f"the source's currency {printable(told, 40)!r} is no code of three letters; {instead}"
            issues.append(Issue(IssueKind.SOURCE_WARNING, message, self.url, window, "currency"))
        if self._currency and stated and self._currency.upper() != stated:
            raise CurrencyDiffers(self.url, self._currency, stated)
        if stated:
            return stated, CurrencyOrigin.SOURCE
        return self._currency or self._default_currency, unless_told

    def _unknown_assets(self, assets: Sequence[UnknownAsset], window: Window) -> list[Issue]:
        """One issue for each type that is not known."""
        told = []
        for type_ in sorted({asset.type for asset in assets}):
            costs = [asset.cost for asset in assets if asset.type == type_]
            known = [cost for cost in costs if cost is not None]
            amount = f"{to_shown(sum(known))}" if known else "an unknown amount"
            message = (
                f"the source lists {len(costs)} asset{'' if len(costs) == 1 else 's'} of the unknown type {type_}, for "
                f"{amount}; not in the total, as another asset may contain it"
            )
            told.append(Issue(IssueKind.UNKNOWN_ASSET, message, self.url, window, facts={"type": type_}))
        return told

    def _machines_twice(self, matched: Matched, window: Window) -> list[Issue]:
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
            told.append(Issue(IssueKind.MACHINE_TWICE, message, self.url, window, facts={"assets": names}))
        if matched.renamed:
            names = tuple(f"{name} is {listed}" for name, listed in sorted(matched.renamed.items()))
            message = f"the source's rows and assets name nodes differently; matched by provider id: {_some_of(names)}"
            told.append(Issue(IssueKind.MACHINE_TWICE, message, self.url, window, facts={"nodes": names}))
        return told

    def _warning(self, words: str | None, subject: str, window: Window) -> list[Issue]:
        """What an answer says beside its data."""
        message = f"the source warns about its {subject}: {words}"
        return [Issue(IssueKind.SOURCE_WARNING, message, self.url, window, subject)] if words else []

    def _clock_issue(self, window: Window) -> list[Issue]:
        difference = self.client.clock_difference
        if difference is None or abs(difference) <= CLOCK_TOLERANCE:
            return []
        minutes = difference / timedelta(minutes=1)
        return [
            Issue(
                IssueKind.CLOCK_DIFFERS,
                f"the source's clock differs from ours by {minutes:+.0f} minutes: its days begin at another time than "
                "ours; set both by NTP",
                self.url,
                window,
                facts={"minutes": minutes},
            )
        ]


async def _attempt(question: Awaitable[T]) -> T | SourceError:
    """The answer, or why there is none, so that one failure does not cancel its neighbours."""
    try:
        return await question
    except SourceError as error:
        return error


def _dict(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _currency(configs: dict[str, Any]) -> str | None:
    told = _text(configs.get("currencyCode"))
    return read_currency(told) if told else None


def is_savings(answer: Answer | SourceError | None) -> bool:
    """Whether this is what only a Kubecost answers: savings, or a failure to compute them."""
    if answer is None or isinstance(answer, SourceError):
        return isinstance(answer, SourceFailed)
    try:
        return decode_object(answer) is not None
    except SourceError:
        return False


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _some_of(names: tuple[str, ...]) -> str:
    more = len(names) - _NAMED_AT_MOST
    return ", ".join(names[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
