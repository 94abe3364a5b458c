"""One OpenCost or Kubecost as the source of a cluster's costs."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Generic, ParamSpec, TypeVar

from kubetally.domain.cluster_choice import ClusterNotThere
from kubetally.domain.errors import SourceError
from kubetally.domain.evidence.hours import SeenHour
from kubetally.domain.money import DEFAULT_CURRENCY
from kubetally.domain.reading import Reading
from kubetally.domain.savings import Savings, SavingsItems
from kubetally.domain.source_identity import KUBECOST, OPENCOST
from kubetally.domain.window import Window
from kubetally.ledger.ports.sources import About
from kubetally.sources.faults import Answer, SourceFailed, SourceRefused
from kubetally.sources.kept import AnswerFolder, KeptAnswer
from kubetally.sources.kubecost.savings import read_savings
from kubetally.sources.kubecost.savings_items import drill_down, read_items
from kubetally.sources.opencost.client import CostModelClient
from kubetally.sources.opencost.interpret import (
    ReadingRequest,
    SourceAnswers,
    interpret,
    interpret_hours,
    stated_currency,
    unread_assets_code,
)
from kubetally.sources.opencost.kept import instant_window, keep_costs, keep_hours, keep_savings
from kubetally.sources.opencost.wire import decode_object, text_of
from kubetally.tasks import Calculate, calculate_here, task_group

_MAX_FINE_ROWS = 500  # of a day; by the hour they are 24 times as many
_FINE = "cluster,node,namespace,pod,container"
_COARSE = "cluster,controllerKind"  # unmounted volumes have no controller, and show nothing about samples
P = ParamSpec("P")
T = TypeVar("T")


class Once(Generic[T]):
    """Loads a value once. Concurrent callers share the load and its failure; a later call repeats a failed one."""

    def __init__(self, load: Callable[[], Awaitable[T]]) -> None:
        self._load, self._lock = load, asyncio.Lock()
        self._value: tuple[T] | None = None
        self._failures: list[SourceError] = []

    async def __call__(self) -> T:
        earlier = len(self._failures)
        async with self._lock:
            if self._value is None:
                if len(self._failures) > earlier:
                    raise self._failures[-1]
                try:
                    self._value = (await self._load(),)
                except SourceError as error:
                    self._failures.append(error)
                    raise
            return self._value[0]


class CostModelSource:
    """The port `CostSource`, and `SavingsSource`: one cluster of an OpenCost or Kubecost.

    cluster_id, currency and the like: see `ReadingRequest`. calculate: runs the interpretation of answers.
    folder: where answers are kept; None to keep none.
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
        """Its address, masked."""
        return self.client.url

    async def read(self, window: Window) -> Reading:
        """The rows and assets of `window`, in one request each, and the currency, once.

        Raises: SourceError, if the rows can't be read; RequestError, for several clusters or another currency. Assets
                that can't be read are an issue: the rows alone still make a bill.
        """
        answers, request = await self.fetch(window), self._request(window)
        if self._folder is not None:
            await asyncio.to_thread(keep_costs, self._folder, answers, request)
        try:
            reading = await self._calculate(answers.size_bytes, interpret, answers, request)
        except ClusterNotThere:  # the answer itself is valid
            raise
        except SourceError as error:
            self.client.log_failure("/allocation", code=error.code, seconds=answers.allocations.duration_seconds)
            raise
        if isinstance(answers.assets, Answer) and (code := unread_assets_code(reading)) is not None:
            self.client.log_failure("/assets", code=code, seconds=answers.assets.duration_seconds)
        if not reading.allocations and self.cluster_id is not None:
            await self._check_cluster_exists(self.cluster_id)
        return reading

    async def fetch(self, window: Window) -> SourceAnswers:
        """The answers about `window`, for `interpret`. Raises SourceError, if the rows are unavailable."""
        async with task_group() as group:
            rows_task = group.create_task(self.client.day_allocations(window, self.cluster_id))
            assets_task = group.create_task(_attempt(self.client.day_assets(window, self.cluster_id)))
            configs_task = group.create_task(_attempt(self._configs_once_located()))
        return SourceAnswers(
            rows_task.result(), assets_task.result(), configs_task.result(), self.client.clock_difference
        )

    async def hours(self, window: Window, rows: int) -> Sequence[SeenHour]:
        """The source's rows in each hour of a day with that many rows; empty if its steps are longer.

        Raises: SourceError.
        """
        aggregate, request = _FINE if rows <= _MAX_FINE_ROWS else _COARSE, self._request(window)
        answer = await self.client.hourly_allocations(window, cluster_id=self.cluster_id, aggregate=aggregate)
        if self._folder is not None:
            await asyncio.to_thread(keep_hours, self._folder, answer, aggregate, request)
        return await self._interpret("/allocation", answer, interpret_hours, answer, request)

    async def _interpret(
        self, path: str, answer: Answer, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The result of a function of an answer. A failure is logged, as the transport logged none."""
        try:
            return await self._calculate(len(answer.body), function, *args, **kwargs)
        except SourceError as error:
            self.client.log_failure(path, code=error.code, seconds=answer.duration_seconds)
            raise

    def _request(self, window: Window) -> ReadingRequest:
        return ReadingRequest(
            self.url,
            window,
            cluster_id=self.cluster_id,
            currency=self._currency,
            default_currency=self._default_currency,
            default_is_stated=self._default_is_stated,
        )

    async def savings(self) -> Savings | None:
        """The savings that Kubecost recommends per month; None from an OpenCost.

        Raises: SourceError, also if the source does not state its product: its profile is unknown then.
        """
        answer = await self._savings_answer()
        if answer is None or (about := await self.introduce()).product == OPENCOST:
            return None
        profile = self._profile or about.profile
        return await self._interpret(
            "/savings", answer, read_savings, answer.body, profile=profile, cluster_id=self.cluster_id
        )

    async def savings_items(self, category: str, window: Window) -> SavingsItems | None:
        """The recommendations of a category; None if the source lists none. Raises SourceError."""
        if (where := drill_down(category)) is None:
            return None
        for path in where.paths:
            if (answer := await self._recommended(path, window if where.takes_window else None)) is None:
                continue
            return await self._interpret(
                path, answer, read_items, answer.body, category=category, path=path, cluster_id=self.cluster_id
            )
        return None

    async def _recommended(self, path: str, window: Window | None = None) -> Answer | None:
        """The raw answer of a path of savings; None if the source has no such path. Raises SourceError."""
        params = () if window is None else (("window", str(window)),)
        answer = await self.client.raw(path, params)
        if answer is not None and self._folder is not None:
            request = self._request(window or instant_window(answer))
            await asyncio.to_thread(keep_savings, self._folder, KeptAnswer(answer, path, params), request)
        return answer

    async def wait_for_place(self) -> None:
        """Return once an answer has shown the prefix of the API."""
        await self.client.wait_for_place()

    async def _configs_once_located(self) -> dict[str, Any] | None:
        """The configuration, requested once the prefix of the API is known."""
        await self.wait_for_place()
        return await self._configs()

    async def about(self) -> About:
        """The product, version, cluster and currency of the source; empty if it states nothing."""
        try:
            return await self._about()
        except SourceError:
            return About()

    async def introduce(self) -> About:
        """As `about`. Raises SourceError, if the source can't be reached."""
        return await self._about()

    async def _ask_about(self) -> About:
        get = self.client.about
        requests = (get("/clusterInfo"), get("/installInfo"), get("/clusterInfoMap"), self._configs())
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_attempt(request)) for request in requests]
            savings_task = group.create_task(_attempt(self._savings_answer()))
        answers = [task.result() for task in tasks]
        failures = [answer for answer in answers if isinstance(answer, SourceError)]
        cluster, install, clusters, configs = (
            {} if isinstance(answer, SourceError) else answer or {} for answer in answers
        )
        if failures and not (cluster or install or clusters):
            raise failures[0]  # not remembered
        # An OpenCost answers 404 to requests for savings and configuration.
        has_savings = _has_savings(savings_task.result())
        kubecost = bool(configs) or has_savings is True
        opencost = bool(cluster or install or clusters) and not kubecost and has_savings is False
        own_id = text_of(cluster, "id")
        chosen = self.cluster_id or own_id
        return About(
            product=KUBECOST if kubecost else OPENCOST if opencost else None,
            version=text_of(install, "version"),
            cluster_id=chosen,
            cluster_name=text_of(clusters.get(chosen or ""), "name")
            or (text_of(cluster, "name") if chosen == own_id else None),
            provider=text_of(cluster, "provider"),
            profile=text_of(cluster, "clusterProfile"),
            currency=stated_currency(configs),
            savings_offered=kubecost,
            cluster_ids=tuple(sorted(clusters)),
            ahead=self.client.clock_difference,
        )

    async def _check_cluster_exists(self, cluster_id: str) -> None:
        """Raises ClusterNotThere, if the source lists its clusters without this one.

        A source that filters answers nothing for a mistyped id, as it does for a window without data.
        """
        known = (await self.about()).cluster_ids
        if known and cluster_id not in known:
            raise ClusterNotThere(self.url, cluster_id=cluster_id, there=known)


async def _attempt(request: Awaitable[T]) -> T | SourceError:
    """The answer, or the failure, which so does not cancel the other requests of a group."""
    try:
        return await request
    except SourceError as error:
        return error


def _has_savings(answer: Answer | SourceError | None) -> bool | None:
    """Whether a source is a Kubecost, by its answer to /savings: savings, or a failure to compute them.

    None if the answer does not show it: cut off, late, unavailable, or not an object.
    """
    if isinstance(answer, SourceFailed):
        return True
    if isinstance(answer, SourceError):
        return None if answer.retryable else False
    if answer is None:
        return False
    try:
        return None if decode_object(answer) is None else True
    except SourceRefused:  # stated in the body
        return False
    except SourceError:
        return None
