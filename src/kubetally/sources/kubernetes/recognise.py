"""Recognises the Services of cost sources by the labels, names and ports of their charts.

Source: the default Services of the charts opencost, cost-analyzer 1 and 2, kubecost 3, prometheus,
kube-prometheus-stack, prometheus-operator and thanos.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from kubetally.sources.kubernetes.wire import Port, Service

NAME_LABEL = "app.kubernetes.io/name"
_COMPONENT_LABELS = ("app.kubernetes.io/component", "component")
_LABELLED, _NAMED, _APP, _SIMILAR, _USUAL_PORT = 8, 4, 2, 1, 1


class Product(StrEnum):
    """The product behind a Service, the best source of costs first."""

    KUBECOST = "Kubecost"
    OPENCOST = "OpenCost"
    PROMETHEUS = "Prometheus"
    THANOS = "Thanos"

    @property
    def has_costs(self) -> bool:
        """Whether it answers with costs, not with metrics only."""
        return self in {Product.KUBECOST, Product.OPENCOST}


@dataclass(frozen=True, slots=True)
class FoundService:
    """A recognised Service.

    port, port_name: of the Service, not of its pods. scheme: of its pods.
    why:             the label, name and port that it was recognised by, for a message.
    sureness:        a recommended label weighs more than a name, a name more than a similar name.
    """

    product: Product
    namespace: str
    name: str
    port: int
    port_name: str | None
    scheme: str
    why: str
    sureness: int

    def __str__(self) -> str:
        return f"{self.product} at {self.namespace}/{self.name}:{self.port}"

    @property
    def proxy_path(self) -> str:
        """The path by which the API server forwards requests to it."""
        scheme = "https:" if self.scheme == "https" else ""
        return f"api/v1/namespaces/{self.namespace}/services/{scheme}{self.name}:{self.port}/proxy"


@dataclass(frozen=True, slots=True)
class _Usual:
    """The usual Service of a product.

    ports:    names and numbers, the preferred one first. behind: those that a front end may serve better.
    components: values of the component label that count; None for all.
    """

    product: Product
    labels: frozenset[str]
    apps: frozenset[str]
    names: frozenset[str]
    similar: re.Pattern[str]
    ports: tuple[str | int, ...]
    behind: frozenset[str | int] = frozenset()
    components: frozenset[str] | None = None


_USUAL = (
    _Usual(
        Product.KUBECOST,
        labels=frozenset({"cost-analyzer", "kubecost"}),
        apps=frozenset({"cost-analyzer"}),
        names=frozenset({"kubecost-cost-analyzer", "kubecost-frontend", "kubecost", "cost-analyzer"}),
        similar=re.compile(r".*cost-analyzer|.*kubecost(-frontend)?"),
        # The front end forwards /model to the right server: with the aggregator of Kubecost 2 that is not the model.
        # In HA mode and in Kubecost 3 the front end has a Service of its own.
        ports=("tcp-frontend", "frontend", 9090, "tcp-model", "model", 9003),
        behind=frozenset({"tcp-model", "model", 9003}),
    ),
    _Usual(
        Product.OPENCOST,
        labels=frozenset({"opencost"}),
        apps=frozenset({"opencost"}),
        names=frozenset({"opencost"}),
        similar=re.compile(r"opencost-(ui|api|cost-model)|.*-opencost"),
        ports=(9003, "http", "http-ui", 9090),
    ),
    _Usual(
        Product.PROMETHEUS,
        labels=frozenset({"prometheus"}),
        apps=frozenset({"prometheus", "prometheus-server", "kube-prometheus-stack-prometheus"}),
        names=frozenset(
            {"prometheus-server", "prometheus-operated", "kubecost-prometheus-server", "prometheus-k8s", "prometheus"}
        ),
        similar=re.compile(r".*-prometheus(-server)?"),
        ports=("http-web", "web", "http", 9090, 80),
        components=frozenset({"server", "prometheus"}),
    ),
    _Usual(
        Product.THANOS,
        labels=frozenset({"thanos-query", "thanos-query-frontend", "thanos-querier", "thanos"}),
        apps=frozenset({"thanos-query", "thanos-querier"}),
        names=frozenset({"thanos-query", "thanos-query-frontend", "thanos-querier", "thanos-query-http"}),
        similar=re.compile(r".*thanos-quer(y|ier)(-frontend|-http)?"),
        ports=("http", "web", 10902, 9090),
        components=frozenset({"query", "query-frontend", "query-layer", "querier"}),
    ),
)


def usual_names() -> tuple[str, ...]:
    """The names to look for if Services can't be listed."""
    return tuple(sorted({name for usual in _USUAL for name in usual.names}))


def recognised(services: Iterable[Service]) -> list[FoundService]:
    """The sources among `services`, the surest first; on a tie Kubecost, then OpenCost."""
    sources = [known for service in services if (known := recognise(service)) is not None]
    order = list(Product)
    return sorted(
        sources, key=lambda service: (-service.sureness, order.index(service.product), service.namespace, service.name)
    )


def recognise(service: Service) -> FoundService | None:
    """The likeliest product of a Service; None if it is not a source."""
    if service.spec.type == "ExternalName":
        return None  # It has no pods, and the API server does not forward requests to it.
    candidates = [known for usual in _USUAL if (known := _as(service, usual)) is not None]
    return max(candidates, key=lambda known: known.sureness, default=None)


def _as(service: Service, usual: _Usual) -> FoundService | None:
    labels, name = service.metadata.labels or {}, service.metadata.name
    component = next((labels[key] for key in _COMPONENT_LABELS if key in labels), None)
    if usual.components is not None and component is not None and component not in usual.components:
        return None
    signs = [
        (_LABELLED, labels.get(NAME_LABEL) in usual.labels, f"label {NAME_LABEL}={labels.get(NAME_LABEL)}"),
        (_NAMED, name in usual.names, f"name {name}"),
        (_APP, labels.get("app") in usual.apps, f"label app={labels.get('app')}"),
        (_SIMILAR, name not in usual.names and usual.similar.fullmatch(name) is not None, f"name like {name}"),
    ]
    seen = [(weight, sign) for weight, is_present, sign in signs if is_present]
    port = _port(service.spec.ports or [], usual)
    if not seen or port is None:
        return None
    return FoundService(
        product=usual.product,
        namespace=service.metadata.namespace,
        name=name,
        port=port.port,
        port_name=port.name,
        scheme="https" if _is_https(port) else "http",
        why=", ".join([*(sign for _, sign in seen), f"port {port.name or port.port}"]),
        sureness=_sureness([weight for weight, _ in seen], port, usual),
    )


def _sureness(weights: list[int], port: Port, usual: _Usual) -> int:
    if usual.behind & {port.name, port.port}:
        return sum(weights) // 2
    return sum(weights) + _USUAL_PORT * (port.port in usual.ports)


def _port(ports: list[Port], usual: _Usual) -> Port | None:
    for wanted in usual.ports:
        for port in ports:
            if port.protocol == "TCP" and wanted in {port.name, port.port}:
                return port
    return None


def _is_https(port: Port) -> bool:
    return port.port == 443 or (port.name or "").startswith("https") or (port.app_protocol or "").lower() == "https"
