"""Finds the cost sources and the Prometheus of a cluster."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from kubetally.domain.errors import SourceError
from kubetally.sources.faults import RedirectRefused, SourceFailed, SourceUnavailable
from kubetally.sources.kubernetes.api import KubernetesApi, NotAllowed
from kubetally.sources.kubernetes.recognise import FoundService, recognised, usual_names
from kubetally.sources.kubernetes.wire import Service

USUAL_NAMESPACES = ("opencost", "kubecost", "monitoring", "prometheus-system", "default")
"""The namespaces to search if we may not list the Services of all."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The recognised Services, the surest first. namespaces: those that were searched; empty for all."""

    services: list[FoundService]
    namespaces: tuple[str, ...] = ()


async def look(api: KubernetesApi) -> Seen:
    """The Services of costs and metrics in all namespaces that we may see.

    Without the right to list all, the usual namespaces are searched; without the right to list those, the usual names.

    Raises: NotAllowed (no right at all), SourceUnavailable, SourceError.
    """
    try:
        return Seen(recognised(await api.services()))
    except NotAllowed as error:
        everywhere = error
    own = [api.server.namespace] if api.server.namespace else []
    namespaces = tuple(dict.fromkeys([*own, *USUAL_NAMESPACES]))
    answers = await asyncio.gather(*(_in_namespace(api, name) for name in namespaces))
    allowed = {name: answer for name, answer in zip(namespaces, answers, strict=True) if isinstance(answer, list)}
    if not allowed:
        raise everywhere
    return Seen(recognised(service for services in allowed.values() for service in services), tuple(allowed))


async def find_cost_source(api: KubernetesApi, seen: Seen) -> FoundService:
    """The surest Kubecost or OpenCost that answers through the API server's proxy.

    Raises: NotAllowed (services/proxy), SourceUnavailable (none answers), SourceError (there is none).
    """
    candidates = [service for service in seen.services if service.product.has_costs]
    if not candidates:
        raise _no_source(api.server.name, seen)
    silent: list[tuple[FoundService, SourceError]] = []
    forbidden: NotAllowed | None = None
    for service in candidates:
        try:
            await api.knock(service)
        except NotAllowed as error:
            forbidden = forbidden or error
        except (SourceUnavailable, SourceFailed, RedirectRefused) as error:
            silent.append((service, error))
        else:
            return service
    if forbidden is not None:
        raise forbidden
    (first, cause), names = silent[0], tuple(str(service) for service, _ in silent)
    context, why = api.server.name, str(getattr(cause, "why", cause))
    raise SourceUnavailable(
        names[0],
        why,
        code="sources_silent",
        message=f"in context {context!r} there is {', '.join(names)}, which does not answer: {why}; check its pods: "
        f"`kubectl --context {context} -n {first.namespace} get pods`",
    ) from cause


def _no_source(context: str, seen: Seen) -> SourceError:
    plural = "" if len(seen.namespaces) == 1 else "s"
    where = f"namespace{plural} {', '.join(seen.namespaces)}" if seen.namespaces else "all namespaces"
    others = f"; there is {', '.join(map(str, seen.services))}, which has no costs" if seen.services else ""
    return SourceError(
        f"no Kubecost or OpenCost in {where} of context {context!r} (looked for Services labelled "
        f"app.kubernetes.io/name=opencost, cost-analyzer or kubecost, or named like them){others}; install OpenCost, "
        "or give the address of the source with --url",
        code="no_source_found",
    )


async def find_metrics(api: KubernetesApi, seen: Seen) -> FoundService | None:
    """The surest Prometheus or Thanos that answers through the API server's proxy, if any. Raises nothing."""
    for service in seen.services:
        if not service.product.has_costs:
            with suppress(SourceError):
                await api.knock(service)
                return service
    return None


async def _in_namespace(api: KubernetesApi, namespace: str) -> list[Service] | NotAllowed:
    """The Services of a namespace, or those of the usual names; the refusal if we may see none."""
    try:
        return await api.services(namespace)
    except NotAllowed as error:
        not_listed = error

    async def get(name: str) -> Service | NotAllowed | None:
        try:
            return await api.service(name, namespace=namespace)
        except NotAllowed as error:
            return error

    answers = await asyncio.gather(*map(get, usual_names()))
    if all(isinstance(answer, NotAllowed) for answer in answers):
        return not_listed
    return [answer for answer in answers if isinstance(answer, Service)]
