"""Answers of `kubecost_cluster_costs`; what is remembered is given without waiting, and without a route."""

from typing import Final

from litestar.types import HTTPScope, Receive, Scope, Send

from kubetally.domain.window import Clock
from kubetally.ledger.costs.service import CachedAnswer, CostService
from kubetally.web.documentation import METROCULUS
from kubetally.web.metroculus.bodies import Bodies
from kubetally.web.metroculus.question import parse
from kubetally.web.ops.metrics import HttpMetrics
from kubetally.web.problems import JSON, Problem
from kubetally.web.secret import Secret
from kubetally.web.watch import CACHE

COSTS: Final = "/kubecost_cluster_costs"
_PATH: Final = METROCULUS + COSTS


class CostAnswers:
    """Answers of the endpoint, for who knows the secret."""

    def __init__(self, service: CostService, secret: Secret, clock: Clock, http_metrics: HttpMetrics) -> None:
        self._service, self._secret, self._clock, self._http_metrics = service, secret, clock, http_metrics
        self._bodies = Bodies(service.calculate)

    async def answer(self, scope: HTTPScope) -> "ReadyAnswer":
        """The answer of a request. Raises Problem and what `CostService.costs` raises."""
        self._secret.demand(scope)
        question = parse(scope["query_string"])
        requested = question.requested_window(self._clock)
        answer = await self._service.costs(question.cloud_account_id, requested.window)
        if question.with_legacy:
            answer = await self._service.with_legacy(answer, requested.samples)
        self._http_metrics.cached(is_hit=answer.is_hit, age_seconds=answer.age_seconds)
        return ReadyAnswer(await self._bodies.of(answer, question, requested), answer)

    def remembered(self, scope: HTTPScope) -> "ReadyAnswer | None":
        """The same, where it needs no lookup, no source and no new body; None for anything else, errors included.

        Litestar's routing and the making of its response take longer than all of this.
        """
        if scope["path"] != _PATH or scope["method"] != "GET" or self._secret.refuses(scope) is not None:
            return None
        try:
            question = parse(scope["query_string"])
        except Problem:
            return None
        if question.with_legacy:
            return None
        requested = question.requested_window(self._clock)
        answer = self._service.cached(question.cloud_account_id, requested.window)
        body = None if answer is None else self._bodies.kept(answer, question, requested)
        if answer is None or body is None:
            return None
        self._http_metrics.cached(is_hit=True, age_seconds=answer.age_seconds)
        scope["path_template"] = _PATH  # as a route of Litestar has it, for the log and the figures
        return ReadyAnswer(body, answer)


class ReadyAnswer:
    """An answer that is there already, sent without what Litestar does to make one."""

    __slots__ = ("_body", "_cache", "_headers")
    _SAME = ((b"content-type", JSON.encode()), (b"cache-control", b"no-store"))

    def __init__(self, body: bytes, answer: CachedAnswer) -> None:
        self._body, self._cache = body, "hit" if answer.is_hit else "miss"
        self._headers = [
            *self._SAME,
            (b"content-length", b"%d" % len(body)),
            (b"age", b"%d" % answer.age_seconds),
            (b"x-kubetally-cache", self._cache.encode()),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        scope["state"][CACHE] = self._cache
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._body, "more_body": False})
