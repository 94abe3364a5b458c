"""Answers of `kubecost_cluster_costs`; cached ones are returned without waiting and without a route."""

from typing import Final, Protocol

from litestar.types import HTTPScope, Receive, Scope, Send

from kubetally.domain.window import Clock
from kubetally.ledger.costs.service import CachedAnswer, CostService
from kubetally.web.documentation import METROCULUS
from kubetally.web.instrumented_app import CACHE
from kubetally.web.metroculus.bodies import Bodies
from kubetally.web.metroculus.errors import JSON, require
from kubetally.web.metroculus.question import parse
from kubetally.web.problems import Problem
from kubetally.web.secret import Secret

COSTS: Final = "/kubecost_cluster_costs"
_PATH: Final = METROCULUS + COSTS


class CacheCounter(Protocol):
    """Counts hits and misses of the cache."""

    def count_cache(self, *, is_hit: bool, age_seconds: float) -> None:
        """Count an answer. age_seconds: of a cached one."""


class CostAnswers:
    """Answers of the endpoint, for requests with the secret."""

    def __init__(self, service: CostService, secret: Secret, clock: Clock, counter: CacheCounter) -> None:
        self._service, self._secret, self._clock, self._counter = service, secret, clock, counter
        self._bodies = Bodies(service.calculate)

    async def answer(self, scope: HTTPScope) -> "ReadyAnswer":
        """The answer of a request. Raises Problem and what `CostService.costs` raises."""
        require(self._secret, scope)
        question = parse(scope["query_string"])
        requested = question.requested_window(self._clock)
        answer = await self._service.costs(question.cloud_account_id, requested.window)
        if question.with_legacy:
            answer = await self._service.with_legacy(answer, requested.samples)
        self._counter.count_cache(is_hit=answer.is_hit, age_seconds=answer.age_seconds)
        return ReadyAnswer(await self._bodies.get(answer, question, requested), answer)

    def cached(self, scope: HTTPScope) -> "ReadyAnswer | None":
        """The answer of a request if account, costs and body are cached; None otherwise, errors included.

        It saves Litestar's routing and response, which take longer than everything else here.
        """
        if scope["path"] != _PATH or scope["method"] != "GET" or self._secret.check(scope) is not None:
            return None
        try:
            question = parse(scope["query_string"])
        except Problem:
            return None
        if question.with_legacy:
            return None
        requested = question.requested_window(self._clock)
        answer = self._service.cached(question.cloud_account_id, requested.window)
        body = None if answer is None else self._bodies.cached(answer, question, requested)
        if answer is None or body is None:
            return None
        self._counter.count_cache(is_hit=True, age_seconds=answer.age_seconds)
        scope["path_template"] = _PATH  # as Litestar sets it for a route, for log and metrics
        return ReadyAnswer(body, answer)


class ReadyAnswer:
    """An encoded answer, sent without a Litestar response."""

    __slots__ = ("_body", "_cache", "_headers")
    _COMMON = ((b"content-type", JSON.encode()), (b"cache-control", b"no-store"))

    def __init__(self, body: bytes, answer: CachedAnswer) -> None:
        self._body, self._cache = body, "hit" if answer.is_hit else "miss"
        self._headers = [
            *self._COMMON,
            (b"content-length", b"%d" % len(body)),
            (b"age", b"%d" % answer.age_seconds),
            (b"x-kubetally-cache", self._cache.encode()),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        scope["state"][CACHE] = self._cache
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._body, "more_body": False})
