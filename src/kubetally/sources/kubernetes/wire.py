"""Shapes of the answers of a Kubernetes API server and of kubeconfig files, with the fields that discovery needs.

Source: Kubernetes API reference, core/v1 Service; client-go, clientcmd/api/v1 Config.
"""

from typing import Any

from msgspec import Struct, field


class Metadata(Struct):
    """Metadata of an object."""

    name: str
    namespace: str = "default"
    labels: dict[str, str] | None = None


class Port(Struct, rename="camel"):
    """A port of a Service."""

    port: int
    name: str | None = None
    protocol: str = "TCP"
    app_protocol: str | None = None


class Spec(Struct):
    """Spec of a Service."""

    ports: list[Port] | None = None
    type: str = "ClusterIP"


class Service(Struct):
    """A Service."""

    metadata: Metadata
    spec: Spec


class ListMetadata(Struct, rename={"next_page": "continue"}):
    """Metadata of a list; `next_page` is empty or absent on the last page."""

    next_page: str | None = None


class ServiceList(Struct, tag_field="kind", tag="ServiceList"):
    """A page of Services. Some servers answer null for an empty list."""

    items: list[Service] | None
    metadata: ListMetadata = field(default_factory=ListMetadata)


class StatusDetails(Struct):
    """Details of a refusal; `kind` is that of the resource."""

    kind: str = ""


class Status(Struct):
    """The answer to a failed request."""

    details: StatusDetails | None = None


class ContextBody(Struct):
    """The cluster, user and namespace of a context."""

    cluster: str = ""
    user: str = ""
    namespace: str | None = None


class NamedContext(Struct):
    """A context with its name."""

    name: str
    context: ContextBody


class NamedCluster(Struct):
    """The address and CA of an API server."""

    name: str
    cluster: dict[str, Any] | None = None


class NamedUser(Struct):
    """The credentials of a user: secret."""

    name: str
    user: dict[str, Any] | None = None


class KubeconfigFile(Struct, rename={"current_context": "current-context"}):
    """One kubeconfig file."""

    clusters: list[NamedCluster] | None = None
    users: list[NamedUser] | None = None
    contexts: list[NamedContext] | None = None
    current_context: str | None = None
