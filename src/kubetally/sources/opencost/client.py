"""A client of the HTTP API of OpenCost and Kubecost.

Both products ignore unknown parameters, so one request has the spelling of both. The prefix of the API differs: an
OpenCost on its own port has none, behind its UI and in Kubecost it is `/model`.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import msgspec

from kubetally import logs
from kubetally.domain.day_request import DayRequest
from kubetally.domain.errors import RequestError, SourceError
from kubetally.domain.question.dimensions import Aggregate, parse_aggregates
from kubetally.domain.question.filter import AllOf, AnyOf, Condition, Field, Filter, Op
from kubetally.domain.question.matching import Properties as FilteredProperties
from kubetally.domain.question.matching import matches
from kubetally.domain.window import Window
from kubetally.sources.faults import Answer, AnswerNotUnderstood, SourceRefused
from kubetally.sources.opencost.filters import FilterNotExpressible, to_v1, to_v2
from kubetally.sources.opencost.wire import (
    AllocationRow,
    Properties,
    decode_allocations,
    decode_object,
)
from kubetally.sources.transport import Transport
from kubetally.tasks import task_group

Params = Sequence[tuple[str, str]]

# Without an aggregate, an OpenCost answers by container, a Kubecost by namespace since 2.5 and in one row at 1.103. The
# rest turns off what Kubecost does by default: fees in rows, costs from outside of the cluster, rows without
# corrections, idle of all clusters in one row.
_AS_BOOKED: Params = (
    ("aggregate", "cluster,node,namespace,pod,container"),
    ("includeIdle", "true"),
    ("idle", "true"),
    ("splitIdle", "true"),
    ("shareTenancyCosts", "false"),
    ("reconcile", "true"),
    ("external", "false"),
)
_NOT_HERE = frozenset({404, 405})
# Properties that a grouped row may keep when its members are merged.
_KEPT_WHEN_GROUPED = frozenset({"cluster", "node", "namespace", "controllerKind", "controller", "pod", "container"})


class _NoSuchPath(Exception):
    """No prefix of the API has such a path; `first` is the answer at the likeliest one."""

    def __init__(self, first: SourceRefused | AnswerNotUnderstood) -> None:
        self.first = first
        super().__init__(str(first))


@dataclass(frozen=True, slots=True)
class Filtered:
    """Sets of rows, one per step. `filtered_here`: the source returned rows that the filter excludes."""

    sets: tuple[Mapping[str, AllocationRow], ...]
    filtered_here: bool = False


def day_requests(window: Window, cluster_id: str | None) -> tuple[DayRequest, DayRequest]:
    """What a source is asked for a day: its rows by container in one step with idle, and its assets."""
    assets = (("filterClusters", cluster_id),) if cluster_id else ()
    return (
        DayRequest("/allocation", (_of(window), *_AS_BOOKED, *_one_cluster(cluster_id))),
        DayRequest("/assets", (_of(window), *assets)),
    )


class CostModelClient:
    """Sends requests to one OpenCost or Kubecost. Remembers the prefix of its API."""

    def __init__(self, transport: Transport, *, parallel: int = 4, applies_filters: bool = False) -> None:
        """`applies_filters`: whether the source is known to (Kubecost does, an older OpenCost does not)."""
        self._transport = transport
        self._applies_filters = applies_filters
        self._parallel = asyncio.Semaphore(parallel)
        self._prefix: str | None = None
        self._is_found = asyncio.Event()
        self.clock_difference: timedelta | None = None

    @property
    def url(self) -> str:
        """The source's address, masked."""
        return self._transport.masked_url

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def wait_for_place(self) -> None:
        """Return once an answer has shown the prefix of the API."""
        await self._is_found.wait()

    async def day_allocations(self, window: Window, cluster_id: str | None) -> Answer:
        """The rows of `window` by container in one step, with idle: what a booking needs."""
        return await self._money(*day_requests(window, cluster_id)[0])

    async def hourly_allocations(self, window: Window, *, cluster_id: str | None, aggregate: str) -> Answer:
        """The rows of `window` in steps of an hour, with idle."""
        params = (*_AS_BOOKED, ("step", "1h"), ("aggregate", aggregate), *_one_cluster(cluster_id))
        return await self._money("/allocation", (_of(window), *params))

    async def day_assets(self, window: Window, cluster_id: str | None) -> Answer:
        """All assets of `window`."""
        return await self._money(*day_requests(window, cluster_id)[1])

    async def allocations(
        self,
        window: Window,
        *,
        aggregate: str | None = None,
        where: Filter | None = None,
        step: str | None = None,
        accumulate: bool = False,
        idle: bool = True,
    ) -> Filtered:
        """Rows as the source groups them. For figures that must add up, book days instead (`CostModelSource.read`).

        A filter is sent in both grammars and applied to the rows once more, because older OpenCosts ignore it.

        Raises: SourceError, RequestError.
        """
        grouped = parse_aggregates(aggregate) if aggregate else ()
        params = [("includeIdle", str(idle).lower()), ("idle", str(idle).lower())]
        params += [("aggregate", ",".join(map(str, grouped)))] if grouped else []
        params += [("step", step)] if step else []
        params += [("accumulate", "true")] if accumulate else []
        if where is not None:
            params += _filter_params(where)
        answer = await self._money("/allocation", (_of(window), *params))
        try:
            decoded, _ = decode_allocations(answer)
        except SourceError as error:  # the transport logged no failure
            path = answer.url.removeprefix(self.url)
            self.log_failure(path, code=error.code, seconds=answer.duration_seconds)
            raise
        data = decoded.data if isinstance(decoded.data, list) else [decoded.data or {}]
        sets = tuple({name: row for name, row in (step or {}).items() if row is not None} for step in data)
        return Filtered(sets) if where is None else self._filtered(sets, where, grouped)

    async def about(self, path: str) -> dict[str, Any] | None:
        """The data of an answer such as /clusterInfo; None if the source has none.

        Raises: SourceError, also if it answers that it failed.
        """
        try:
            return decode_object(await self._get_anywhere(path, quiet=True))
        except (_NoSuchPath, SourceRefused):
            return None
        except AnswerNotUnderstood as error:
            if error.said is not None:
                raise
            return None

    async def raw(self, path: str, params: Params = ()) -> Answer | None:
        """The raw answer; None if the source has no such path, or a web page for any path."""
        try:
            return await self._get_anywhere(path, params)
        except _NoSuchPath:
            return None

    async def _money(self, path: str, params: Params) -> Answer:
        async with self._parallel:
            began = time.monotonic()
            try:
                return await self._get(path, params, computes=True)
            except _NoSuchPath as error:
                self.log_failure(path, code=error.first.code, seconds=time.monotonic() - began)
                if await self._is_prometheus():
                    raise SourceError(
                        f"{self.url} is a Prometheus: give it as --prometheus-url, an OpenCost or Kubecost as --url",
                        code="source_is_prometheus",
                    ) from error.first
                raise error.first from None

    async def _is_prometheus(self) -> bool:
        """Whether the server answers with the version of a Prometheus."""
        try:
            answer = await self._transport.get("/api/v1/status/buildinfo", expected=_NOT_HERE, quiet=True)
            return "goVersion" in (decode_object(answer) or {})
        except SourceError:
            return False

    async def _get(self, path: str, params: Params, *, computes: bool = False) -> Answer:
        """The answer at the first prefix that has the path. Raises _NoSuchPath, SourceError.

        computes: whether the source computes the answer from its Prometheus, which may take more than a minute.
        """
        first: SourceRefused | AnswerNotUnderstood | None = None
        for prefix in self._prefixes():
            answer = await self._try(prefix, path, params, computes=computes)
            if isinstance(answer, Answer):
                return answer
            first = first or answer
        assert first is not None  # noqa: S101  # there is at least one prefix
        raise _NoSuchPath(first)

    async def _get_anywhere(self, path: str, params: Params = (), *, quiet: bool = False) -> Answer:
        """As `_get`, for a small answer: all prefixes are tried concurrently."""
        async with task_group() as group:
            tasks = [group.create_task(self._try(prefix, path, params, quiet=quiet)) for prefix in self._prefixes()]
        answers = [task.result() for task in tasks]
        for answer in answers:
            if isinstance(answer, Answer):
                return answer
        raise _NoSuchPath(next(answer for answer in answers if not isinstance(answer, Answer)))

    async def _try(
        self, prefix: str, path: str, params: Params, *, quiet: bool = False, computes: bool = False
    ) -> Answer | SourceRefused | AnswerNotUnderstood:
        """The answer at one prefix, or why the API does not have this prefix. Raises SourceError."""
        try:
            answer = await self._transport.get(
                prefix + path, params, expected=_NOT_HERE, quiet=quiet, until_deadline=computes
            )
        except SourceRefused as error:
            if error.status not in _NOT_HERE:
                raise
            return error
        if answer.is_web_page:
            return AnswerNotUnderstood.of(answer)
        self._prefix = prefix
        self._is_found.set()
        if answer.server_date is not None:
            self.clock_difference = answer.server_date - answer.received_at
        return answer

    def log_failure(self, path: str, *, code: str, seconds: float) -> None:
        """Log an answer that is valid HTTP and can't be used."""
        logs.warning(
            "source_answer_unusable",
            source=self.url,
            path=path,
            error=code,
            duration_seconds=round(seconds, 3),
        )

    def _prefixes(self) -> tuple[str, ...]:
        """The possible prefixes of the API, the likeliest first; only the right one once it is known."""
        if self._prefix is not None:
            return (self._prefix,)
        url = self._transport.access.url.address
        if url.endswith("/model"):
            return ("",)
        return ("/model", "") if url.endswith(":9090") else ("", "/model")

    def _filtered(
        self, sets: tuple[Mapping[str, AllocationRow], ...], where: Filter, grouped: tuple[Aggregate, ...]
    ) -> Filtered:
        if grouped and not _fields(where) <= _KEPT_WHEN_GROUPED & {dimension.name for dimension in grouped}:
            # A merged row has only the properties that all its members share, so the filter can't be applied.
            if self._applies_filters:
                return Filtered(sets)
            raise RequestError(
                f"{self.url} ignores filters, and these grouped rows lack the fields of the filter: "
                "request them ungrouped, or grouped by the fields of the filter",
                code="filter_not_applied",
            )
        kept = tuple({name: row for name, row in step.items() if matches(where, _properties(row))} for step in sets)
        return Filtered(kept, filtered_here=sum(map(len, kept)) < sum(map(len, sets)))


def _properties(row: AllocationRow) -> FilteredProperties:
    """The properties of a row for a filter: lists and maps are empty where the row has none."""
    about = row.properties or Properties()
    filled = msgspec.structs.replace(
        about, services=about.services or [], labels=about.labels or {}, annotations=about.annotations or {}
    )
    return cast("FilteredProperties", filled)


def _fields(where: Filter) -> set[str]:
    """The fields of a filter, named as aggregates are."""
    match where:
        case Condition(name):
            return {"controller" if name == Field.CONTROLLER_NAME else name.value}
        case AllOf(parts) | AnyOf(parts):
            return {field for part in parts for field in _fields(part)}


def _filter_params(where: Filter) -> list[tuple[str, str]]:
    """The filter in both grammars; a source that knows v2 ignores v1. Nothing if every row passes."""
    v2 = to_v2(where)
    try:
        v1 = list(to_v1(where))
    except FilterNotExpressible:
        v1 = []
    return [("filter", v2), *v1] if v2 else []


def _of(window: Window) -> tuple[str, str]:
    return "window", str(window)


def _one_cluster(cluster_id: str | None) -> Params:
    return () if cluster_id is None else _filter_params(Condition(Field.CLUSTER, Op.EQUALS, (cluster_id,)))
