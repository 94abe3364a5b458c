"""Which Services of a cluster are sources of costs, by the labels, names and ports that their charts give them.

Source: the Services of the charts opencost, cost-analyzer 1 and 2, kubecost 3, prometheus, kube-prometheus-stack,
prometheus-operator and thanos as they are by default.
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
    """What a Service leads to, the more telling of a cluster's costs first."""

    KUBECOST = "Kubecost"
    OPENCOST = "OpenCost"
    PROMETHEUS = "Prometheus"
    THANOS = "Thanos"

    @property
    def tells_costs(self) -> bool:
        """Whether it answers with costs, not only with the metrics they are made of."""
        return self in {Product.KUBECOST, Product.OPENCOST}


@dataclass(frozen=True, slots=True)
class FoundService:
    """A Service that was recognised.

    port, port_name: of the Service, not of its pods. scheme: which its pods speak.
    why:             what it was recognised by, for a person.
    sureness:        to compare with; a recommended label weighs more than a name, a name more than a resemblance.
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
        """Where the API server passes questions on to it."""
        scheme = "https:" if self.scheme == "https" else ""
        return f"api/v1/namespaces/{self.namespace}/services/{scheme}{self.name}:{self.port}/proxy"


@dataclass(frozen=True, slots=True)
class _Usual:
    """How a product's Service usually looks.

    ports:    names and numbers, the one to prefer first. behind: those that another Service may answer for better.
    components: of the charts that label them, where only some are meant.
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
        # The front end passes /model on to whom it belongs: with the aggregator of Kubecost 2 that is not the model,
        # and in its HA mode and in Kubecost 3 the front end has a Service of its own.
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
    """The names under which sources are looked for where Services can't be listed."""
    return tuple(sorted({name for usual in _USUAL for name in usual.names}))


def recognised(services: Iterable[Service]) -> list[FoundService]:
    """Those of `services` that are a source, the surest first; among equals Kubecost, then OpenCost."""
    found = [known for service in services if (known := recognise(service)) is not None]
    order = list(Product)
    return sorted(
        found, key=lambda service: (-service.sureness, order.index(service.product), service.namespace, service.name)
    )


def recognise(service: Service) -> FoundService | None:
    """What a Service is, at its likeliest; None where it is no source of ours."""
    if service.spec.type == "ExternalName":
        return None  # It has no pods, and the API server refuses to pass questions on to it.
    found = [known for usual in _USUAL if (known := _as(service, usual)) is not None]
    return max(found, key=lambda known: known.sureness, default=None)


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
    seen = [(weight, sign) for weight, there, sign in signs if there]
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
