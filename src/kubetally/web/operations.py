"""What operators and probes ask."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from litestar import Router, get
from litestar.openapi import ResponseSpec
from litestar.response import Response

from kubetally.domain.errors import HubError
from kubetally.ledger.service import CostService
from kubetally.ledger.storage_health import StorageCheck, StorageHealth
from kubetally.web import wire
from kubetally.web.figures import MEDIA_TYPE, Figures
from kubetally.web.problems import NO_STORE

_PATIENCE_SECONDS = 2.0
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Life:
    """Whether the service is about to stop, so that nobody sends it more."""

    is_stopping: bool = False


def operations(
    service: CostService, figures: Figures, version: str, life: Life, storage: StorageCheck | None
) -> Router:
    """`/healthz`, `/readyz` and `/metrics`; nothing in them is secret."""

    def told(status: str, code: int = 200, problems: Sequence[str] = ()) -> Response[wire.Health]:
        return Response(wire.Health(status, version, list(problems)), status_code=code, headers=NO_STORE)

    async def storage_health() -> StorageHealth | None:
        """None where nobody checks, or a store takes long to answer."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return None if storage is None else await storage.latest()
        except TimeoutError:
            _log.warning("storage_unknown", why="timeout")
            return None

    @get("/healthz", summary="Whether the process lives", operation_id="healthz")
    async def healthz() -> Response[wire.Health]:
        return told("ok")

    @get(
        "/readyz",
        summary="Whether it can answer: its accounts can be read, and it is not stopping; and problems of its stores",
        operation_id="readyz",
        responses={503: ResponseSpec(wire.Health, generate_examples=False, description="Not now.")},
    )
    async def readyz() -> Response[wire.Health]:
        if life.is_stopping:
            return told("stopping", 503)
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await service.check()
        except (HubError, TimeoutError) as error:
            _log.warning("not_ready", why=error.code if isinstance(error, HubError) else "timeout")
            return told("unavailable", 503)
        health = await storage_health()
        return told("ready", problems=[] if health is None else [*dict.fromkeys(one.kind for one in health.problems)])

    @get(
        "/metrics",
        summary="Figures of the service for Prometheus",
        operation_id="metrics",
        media_type=MEDIA_TYPE,
        responses={200: ResponseSpec(str, generate_examples=False, description="Figures.", media_type="text/plain")},
    )
    async def metrics() -> Response[bytes]:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                collecting = await service.progress()
        except (HubError, TimeoutError) as error:  # of which /readyz tells; the other figures are as good as ever
            _log.warning("collecting_unknown", why=error.code if isinstance(error, HubError) else "timeout")
            collecting = None
        health = await storage_health()
        return Response(figures.exposition(collecting, health), media_type=MEDIA_TYPE, headers=NO_STORE)

    handlers: list[Any] = [healthz, readyz, metrics]
    return Router("/", route_handlers=handlers, tags=["operations"])
