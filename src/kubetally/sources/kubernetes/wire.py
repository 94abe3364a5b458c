"""Shapes of what a Kubernetes API server answers and of kubeconfig files, as far as discovery needs them.

Source: Kubernetes API reference, core/v1 Service; client-go, clientcmd/api/v1 Config.
"""

from typing import Any

from msgspec import Struct, field


class Metadata(Struct):
    """Of an object."""

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
    """Of a Service."""

    ports: list[Port] | None = None
    type: str = "ClusterIP"


class Service(Struct):
    """A Service."""

    metadata: Metadata
    spec: Spec


class ListMetadata(Struct, rename={"next_page": "continue"}):
    """Of a list; `next_page` is empty or absent on the last one."""

    next_page: str | None = None


class ServiceList(Struct, tag_field="kind", tag="ServiceList"):
    """Services, or a page of them. A list without any is null in the answer of some servers."""

    items: list[Service] | None
    metadata: ListMetadata = field(default_factory=ListMetadata)


class StatusDetails(Struct):
    """What a refusal is about; `kind` is that of the resource."""

    kind: str = ""


class Status(Struct):
    """Of a failed request."""

    details: StatusDetails | None = None


class ContextBody(Struct):
    """What a context of a kubeconfig joins."""

    cluster: str = ""
    user: str = ""
    namespace: str | None = None


class NamedContext(Struct):
    """A context with its name."""

    name: str
    context: ContextBody


class NamedCluster(Struct):
    """Where an API server is, and what verifies it."""

    name: str
    cluster: dict[str, Any] | None = None


class NamedUser(Struct):
    """What is shown to be let in: secret."""

    name: str
    user: dict[str, Any] | None = None


class KubeconfigFile(Struct, rename={"current_context": "current-context"}):
    """One kubeconfig file."""

    clusters: list[NamedCluster] | None = None
    users: list[NamedUser] | None = None
    contexts: list[NamedContext] | None = None
    current_context: str | None = None
