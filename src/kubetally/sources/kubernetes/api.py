"""A client of a Kubernetes API server; its errors say which right or setting is missing."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote

import msgspec

from kubetally.domain.errors import SourceError
from kubetally.sources.access import Access
from kubetally.sources.faults import (
    Answer,
    AnswerNotUnderstood,
    CertificateNotTrusted,
    SourceRefused,
    SourceUnavailable,
)
from kubetally.sources.kubernetes.recognise import FoundService
from kubetally.sources.kubernetes.sign_in import ApiServer
from kubetally.sources.kubernetes.wire import Service, ServiceList, Status
from kubetally.sources.transport import Limits, Transport

T = TypeVar("T")
_PAGE_SIZE = 500
_MAX_PAGES = 200
_REFUSED = frozenset({401, 403, 404})
_PROXY = "services/proxy"
_IDENTITIES = frozenset({"users", "groups", "serviceaccounts", "uids", "userextras"})


class NotAllowed(SourceError):
    """We lack a right. verb, resource: what a Role must allow. namespace: None for all. said: the server's message."""

    code = "not_allowed"

    def __init__(self, context: str, *, verb: str, resource: str, namespace: str | None, said: str | None) -> None:
        self.context, self.verb, self.resource, self.namespace = context, verb, resource, namespace
        self.said = said
        where = f"in namespace {namespace!r}" if namespace else "in all namespaces"
        kind = "Role" if namespace else "ClusterRole"
        super().__init__(
            f"context {context!r} may not {verb} {resource} {where}"
            + (f" ({said!r})" if said else "")
            + f"; ask for a {kind} with `list` and `get` on `services` and `get` on `services/proxy`"
        )


class KubernetesApi:
    """Sends requests to one API server; close it with `aclose` or `async with`. Raises UnusableCertificateFile."""

    def __init__(self, server: ApiServer, limits: Limits | None = None) -> None:
        self.server = server
        self._transport = Transport(server.access, limits, renew=server.renew)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    async def services(self, namespace: str | None = None) -> list[Service]:
        """The Services of a namespace, or of all. Raises NotAllowed, SourceUnavailable, SourceError."""
        path = f"api/v1/{_in(namespace)}services"
        services: list[Service] = []
        params = [("limit", str(_PAGE_SIZE))]
        for _ in range(_MAX_PAGES):
            page = _decoded(await self._get(path, params, verb="list", namespace=namespace), ServiceList)
            services += page.items or []
            if not page.metadata.next_page:
                return services
            params = [("limit", str(_PAGE_SIZE)), ("continue", page.metadata.next_page)]
        return services

    async def service(self, name: str, *, namespace: str) -> Service | None:
        """The Service of a name, if it exists. Raises as `services`."""
        path = f"api/v1/{_in(namespace)}services/{quote(name, safe='')}"
        try:
            return _decoded(await self._get(path, verb="get", namespace=namespace), Service)
        except SourceRefused as error:
            if error.status == 404:
                return None
            raise

    async def knock(self, service: FoundService) -> None:
        """Check that a Service answers anything through the proxy.

        Raises: NotAllowed, SourceUnavailable (no pod behind it is ready), SourceError.
        """
        with suppress(SourceRefused):  # it answers, and has no such path
            await self._get(f"{service.proxy_path}/healthz", verb="get", resource=_PROXY, namespace=service.namespace)

    def access_to(self, service: FoundService) -> Access:
        """The access to a Service through the API server's proxy, which does not pass our credentials on."""
        access = self.server.access
        return replace(access, url=replace(access.url, address=f"{access.url.address}/{service.proxy_path}"))

    async def _get(
        self,
        path: str,
        params: Sequence[tuple[str, str]] = (),
        *,
        verb: str,
        resource: str = "services",
        namespace: str | None,
    ) -> Answer:
        context = self.server.name
        try:
            # Quiet, as only the caller knows whether a failure matters.
            return await self._transport.get(path, params, expected=_REFUSED, quiet=True)
        except SourceRefused as error:
            if error.status not in {401, 403}:
                raise
            if error.status == 403 and not (self.server.access.impersonation and _is_about_identity(error.body)):
                raise NotAllowed(context, verb=verb, resource=resource, namespace=namespace, said=error.said) from error
            raise _not_signed_in(context, error) from error
        except CertificateNotTrusted as error:
            raise SourceError(
                f"the certificate of the API server of context {context!r} is not trusted: {error.why}; correct "
                "certificate-authority or certificate-authority-data of its cluster in the kubeconfig",
                code="cluster_not_trusted",
            ) from error
        except SourceUnavailable as error:
            # A status is the API server's answer for a Service, so it can be reached itself.
            if resource == _PROXY and error.status is not None:
                raise
            raise SourceUnavailable(
                error.url,
                error.why,
                status=error.status,
                code="cluster_unreachable",
                message=f"the API server of context {context!r} can't be reached: {error.url}: {error.why}; check the "
                f"network or VPN, and that `kubectl --context {context} version` works",
            ) from error


def _not_signed_in(context: str, error: SourceRefused) -> SourceError:
    """The error for credentials that are refused (401), or may not act as the user that the kubeconfig names (403)."""
    if error.status == 401:
        return SourceError(
            f"the API server of context {context!r} answered 401 ({error.said or 'Unauthorized'}): the "
            "credentials are wrong or expired; sign in again, and check that `kubectl --context "
            f"{context} get services` works",
            code="not_signed_in",
        )
    said = f" ({error.said!r})" if error.said else ""
    return SourceError(
        f"context {context!r} may not act as the user that its kubeconfig names{said}; ask for a ClusterRole with "
        "`impersonate` on it, or remove as, as-uid, as-groups and as-user-extra",
        code="impersonation_refused",
    )


def _in(namespace: str | None) -> str:
    return f"namespaces/{quote(namespace, safe='')}/" if namespace else ""


def _is_about_identity(body: bytes) -> bool:
    """Whether a refusal is about the user to act as, not about the request."""
    try:
        details = msgspec.json.decode(body, type=Status).details
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return details is not None and details.kind.partition("/")[0] in _IDENTITIES


def _decoded(answer: Answer, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.body, type=shape)
    except msgspec.DecodeError as error:
        raise AnswerNotUnderstood.of(answer, f"answered with something that is no {shape.__name__}") from error
