"""A client of the query API of Prometheus, which Thanos, Mimir and VictoriaMetrics have too."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import isfinite
from typing import Protocol
from urllib.parse import urlencode

from kubetally import logs
from kubetally.domain.errors import SourceError
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.window import HOUR, Window
from kubetally.sources.faults import Answer, SourceRefused, printable
from kubetally.sources.kept import note_answer
from kubetally.sources.prometheus.wire import QueryAnswer, QueryRefused, Sampled, decode_query, refused
from kubetally.tasks import Calculate, calculate_here, task_group

Pairs = Sequence[tuple[str, str]]

_MAX_POINTS = 11_000  # of one series in one answer; Prometheus refuses more
_MAX_URL_LENGTH = 1_500  # characters that every proxy accepts
_MAX_URL_LENGTH_WITHOUT_POST = 8_000  # characters that most proxies accept
_TOO_MUCH = frozenset({"execution", "timeout"})  # the query exceeds a limit of samples or time
MIN_SPLIT_POINTS = 6
"""A range of this many points or fewer is not split: if it exceeds a limit, a single point does too."""
_POST_REFUSED = frozenset({403, 405})
# Parameters that only some servers know. Most others ignore them; strict ones, such as Google's, answer 400.
_OPTIONAL = ("dedup", "partial_response", "max_source_resolution", "nocache", "max_lookback")
_BAD_REQUEST = frozenset({400})
_FAILED = "source_request_failed"
_UNKNOWN_PARAMETER = re.compile(
    rb"\b(" + "|".join(_OPTIONAL).encode() + rb")\b"
    rb"|\b(unknown|unexpected|unsupported|unrecogni[sz]ed)\b.{0,40}\b(parameter|argument|field)s?\b",
    re.IGNORECASE | re.DOTALL,
)
_MAX_WARNINGS = 10
# Prefixes of what Prometheus says about the query itself; other warnings are about stores that did not answer.
_ABOUT_THE_QUERY = ("PromQL warning:", "PromQL info:")
_PROBE = "count_over_time(vector(1)[1m:1m])"


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an answer. points: Unix seconds and value, oldest first, without NaN and infinity."""

    labels: dict[str, str]
    points: list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The series of a query, with the server's warnings.

    missing: warnings about missing data, such as a store of Thanos that is down.
    remarks: warnings and infos about the query itself.
    """

    series: list[Series]
    missing: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def issues(self, url: str, window: Window) -> list[Issue]:
        """The server's warnings, as issues of an answer about `window`."""
        missing = (f"Prometheus warns that data is missing and figures may be too low: {text}" for text in self.missing)
        remarks = (f"Prometheus notes: {text}" for text in self.remarks)
        return [
            *(Issue(IssueKind.ANSWER_INCOMPLETE, message, url, window) for message in missing),
            *(Issue(IssueKind.SOURCE_WARNING, message, url, window) for message in remarks),
        ]


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """Parameters of Thanos, which the others ignore.

    dedup:                 whether replicas of one Prometheus are merged.
    partial_response:      whether it answers although some stores are down.
    max_source_resolution: the coarsest downsampled data that it may use; "0s" for raw data only, which expire first,
                           so that old windows then seem empty.
    """

    dedup: bool = True
    partial_response: bool = False
    max_source_resolution: str = "5m"

    def pairs(self) -> Pairs:
        """The parameters of a query."""
        return (
            ("dedup", str(self.dedup).lower()),
            ("partial_response", str(self.partial_response).lower()),
            ("max_source_resolution", self.max_source_resolution),
        )


@dataclass(slots=True)
class _Trait:
    """Whether a server has a trait; None until a request has shown it, which holds the lock."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    value: bool | None = None


class Transport(Protocol):
    """Sends queries: to a server by HTTP, or to a file of kept answers."""

    @property
    def masked_url(self) -> str: ...

    async def aclose(self) -> None: ...

    async def get(self, path: str, params: Pairs = (), *, expected: frozenset[int] = frozenset()) -> Answer: ...

    async def post(self, path: str, form: Pairs, *, expected: frozenset[int] = frozenset()) -> Answer: ...


class PrometheusClient:
    """Queries one server, whose URL ends before `/api/v1`. `questions` counts the requests."""

    def __init__(
        self,
        transport: Transport,
        *,
        options: QueryOptions | None = None,
        parallel: int = 4,
        max_span: timedelta = 30 * 24 * HOUR,
        calculate: Calculate = calculate_here,
        is_left_open: bool | None = None,
    ) -> None:
        """
        parallel:     how many requests run at a time.
        max_span:     what one query may cover; Mimir and Thanos often refuse longer spans.
        calculate:    runs the decoding of answers.
        is_left_open: whether a range excludes a sample at its very start; None to ask the server.
        """
        self._transport, self._options = transport, options or QueryOptions()
        self._log = logs.get_logger(__name__).bind(source=self.url)
        self._parallel, self._max_span, self.calculate = asyncio.Semaphore(parallel), max_span, calculate
        self._left_open = _Trait(value=is_left_open)
        self._accepts_options = _Trait()
        self._refuses_post = False
        self.questions = 0

    @property
    def url(self) -> str:
        """The server's address, masked."""
        return self._transport.masked_url

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def instant(self, query: str, at: datetime) -> QueryResult:
        """The value of `query` at an instant: one point per series. Raises SourceError."""
        pairs = (("query", query), ("time", _unix(at)), *self._options.pairs())
        return await self.calculate(0, _joined, [await self._query("/api/v1/query", pairs, result_type="vector")])

    async def range(
        self,
        query: str,
        *,
        first: datetime,
        last: datetime,
        step: timedelta,
        lookback: timedelta | None = None,
        max_span: timedelta | None = None,
    ) -> QueryResult:
        """The value of `query` every `step` from `first` to `last`, both included; long spans take several queries.

        `lookback`: how old a sample may be for a selector without a range. VictoriaMetrics would use one that is a
        whole step old; the others have a setting of their own, five minutes by default.
        `max_span`: a lower limit for one query than the client's own.

        Raises: SourceError.
        """
        more = () if lookback is None else (("max_lookback", f"{lookback.total_seconds():g}s"),)
        size = max(1, min(_MAX_POINTS, int(min(max_span or self._max_span, self._max_span) / step)))
        points = int((last - first) / step) + 1
        async with task_group() as group:
            tasks = [
                group.create_task(
                    self._range(query, first + start * step, min(size, points - start), step, more),
                )
                for start in range(0, points, size)
            ]
        answers = [answer for task in tasks for answer in task.result()]
        return await self.calculate(0, _joined, answers)

    async def is_left_open(self, near: datetime) -> bool:
        """Whether a range excludes a sample at its very start; asked once, at an instant close to `near`.

        Versions do not show it: Mimir, Thanos and hosted servers have their own. Two points of a subquery lie on the
        ends of its range, and a left-open server counts one of them.

        Raises: SourceError.
        """
        async with self._left_open.lock:
            if self._left_open.value is None:
                seconds = int(near.timestamp()) // 60 * 60
                pairs = (("query", _PROBE), ("time", str(seconds)), *self._options.pairs())
                result = _joined([await self._query("/api/v1/query", pairs, result_type="vector")])
                if not result.series:
                    raise SourceError(
                        f"{self.url} returned nothing for the query {_PROBE}, which every Prometheus answers: give the "
                        "address of the query API itself, past a proxy that changes queries",
                        code="probe_unanswered",
                    )
                self._left_open.value = result.series[0].points[0][1] < 2
        return self._left_open.value

    @property
    def known_left_open(self) -> bool | None:
        """The answer of `is_left_open`; None if it was not asked."""
        return self._left_open.value

    async def _range(self, query: str, first: datetime, points: int, step: timedelta, more: Pairs) -> list[QueryAnswer]:
        """The points from `first` on, in halves where the server refuses all of them as too much."""
        pairs = (
            ("query", query),
            ("start", _unix(first)),
            ("end", _unix(first + (points - 1) * step)),
            ("step", f"{step.total_seconds():g}"),
            # VictoriaMetrics would round start and end to the step, to answer from its cache.
            ("nocache", "1"),
            *self._options.pairs(),
            *more,
        )
        try:
            return [await self._query("/api/v1/query_range", pairs, result_type="matrix")]
        except QueryRefused as error:
            if error.error_type not in _TOO_MUCH or points <= MIN_SPLIT_POINTS:
                raise
        half = (points + 1) // 2
        older = await self._range(query, first, half, step, more)
        return older + await self._range(query, first + half * step, points - half, step, more)

    async def _query(self, path: str, pairs: Pairs, *, result_type: str) -> QueryAnswer:
        async with self._parallel:
            try:
                answer = await self._send_accepted(path, pairs)
            except SourceRefused as error:
                raise refused(error) from error
        note_answer(answer, path, pairs)
        try:
            return await self.calculate(len(answer.body), decode_query, answer, result_type)
        except SourceError as error:  # the transport logged no failure
            self._log.warning("source_answer_unusable", path=path, error=error.code)
            raise

    async def _send_accepted(self, path: str, pairs: Pairs) -> Answer:
        """The answer, without the optional parameters if the server refuses them.

        The first query shows that, and all others wait for it: a strict server refuses one query at most.
        """
        if self._accepts_options.value is None:
            async with self._accepts_options.lock:
                if self._accepts_options.value is None:
                    return await self._send_first(path, pairs)
        return await self._send(path, pairs if self._accepts_options.value else _without_options(pairs))

    async def _send_first(self, path: str, pairs: Pairs) -> Answer:
        try:
            answer = await self._send(path, pairs, expected=_BAD_REQUEST)
        except SourceRefused as error:
            if error.status not in _BAD_REQUEST or not _UNKNOWN_PARAMETER.search(error.body):
                if error.status in _BAD_REQUEST:
                    self._log.warning(_FAILED, path=path, error=error.code)
                raise
            refusal = error
        else:
            self._accepts_options.value = True
            return answer
        self._accepts_options.value = False
        try:
            return await self._send(path, _without_options(pairs))
        except SourceRefused as error:
            # The same message again: not the parameters are the reason, the query contains one of their names.
            self._accepts_options.value = error.body == refusal.body
            raise

    async def _send(self, path: str, pairs: Pairs, *, expected: frozenset[int] = frozenset()) -> Answer:
        self.questions += 1
        length = len(urlencode(pairs))
        if length <= _MAX_URL_LENGTH or (self._refuses_post and length <= _MAX_URL_LENGTH_WITHOUT_POST):
            return await self._transport.get(path, pairs, expected=expected)
        try:
            return await self._transport.post(path, pairs, expected=_POST_REFUSED | expected)
        except SourceRefused as error:
            # A read-only proxy takes a POST for a change.
            if error.status not in _POST_REFUSED or length > _MAX_URL_LENGTH_WITHOUT_POST:
                raise
            self._refuses_post = True
        self.questions += 1
        return await self._transport.get(path, pairs, expected=expected)


def _without_options(pairs: Pairs) -> Pairs:
    return [(name, value) for name, value in pairs if name not in _OPTIONAL]


def _unix(at: datetime) -> str:
    """Unix seconds, with milliseconds unless they are zero."""
    return f"{at.timestamp():.3f}".removesuffix(".000")


def _joined(answers: Sequence[QueryAnswer]) -> QueryResult:
    """The result of answers about adjacent spans."""
    by_labels: dict[frozenset[tuple[str, str]], Series] = {}
    missing: dict[str, None] = {}
    remarks: dict[str, None] = {}
    for answer in answers:
        for sampled in (answer.data and answer.data.result) or ():
            if points := _points(sampled):
                labels = frozenset(sampled.metric.items())
                by_labels.setdefault(labels, Series(sampled.metric, [])).points.extend(points)
        for text in answer.warnings or ():
            shown = printable(text, 300)
            (remarks if text.startswith(_ABOUT_THE_QUERY) else missing)[shown] = None
        remarks |= dict.fromkeys(printable(text, 300) for text in answer.infos or ())
        if answer.is_partial:
            missing["the answer is partial"] = None
    return QueryResult(list(by_labels.values()), tuple(missing)[:_MAX_WARNINGS], tuple(remarks)[:_MAX_WARNINGS])


def _points(sampled: Sampled) -> list[tuple[float, float]]:
    samples = sampled.values if sampled.value is None else [sampled.value]
    return [(at, value) for at, value in ((at, _number(text)) for at, text in samples) if value is not None]


def _number(text: str) -> float | None:
    """The value of a sample; None for NaN, infinity (`+Inf`) and text that is not a number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value) else None
