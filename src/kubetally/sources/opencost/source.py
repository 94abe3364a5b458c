"""One OpenCost or Kubecost as a source of the ledger: what it is, and what it says a cluster cost."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from kubetally.domain.cluster_choice import ClusterNotThere
from kubetally.domain.cluster_costs import KUBECOST, OPENCOST
from kubetally.domain.errors import SourceError
from kubetally.domain.evidence.hours import SeenHour
from kubetally.domain.money import DEFAULT_CURRENCY
from kubetally.domain.reading import Reading
from kubetally.domain.savings import Savings, SavingsItems
from kubetally.domain.window import Window
from kubetally.ledger.ports.sources import About
from kubetally.sources.faults import Answer, SourceFailed, SourceRefused
from kubetally.sources.kept import AnswerFolder
from kubetally.sources.kubecost.savings import read_savings
from kubetally.sources.kubecost.savings_items import drill_down, read_items
from kubetally.sources.opencost.client import CostModelClient
from kubetally.sources.opencost.interpret import (
    SourceAnswers,
    SourceQuestion,
    interpret,
    interpret_hours,
    stated_currency,
    unread_assets_code,
)
from kubetally.sources.opencost.kept import instant_window, keep_costs, keep_hours, keep_savings
from kubetally.sources.opencost.wire import decode_object
from kubetally.tasks import Calculate, calculate_here, task_group

_ROWS_BY_THE_HOUR = 500  # a day of more rows is asked for by the hour in few rows, as 24 times as many would not do
_FINEST = "cluster,node,namespace,pod,container"
_COARSE = "cluster,controllerKind"  # volumes that nobody mounts have no controller: they say nothing of samples
T = TypeVar("T")


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
    `default_currency` is taken where neither says; `default_is_stated`: a setting states it. `calculate` runs what
    interprets the answers; `folder` is where they are kept, None to keep none.
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
        calculate: Calculate = calculate_here,
        folder: AnswerFolder | None = None,
    ) -> None:
        self.client = client
        self.cluster_id = cluster_id
        self._currency, self._default_currency = currency, default_currency
        self._default_is_stated = default_is_stated
        self._profile, self._calculate, self._folder = profile, calculate, folder
        self._about = Once(self._ask_about)
        self._configs = Once(partial(client.about, "/getConfigs"))
        self._savings_answer = Once(partial(self._recommended, "/savings"))

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

        Raises: SourceError, when there are no rows; RequestError, for several clusters or another currency. Assets
                that can't be read are an issue: the rows alone still make a bill.
        """
        answers, question = await self.fetch(window), self._question(window)
        if self._folder is not None:
            await asyncio.to_thread(keep_costs, self._folder, answers, question)
        try:
            reading = await self._calculate(answers.size_bytes, interpret, answers, question)
        except ClusterNotThere:  # which is no fault of the answer
            raise
        except SourceError as error:
            self.client.log_failure("/allocation", error.code, answers.allocations.duration_seconds)
            raise
        if isinstance(answers.assets, Answer) and (code := unread_assets_code(reading)) is not None:
            self.client.log_failure("/assets", code, answers.assets.duration_seconds)
        if not reading.allocations and self.cluster_id is not None:
            await self._check_that_it_is_there(self.cluster_id)
        return reading

    async def fetch(self, window: Window) -> SourceAnswers:
        """The answers that `interpret` makes a reading of. Raises SourceError, when the rows can't be had."""
        async with task_group() as group:
            rows_task = group.create_task(self.client.day_allocations(window, self.cluster_id))
            assets_task = group.create_task(_attempt(self.client.day_assets(window, self.cluster_id)))
            configs_task = group.create_task(_attempt(self._configs_once_found()))
        return SourceAnswers(
            rows_task.result(), assets_task.result(), configs_task.result(), self.client.clock_difference
        )

    async def hours(self, window: Window, rows: int) -> Sequence[SeenHour]:
        """What the source saw in each hour of a day that has so many rows; none, where it does not answer by the hour.

        Raises: SourceError.
        """
        aggregate = _FINEST if rows <= _ROWS_BY_THE_HOUR else _COARSE
        answer, question = (
            await self.client.hourly_allocations(window, self.cluster_id, aggregate),
            self._question(window),
        )
        if self._folder is not None:
            await asyncio.to_thread(keep_hours, self._folder, answer, aggregate, question)
        try:
            return await self._calculate(len(answer.body), interpret_hours, answer, question)
        except SourceError as error:
            self.client.log_failure("/allocation", error.code, answer.duration_seconds)
            raise

    def _question(self, window: Window) -> SourceQuestion:
        return SourceQuestion(
            self.url,
            window,
            self.cluster_id,
            self._currency,
            self._default_currency,
            default_is_stated=self._default_is_stated,
        )

    async def savings(self) -> Savings | None:
        """What Kubecost recommends to save per month; None from an OpenCost, and where there is no such path.

        Raises: SourceError, also where the source fails to tell what it is: its profile is unknown then.
        """
        answer = await self._savings_answer()
        if answer is None or (about := await self.introduce()).product == OPENCOST:
            return None
        try:
            profile = self._profile or about.profile
            return await self._calculate(
                len(answer.body), read_savings, answer.body, profile=profile, cluster_id=self.cluster_id
            )
        except SourceError as error:
            self.client.log_failure("/savings", error.code, answer.duration_seconds)
            raise

    async def savings_items(self, category: str, window: Window) -> SavingsItems | None:
        """The recommendations of a category; None where it lists none, or no documented ones.

        Raises: SourceError.
        """
        if (where := drill_down(category)) is None:
            return None
        for path in where.paths:
            if (answer := await self._recommended(path, window if where.takes_window else None)) is None:
                continue
            try:
                return await self._calculate(len(answer.body), read_items, answer.body, category, path, self.cluster_id)
            except SourceError as error:
                self.client.log_failure(path, error.code, answer.duration_seconds)
                raise
        return None

    async def _recommended(self, path: str, window: Window | None = None) -> Answer | None:
        """Savings as the source answers them; None where it has no such path. Raises SourceError."""
        params = () if window is None else (("window", str(window)),)
        answer = await self.client.raw(path, params)
        if answer is not None and self._folder is not None:
            question = self._question(window or instant_window(answer))
            await asyncio.to_thread(keep_savings, self._folder, answer, path, params, question)
        return answer

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
        answers = [task.result() for task in tasks]
        failures = [answer for answer in answers if isinstance(answer, SourceError)]
        cluster, install, clusters, configs = (
            {} if isinstance(answer, SourceError) else answer or {} for answer in answers
        )
        if failures and not (cluster or install or clusters):
            raise failures[0]  # not remembered
        # An OpenCost has neither savings nor a configuration to be read: it answers 404, it does not break on them.
        has_savings = _has_savings(savings_task.result())
        kubecost = bool(configs) or has_savings is True
        opencost = bool(cluster or install or clusters) and not kubecost and has_savings is False
        chosen = self.cluster_id or _text(cluster.get("id"))
        return About(
            product=KUBECOST if kubecost else OPENCOST if opencost else None,
            version=_text(install.get("version")),
            cluster_id=chosen,
            cluster_name=_text(_dict(clusters.get(chosen or "")).get("name"))
            or (_text(cluster.get("name")) if chosen == _text(cluster.get("id")) else None),
            provider=_text(cluster.get("provider")),
            profile=_text(cluster.get("clusterProfile")),
            currency=stated_currency(configs),
            savings_offered=kubecost,
            cluster_ids=tuple(sorted(clusters)),
            ahead=self.client.clock_difference,
        )

    async def _check_that_it_is_there(self, cluster_id: str) -> None:
        """A source that filters answers nothing for a mistyped id, as for a window without data: it lists its own."""
        found = (await self.about()).cluster_ids
        if found and cluster_id not in found:
            raise ClusterNotThere(self.url, cluster_id, found)


async def _attempt(question: Awaitable[T]) -> T | SourceError:
    """The answer, or why there is none, so that one failure does not cancel its neighbours."""
    try:
        return await question
    except SourceError as error:
        return error


def _dict(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _has_savings(answer: Answer | SourceError | None) -> bool | None:
    """Whether this is what only a Kubecost answers to /savings: some, or a failure to compute them.

    None where it may be that all the same: cut off, late, unavailable, or no object.
    """
    if isinstance(answer, SourceFailed):
        return True
    if isinstance(answer, SourceError):
        return None if answer.retryable else False
    if answer is None:
        return False
    try:
        return None if decode_object(answer) is None else True
    except SourceRefused:  # in words of its own
        return False
    except SourceError:
        return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
