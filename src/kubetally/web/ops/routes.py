"""`/healthz`, `/readyz` and `/metrics`."""

import asyncio
from collections.abc import Sequence
from typing import Any

from litestar import Router, get
from litestar.openapi import ResponseSpec
from litestar.response import Response
from msgspec import Struct, field

from kubetally import logs
from kubetally.domain.errors import KubetallyError
from kubetally.ledger.costs.progress import ClustersProgress
from kubetally.ledger.costs.service import CostService
from kubetally.ledger.diagnose.storage import StorageCheck, StorageHealth, StorageProblemKind
from kubetally.web.ops.metrics import MEDIA_TYPE, HttpMetrics
from kubetally.web.problems import NO_STORE
from kubetally.web.service_state import ServiceState

HEALTH_TIMEOUT_SECONDS = 0.8
"""Timeout for the answer to a probe. By default Kubernetes waits one second."""
_log = logs.get_logger(__name__)


class Health(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """`status` is ok, ready, stopping or unavailable. `problems`: of database, lake and disks, by their names."""

    status: str
    version: str
    problems: list[str] = field(default_factory=list)


def operations(
    service: CostService, http_metrics: HttpMetrics, version: str, state: ServiceState, storage: StorageCheck | None
) -> Router:
    """The routes of `/healthz`, `/readyz` and `/metrics`, which show no secrets."""

    def respond(status: str, code: int = 200, problems: Sequence[str] = ()) -> Response[Health]:
        return Response(Health(status, version, list(problems)), status_code=code, headers=NO_STORE)

    async def storage_health() -> StorageHealth | None:
        """The health of the stores; None without a check, or if a store takes too long."""
        try:
            async with asyncio.timeout(HEALTH_TIMEOUT_SECONDS):
                return None if storage is None else await storage.latest()
        except (TimeoutError, KubetallyError) as error:
            _log.warning("storage_unknown", why=error.code if isinstance(error, KubetallyError) else "timeout")
            return None

    async def failure_of_accounts() -> KubetallyError | None:
        try:
            await service.check(HEALTH_TIMEOUT_SECONDS)
        except KubetallyError as error:
            return error
        return None

    async def progress() -> ClustersProgress | None:
        try:
            return await service.progress(HEALTH_TIMEOUT_SECONDS)
        except KubetallyError as error:  # /readyz reports it; the other metrics are unaffected
            _log.warning("collecting_unknown", why=error.code)
            return None

    @get("/healthz", summary="Whether the process is alive", operation_id="healthz")
    async def healthz() -> Response[Health]:
        return respond("ok")

    @get(
        "/readyz",
        summary="Whether the service can answer: it can read its accounts, and is not stopping. Lists storage problems",
        operation_id="readyz",
        responses={503: ResponseSpec(Health, generate_examples=False, description="The service can't answer now.")},
    )
    async def readyz() -> Response[Health]:
        if state.is_stopping:
            return respond("stopping", 503)
        failure, health = await asyncio.gather(failure_of_accounts(), storage_health())
        problems = [] if health is None else [*dict.fromkeys(problem.kind for problem in health.problems)]
        if failure is None:
            return respond("ready", problems=problems)
        _log.warning("not_ready", why=failure.code)
        unreadable = StorageProblemKind.DATABASE_UNREADABLE  # known before the next check of the stores
        return respond("unavailable", 503, problems if unreadable in problems else [unreadable, *problems])

    @get(
        "/metrics",
        summary="Metrics of the service for Prometheus",
        operation_id="metrics",
        media_type=MEDIA_TYPE,
        responses={200: ResponseSpec(str, generate_examples=False, description="Metrics.", media_type="text/plain")},
    )
    async def metrics() -> Response[bytes]:
        collecting, health = await asyncio.gather(progress(), storage_health())
        return Response(http_metrics.exposition(collecting, health), media_type=MEDIA_TYPE, headers=NO_STORE)

    handlers: list[Any] = [healthz, readyz, metrics]
    return Router("/", route_handlers=handlers, tags=["operations"])
