"""Looks for the sources of costs of a cluster."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from kubetally.domain.errors import SourceError
from kubetally.sources.faults import RedirectRefused, SourceFailed, SourceUnavailable
from kubetally.sources.kubernetes.api import KubernetesApi, NotAllowed
from kubetally.sources.kubernetes.recognise import FoundService, recognised, usual_names
from kubetally.sources.kubernetes.wire import Service

USUAL_NAMESPACES = ("opencost", "kubecost", "monitoring", "prometheus-system", "default")
"""Where sources are looked for by a person who may not list the Services of all namespaces."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was recognised, the surest first. looked_in: the namespaces it was looked in; empty for all."""

    services: list[FoundService]
    looked_in: tuple[str, ...] = ()


async def look(api: KubernetesApi, namespace: str | None = None) -> Seen:
    """The sources of costs and metrics in a namespace, or in all that we may see.

    Who may not list all namespaces is helped by the usual ones, and who may not list those by the usual names.

    Raises: NotAllowed (nowhere), SourceUnavailable, SourceError.
    """
    if namespace is not None:
        services = await _in_namespace(api, namespace)
        if isinstance(services, NotAllowed):
            raise services
        return Seen(recognised(services), (namespace,))
    try:
        return Seen(recognised(await api.services()))
    except NotAllowed as error:
        everywhere = error
    own = [api.server.namespace] if api.server.namespace else []
    namespaces = tuple(dict.fromkeys([*own, *USUAL_NAMESPACES]))
    answers = await asyncio.gather(*(_in_namespace(api, name) for name in namespaces))
    allowed = {
        name: found for name, found in zip(namespaces, answers, strict=True) if not isinstance(found, NotAllowed)
    }
    if not allowed:
        raise everywhere
    return Seen(recognised(service for found in allowed.values() for service in found), tuple(allowed))


async def find_cost_source(api: KubernetesApi, seen: Seen) -> FoundService:
    """The surest Kubecost or OpenCost of those seen that answers through the API server's proxy.

    Raises: NotAllowed (services/proxy), SourceUnavailable (none answers), SourceError (there is none).
    """
    telling = [service for service in seen.services if service.product.tells_costs]
    if not telling:
        raise _no_source(api.server.name, seen)
    silent: list[tuple[FoundService, SourceError]] = []
    forbidden: NotAllowed | None = None
    for service in telling:
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
    where = f"namespaces {', '.join(seen.looked_in)}" if seen.looked_in else "all namespaces"
    if len(seen.looked_in) == 1:
        where = f"namespace {seen.looked_in[0]}"
    others = f"; there is {', '.join(map(str, seen.services))}, which has no costs" if seen.services else ""
    return SourceError(
        f"no Kubecost or OpenCost in {where} of context {context!r} (looked for Services labelled "
        f"app.kubernetes.io/name=opencost, cost-analyzer or kubecost, or named like them){others}; install OpenCost, "
        "or give the address of the source with --url",
        code="no_source_found",
    )


async def find_metrics(api: KubernetesApi, seen: Seen) -> FoundService | None:
    """The surest Prometheus or Thanos of those seen that answers through the API server's proxy; None if none does.

    Nobody asked for it, so that what is forbidden or silent is none. Raises nothing.
    """
    for service in seen.services:
        if not service.product.tells_costs:
            with suppress(SourceError):
                await api.knock(service)
                return service
    return None


async def _in_namespace(api: KubernetesApi, namespace: str) -> list[Service] | NotAllowed:
    """The Services of a namespace, at least those of the usual names; the refusal where we may see none."""
    try:
        return await api.services(namespace)
    except NotAllowed as error:
        not_listed = error
    answers = await asyncio.gather(*(_one(api, namespace, name) for name in usual_names()))
    if all(isinstance(answer, NotAllowed) for answer in answers):
        return not_listed
    return [answer for answer in answers if isinstance(answer, Service)]


async def _one(api: KubernetesApi, namespace: str, name: str) -> Service | NotAllowed | None:
    try:
        return await api.service(namespace, name)
    except NotAllowed as error:
        return error
