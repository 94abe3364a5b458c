"""The query API of Prometheus as a client library; Thanos, Mimir and VictoriaMetrics answer the same questions."""

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

MOST_POINTS = 11_000  # of one series in one answer; Prometheus refuses more
_LONGEST_IN_A_URL = 1_500  # characters that every proxy takes
_LONGEST_IN_ANY_URL = 8_000  # and what most take, where a question can't be posted
_TOO_MUCH = frozenset({"execution", "timeout"})  # samples or time that a query may take
FEWEST_POINTS = 6
"""Of a range that was refused as too much, this many are not halved: what is too much for these is too much for one."""
_NOT_POSTED = frozenset({403, 405})
# Parameters that only some servers know. Others ignore them; strict ones, such as Google's, answer 400.
_OPTIONAL = ("dedup", "partial_response", "max_source_resolution", "nocache", "max_lookback")
_BAD_REQUEST = frozenset({400})
_FAILED = "source_request_failed"
_UNKNOWN_PARAMETER = re.compile(
    rb"\b(" + "|".join(_OPTIONAL).encode() + rb")\b"
    rb"|\b(unknown|unexpected|unsupported|unrecogni[sz]ed)\b.{0,40}\b(parameter|argument|field)s?\b",
    re.IGNORECASE | re.DOTALL,
)
_TOLD_AT_MOST = 10
# How Prometheus begins what it thinks of a query itself; other warnings come from stores that did not answer.
_ABOUT_THE_QUERY = ("PromQL warning:", "PromQL info:")
_PROBE = "count_over_time(vector(1)[1m:1m])"


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an answer: pairs of Unix seconds and value, oldest first, without NaN and infinity."""

    labels: dict[str, str]
    points: list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Found:
    """What a query found, and what the server had to say beside it.

    missing: warnings of data that were not there to be asked (a store of Thanos that is down, a partial answer).
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
    partial_response:      whether an answer without the stores that are down is better than none.
    max_source_resolution: the coarsest of its downsampled data that may be used where there is; "0s" for raw data only,
                           which are gone first, so that old windows then seem empty.
    """

    dedup: bool = True
    partial_response: bool = False
    max_source_resolution: str = "5m"

    def pairs(self) -> Pairs:
        """As parameters of a query."""
        return (
            ("dedup", str(self.dedup).lower()),
            ("partial_response", str(self.partial_response).lower()),
            ("max_source_resolution", self.max_source_resolution),
        )


@dataclass(slots=True)
class _Once:
    """What a server is like, once that is known; whoever finds it out holds the lock."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    answer: bool | None = None


class Transport(Protocol):
    """What sends a query: HTTP to a server, or a file of kept answers."""

    @property
    def masked_url(self) -> str: ...

    @property
    def account(self) -> str | None: ...

    async def aclose(self) -> None: ...

    async def get(self, path: str, params: Pairs = (), *, expected: frozenset[int] = frozenset()) -> Answer: ...

    async def post(self, path: str, form: Pairs, *, expected: frozenset[int] = frozenset()) -> Answer: ...


class PrometheusClient:
    """Asks one server, whose URL ends before `/api/v1`. Counts its questions in `questions`."""

    def __init__(
        self,
        transport: Transport,
        *,
        options: QueryOptions | None = None,
        parallel: int = 4,
        longest: timedelta = 30 * 24 * HOUR,
        calculate: Calculate = calculate_here,
        is_left_open: bool | None = None,
    ) -> None:
        """
        longest:      the longest span that one query may cover; Mimir and Thanos often refuse longer ones.
        calculate:    runs what decodes the answers.
        is_left_open: whether a range leaves out a sample at its very start; None if that has to be found out.
        """
        self._transport, self._options = transport, options or QueryOptions()
        self._parallel, self._longest, self.calculate = asyncio.Semaphore(parallel), longest, calculate
        self._left_open = _Once(answer=is_left_open)
        self._takes_options = _Once()
        self._takes_no_post = False
        self.questions = 0

    @property
    def url(self) -> str:
        """The server's address, fit to be shown."""
        return self._transport.masked_url

    @property
    def account(self) -> str | None:
        """Whose it is, in logs."""
        return self._transport.account

    async def aclose(self) -> None:
        """Give the connections back."""
        await self._transport.aclose()

    async def instant(self, query: str, at: datetime) -> Found:
        """What `query` is at an instant: one point a series. Raises SourceError."""
        pairs = (("query", query), ("time", _unix(at)), *self._options.pairs())
        return await self.calculate(0, _found, [await self._asked("/api/v1/query", pairs, "vector")])

    async def range(
        self,
        query: str,
        start: datetime,
        end: datetime,
        step: timedelta,
        *,
        lookback: timedelta | None = None,
        longest: timedelta | None = None,
    ) -> Found:
        """What `query` is from `start` to `end`, both included, every `step`; long spans in several questions.

        `lookback`: how old a sample may be that a selector without a range finds; a VictoriaMetrics would take one that
        is a whole step old. The others have a setting of their own, five minutes if nobody changed it.
        `longest`: a shorter span for one question than the client's own.

        Raises: SourceError.
        """
        more = () if lookback is None else (("max_lookback", f"{lookback.total_seconds():g}s"),)
        most = max(1, min(MOST_POINTS, int(min(longest or self._longest, self._longest) / step)))
        points = int((end - start) / step) + 1
        cuts = [(first, min(first + most, points) - 1) for first in range(0, points, most)]
        async with task_group() as group:
            tasks = [group.create_task(self._in_parts(query, start, step, cut, more)) for cut in cuts]
        answers = [answer for task in tasks for answer in task.result()]
        return await self.calculate(0, _found, answers)

    async def is_left_open(self, near: datetime) -> bool:
        """Whether a range leaves out a sample at its very start; asked once, of an instant that may be asked for.

        It is found out and not read off a version: Mimir, Thanos and hosted servers have versions of their own. Two
        points of a subquery lie on the ends of its range; a server that is left-open counts one of them.

        Raises: SourceError.
        """
        async with self._left_open.lock:
            if self._left_open.answer is None:
                seconds = int(near.timestamp()) // 60 * 60
                pairs = (("query", _PROBE), ("time", str(seconds)), *self._options.pairs())
                found = _found([await self._asked("/api/v1/query", pairs, "vector")])
                if not found.series:
                    raise SourceError(
                        f"{self.url} returned nothing for the query {_PROBE}, which every Prometheus answers: give the "
                        "address of the query API itself, past a proxy that changes queries",
                        code="probe_unanswered",
                    )
                self._left_open.answer = found.series[0].points[0][1] < 2
        return self._left_open.answer

    @property
    def found_left_open(self) -> bool | None:
        """What `is_left_open` found out; None as long as it was not asked."""
        return self._left_open.answer

    async def _in_parts(
        self, query: str, start: datetime, step: timedelta, cut: tuple[int, int], more: Pairs
    ) -> list[QueryAnswer]:
        """The points from one to another, in halves where the server says that all of them are too much at a time."""
        first, last = cut
        try:
            return [await self._range(query, start + first * step, start + last * step, step, more)]
        except QueryRefused as error:
            if error.error_type not in _TOO_MUCH or last - first < FEWEST_POINTS:
                raise
        middle = (first + last) // 2
        halves = (first, middle), (middle + 1, last)
        return [answer for half in halves for answer in await self._in_parts(query, start, step, half, more)]

    async def _range(self, query: str, start: datetime, end: datetime, step: timedelta, more: Pairs) -> QueryAnswer:
        pairs = (
            ("query", query),
            ("start", _unix(start)),
            ("end", _unix(end)),
            ("step", f"{step.total_seconds():g}"),
            # A VictoriaMetrics would round start and end to the step, so as to answer from its cache.
            ("nocache", "1"),
            *self._options.pairs(),
            *more,
        )
        return await self._asked("/api/v1/query_range", pairs, "matrix")

    async def _asked(self, path: str, pairs: Pairs, result_type: str) -> QueryAnswer:
        async with self._parallel:
            try:
                answer = await self._answered(path, pairs)
            except SourceRefused as error:
                raise refused(error) from error
        note_answer(answer, path, pairs)
        try:
            return await self.calculate(len(answer.body), decode_query, answer, result_type)
        except SourceError as error:  # the transport took it for a good answer
            logs.warning("source_answer_unusable", account=self.account, source=self.url, path=path, error=error.code)
            raise

    async def _answered(self, path: str, pairs: Pairs) -> Answer:
        """The answer, without the optional parameters where the server refuses these.

        The first question finds that out, and all others wait for it: a strict server refuses one question at most.
        """
        if self._takes_options.answer is None:
            async with self._takes_options.lock:
                if self._takes_options.answer is None:
                    return await self._first_answer(path, pairs)
        return await self._sent(path, pairs if self._takes_options.answer else _without_options(pairs))

    async def _first_answer(self, path: str, pairs: Pairs) -> Answer:
        try:
            answer = await self._sent(path, pairs, quiet_about=_BAD_REQUEST)
        except SourceRefused as error:
            if error.status not in _BAD_REQUEST or not _UNKNOWN_PARAMETER.search(error.body):
                if error.status in _BAD_REQUEST:
                    logs.warning(_FAILED, account=self.account, source=self.url, path=path, error=error.code)
                raise
            refusal = error
        else:
            self._takes_options.answer = True
            return answer
        self._takes_options.answer = False
        try:
            return await self._sent(path, _without_options(pairs))
        except SourceRefused as error:
            # The same words again: the parameters were not the reason, a query merely has one of their names in it.
            self._takes_options.answer = error.body == refusal.body
            raise

    async def _sent(self, path: str, pairs: Pairs, *, quiet_about: frozenset[int] = frozenset()) -> Answer:
        self.questions += 1
        length = len(urlencode(pairs))
        if length <= _LONGEST_IN_A_URL or (self._takes_no_post and length <= _LONGEST_IN_ANY_URL):
            return await self._transport.get(path, pairs, expected=quiet_about)
        try:
            return await self._transport.post(path, pairs, expected=_NOT_POSTED | quiet_about)
        except SourceRefused as error:
            # A proxy that lets through only what changes nothing takes a POST for a change.
            if error.status not in _NOT_POSTED or length > _LONGEST_IN_ANY_URL:
                raise
            self._takes_no_post = True
        self.questions += 1
        return await self._transport.get(path, pairs, expected=quiet_about)


def _without_options(pairs: Pairs) -> Pairs:
    return [(name, value) for name, value in pairs if name not in _OPTIONAL]


def _unix(at: datetime) -> str:
    """Unix seconds; to the millisecond where it has a part of one."""
    return f"{at.timestamp():.3f}".removesuffix(".000")


def _found(answers: Sequence[QueryAnswer]) -> Found:
    """The answers about adjacent spans as one."""
    by_labels: dict[frozenset[tuple[str, str]], Series] = {}
    missing: dict[str, None] = {}
    remarks: dict[str, None] = {}
    for answer in answers:
        for sampled in (answer.data and answer.data.result) or ():
            points = _points(sampled)
            if points:
                one = by_labels.setdefault(frozenset(sampled.metric.items()), Series(sampled.metric, []))
                one.points.extend(points)
        for text in answer.warnings or ():
            shown = printable(text, 300)
            (remarks if text.startswith(_ABOUT_THE_QUERY) else missing)[shown] = None
        remarks |= dict.fromkeys(printable(text, 300) for text in answer.infos or ())
        if answer.is_partial:
            missing["the answer is partial"] = None
    return Found(list(by_labels.values()), tuple(missing)[:_TOLD_AT_MOST], tuple(remarks)[:_TOLD_AT_MOST])


def _points(sampled: Sampled) -> list[tuple[float, float]]:
    samples = sampled.values if sampled.value is None else [sampled.value]
    return [(at, value) for at, value in ((at, _number(text)) for at, text in samples) if value is not None]


def _number(text: str) -> float | None:
    """The value of a sample; None for NaN, infinity (`+Inf`) and what is no number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value) else None
