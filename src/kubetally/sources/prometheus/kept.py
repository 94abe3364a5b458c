"""Answers of Prometheus about a window, kept as a file and read again."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from kubetally.domain.infrastructure import Infrastructure
from kubetally.domain.window import Window
from kubetally.sources.faults import Answer, SourceRefused
from kubetally.sources.kept import AnswerFolder, KeptAnswer, KeptFile, KeptKind
from kubetally.sources.prometheus.client import FEWEST_POINTS, Pairs, PrometheusClient
from kubetally.sources.prometheus.infrastructure import PrometheusInfrastructure
from kubetally.sources.prometheus.promql import Selector

_RANGE = "/api/v1/query_range"
_QUESTION = frozenset({"query", "time", "start", "end", "step"})  # what else is in a request may differ by version
# A range that was refused as too much was asked in halves, and these were kept.
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
    """Keep the answers about a window; nothing where there are none."""
    if answers:
        facts: dict[str, Any] = {"selector": msgspec.to_builtins(selector), "is_left_open": is_left_open}
        folder.keep(KeptKind.METRICS, url, window, answers, facts)


class KeptTransport:
    """Answers queries from a file. One that is not in it is refused as too much, so that its halves are looked up."""

    def __init__(self, file: KeptFile, unanswered: list[str]) -> None:
        """unanswered: gets the queries that are not in the file, and can't be halved. Raises KeptFileDamaged."""
        self.masked_url, self.account = file.url, file.account
        self._unanswered = unanswered
        self._answers = {_key(kept.path, kept.params): kept.answer for kept in file.read()}

    async def aclose(self) -> None:
        """Nothing is open."""

    async def get(self, path: str, params: Pairs = (), *, expected: frozenset[int] = frozenset()) -> Answer:
        """Raises SourceRefused."""
        answer = self._answers.get(_key(path, params))
        if answer is None:
            question = dict(params)
            if path != _RANGE or _points(question) <= FEWEST_POINTS:
                self._unanswered.append(question["query"])
            raise SourceRefused(self.masked_url, 422, None, body=_TOO_MUCH)
        return answer

    async def post(self, path: str, form: Pairs, *, expected: frozenset[int] = frozenset()) -> Answer:
        """As `get`."""
        return await self.get(path, form)


async def infrastructure_of(file: KeptFile, unanswered: list[str]) -> Infrastructure:
    """What this version reads in a file of metrics. Raises KeptFileDamaged, SourceError, RequestError.

    unanswered: gets the queries that are not in the file.
    """
    facts = file.facts_as(_MetricsFacts)
    client = PrometheusClient(KeptTransport(file, unanswered), is_left_open=facts.is_left_open)
    return await PrometheusInfrastructure(client, facts.selector).read(file.window)


def _points(question: Mapping[str, str]) -> float:
    """Points of a range."""
    return (float(question["end"]) - float(question["start"])) / float(question["step"]) + 1


def _key(path: str, params: Pairs) -> tuple[str, ...]:
    return path, *(f"{name}={value}" for name, value in sorted(params) if name in _QUESTION)
