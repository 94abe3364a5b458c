"""Questions to a Kubernetes API server, with our limits, and its refusals in words that help."""

from collections.abc import Sequence
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
_PAGE = 500
_PAGES = 200
_REFUSED = frozenset({401, 403, 404})
_IDENTITIES = frozenset({"users", "groups", "serviceaccounts", "uids", "userextras"})


class NotAllowed(SourceError):
    """We are known, and may not do this. verb, resource: what a Role has to allow; namespace: None for all."""

    code = "not_allowed"

    def __init__(self, context: str, verb: str, resource: str, namespace: str | None, said: str | None) -> None:
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
    """Asks one API server; close it with `aclose` or `async with`. Raises UnusableCertificateFile."""

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
        found: list[Service] = []
        params = [("limit", str(_PAGE))]
        for _ in range(_PAGES):
            page = _decoded(await self._get(path, params, ("list", "services", namespace)), ServiceList)
            found += page.items or []
            if not page.metadata.next_page:
                return found
            params = [("limit", str(_PAGE)), ("continue", page.metadata.next_page)]
        return found

    async def service(self, namespace: str, name: str) -> Service | None:
        """One Service; None where there is none of that name. Raises as `services`."""
        path = f"api/v1/{_in(namespace)}services/{quote(name, safe='')}"
        try:
            return _decoded(await self._get(path, (), ("get", "services", namespace)), Service)
        except SourceRefused as error:
            if error.status == 404:
                return None
            raise

    async def knock(self, service: FoundService) -> None:
        """Ask whether a Service answers through the proxy; which answer it gives is of no interest.

        Raises: NotAllowed, SourceUnavailable (no pod behind it is ready), SourceError.
        """
        try:
            await self._get(f"{service.proxy_path}/healthz", (), ("get", "services/proxy", service.namespace))
        except SourceRefused:
            return  # There is somebody, who knows no such path.

    def access_to(self, service: FoundService) -> Access:
        """What reads a Service through the API server's proxy, which keeps our credentials to itself."""
        access = self.server.access
        return replace(access, url=f"{access.url}/{service.proxy_path}")

    async def _get(self, path: str, params: Sequence[tuple[str, str]], asked: tuple[str, str, str | None]) -> Answer:
        context = self.server.name
        try:
            # Whether a failure matters is known to the caller only, so that no line of the log stands for it.
            return await self._transport.get(path, params, expected=_REFUSED, quiet=True)
        except SourceRefused as error:
            if error.status == 401:
                raise SourceError(
                    f"the API server of context {context!r} answered 401 ({error.said or 'Unauthorized'}): the "
                    "credentials are wrong or expired; sign in again, and check that `kubectl --context "
                    f"{context} get services` works",
                    code="not_signed_in",
                ) from error
            if error.status == 403 and self.server.access.impersonation and _is_about_identity(error.body):
                raise SourceError(
                    f"context {context!r} may not act as the user that its kubeconfig names"
                    + (f" ({error.said!r})" if error.said else "")
                    + "; ask for a ClusterRole with `impersonate` on it, or remove as, as-uid, as-groups and "
                    "as-user-extra",
                    code="impersonation_refused",
                ) from error
            if error.status == 403:
                raise NotAllowed(context, *asked, error.said) from error
            raise
        except CertificateNotTrusted as error:
            raise SourceError(
                f"the certificate of the API server of context {context!r} is not trusted: {error.why}; correct "
                "certificate-authority or certificate-authority-data of its cluster in the kubeconfig",
                code="cluster_not_trusted",
            ) from error
        except SourceUnavailable as error:
            # An API server that answers for a Service is there itself.
            if asked[1] == "services/proxy" and error.status is not None:
                raise
            raise SourceUnavailable(
                error.url,
                error.why,
                status=error.status,
                code="cluster_unreachable",
                message=f"the API server of context {context!r} can't be reached: {error.url}: {error.why}; check the "
                f"network or VPN, and that `kubectl --context {context} version` works",
            ) from error


def _in(namespace: str | None) -> str:
    return f"namespaces/{quote(namespace, safe='')}/" if namespace else ""


def _is_about_identity(body: bytes) -> bool:
    """Whether a refusal is of the user that is acted as, not of what was asked for."""
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
