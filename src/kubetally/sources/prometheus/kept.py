"""Answers of Prometheus about a window, kept in a file and read again."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from kubetally.domain.infrastructure import Infrastructure
from kubetally.domain.window import Window
from kubetally.sources.faults import Answer, SourceRefused
from kubetally.sources.kept import AnswerFolder, KeptAnswer, KeptFile, KeptKind
from kubetally.sources.prometheus.client import MIN_SPLIT_POINTS, Pairs, PrometheusClient
from kubetally.sources.prometheus.infrastructure import read_infrastructure
from kubetally.sources.prometheus.promql import Selector

_RANGE = "/api/v1/query_range"
_KEY_PARAMS = frozenset({"query", "time", "start", "end", "step"})  # the others may differ by version
# The halves of a range that was refused as too much were kept in its place.
_TOO_MUCH = b'{"status":"error","errorType":"execution","error":"this query was not kept"}'


class _MetricsFacts(msgspec.Struct):
    selector: Selector
    is_left_open: bool | None


def keep_metrics(
    folder: AnswerFolder,
    url: str,
    window: Window,
    answers: Sequence[KeptAnswer],
    selector: Selector,
    *,
    is_left_open: bool | None,
) -> None:
    """Keep the answers about a window, if any."""
    if answers:
        facts: dict[str, Any] = {"selector": msgspec.to_builtins(selector), "is_left_open": is_left_open}
        folder.keep(KeptKind.METRICS, url, window, answers, facts)


class KeptTransport:
    """Answers queries from a file. It refuses a missing one as too much, so that the client asks for its halves."""

    def __init__(self, file: KeptFile, unanswered: list[str]) -> None:
        """unanswered: receives the missing queries that can't be halved. Raises KeptFileDamaged."""
        self.masked_url = file.url
        self._unanswered = unanswered
        self._answers = {_key(kept.path, kept.params): kept.answer for kept in file.read()}

    async def aclose(self) -> None:
        """Nothing is open."""

    async def get(self, path: str, params: Pairs = (), *, expected: frozenset[int] = frozenset()) -> Answer:
        """Raises SourceRefused."""
        answer = self._answers.get(_key(path, params))
        if answer is None:
            request = dict(params)
            if path != _RANGE or _points(request) <= MIN_SPLIT_POINTS:
                self._unanswered.append(request["query"])
            raise SourceRefused(self.masked_url, 422, None, body=_TOO_MUCH)
        return answer

    async def post(self, path: str, form: Pairs, *, expected: frozenset[int] = frozenset()) -> Answer:
        """As `get`."""
        return await self.get(path, form)


async def infrastructure_of(file: KeptFile, unanswered: list[str]) -> Infrastructure:
    """The interpretation of a file of metrics by this version. Raises KeptFileDamaged, SourceError, RequestError.

    unanswered: receives the queries that are not in the file.
    """
    facts = file.facts_as(_MetricsFacts)
    client = PrometheusClient(KeptTransport(file, unanswered), is_left_open=facts.is_left_open)
    return await read_infrastructure(client, facts.selector, file.window)


def _points(request: Mapping[str, str]) -> float:
    return (float(request["end"]) - float(request["start"])) / float(request["step"]) + 1


def _key(path: str, params: Pairs) -> tuple[str, ...]:
    return path, *(f"{name}={value}" for name, value in sorted(params) if name in _KEY_PARAMS)
