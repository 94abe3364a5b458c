"""A stand-in for a Kubernetes API server, over real TLS: Services, tokens, client certificates, a little RBAC, /proxy.

It passes questions on to what stands behind a Service, as /proxy does: without the credentials.

The Status objects have the words that kube-apiserver uses, as quoted in issues of kubernetes-the-hard-way (#804, list)
and kubernetes-retired/dashboard (#4299, services/proxy). The Services are what charts make of their default values, by
their templates: opencost-helm-chart service.yaml; cost-analyzer-helm-chart cost-analyzer-service-template.yaml (1.x and
2.x), aggregator-service.yaml, its Prometheus and Thanos subcharts; kubecost 3 frontend-service.yaml;
prometheus-community prometheus and kube-prometheus-stack. What the API server fills in by itself, versions, and the
Services of the Prometheus operator (prometheus-operated) and of its pushgateway are after memory.
"""

import http.client
import json
import re
import ssl
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

import trustme

JANE = "jane"
READING = frozenset({("list", "services", None), ("get", "services/proxy", None)})
"""What the guide asks for: whoever has no more may not post through /proxy, which is to create."""
EVERYTHING = READING | {("create", "services/proxy", None)}
Right = tuple[str, str, str | None]
Object = dict[str, Any]


def service(namespace: str, name: str, labels: Mapping[str, str], *ports: Object, kind: str = "ClusterIP") -> Object:
    """A Service as the API server writes it, with what it fills in by itself."""
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": "7f1c1b0e-8d5c-4c39-9a4e-0d6b7a0f2a11",
            "resourceVersion": "812",
            "creationTimestamp": "2026-10-01T08:00:00Z",
            "labels": dict(labels),
            "annotations": {"meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": namespace},
        },
        "spec": {
            "ports": [{"protocol": "TCP", "targetPort": one["port"], **one} for one in ports],
            "selector": {"app.kubernetes.io/instance": name},
            "clusterIP": "10.96.14.7",
            "clusterIPs": ["10.96.14.7"],
            "type": kind,
            "sessionAffinity": "None",
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "internalTrafficPolicy": "Cluster",
        },
        "status": {"loadBalancer": {}},
    }


def _helm(name: str, chart: str, release: str, **more: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/instance": release,
        "app.kubernetes.io/managed-by": "Helm",
        "helm.sh/chart": chart,
        **more,
    }


KUBERNETES = service(
    "default",
    "kubernetes",
    {"component": "apiserver", "provider": "kubernetes"},
    {"name": "https", "port": 443, "targetPort": 6443},
)
DNS = service(
    "kube-system",
    "kube-dns",
    {"k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS"},
    {"name": "dns", "port": 53, "protocol": "UDP"},
    {"name": "metrics", "port": 9153},
)
OPENCOST = service(
    "opencost",
    "opencost",
    _helm("opencost", "opencost-2.3.2", "opencost"),
    {"name": "http", "port": 9003},
    {"name": "http-ui", "port": 9090},
)
KUBECOST_2 = service(
    "kubecost",
    "kubecost-cost-analyzer",
    _helm("cost-analyzer", "cost-analyzer-2.8.0", "kubecost", app="cost-analyzer"),
    {"name": "tcp-model", "port": 9003},
    {"name": "tcp-frontend", "port": 9090, "targetPort": "tcp-frontend"},
)
KUBECOST_1 = service(
    "kubecost",
    "kubecost-cost-analyzer",
    {"chart": "cost-analyzer-1.60.0"},
    {"name": "server", "port": 9001},
    {"name": "model", "port": 9003},
    {"name": "frontend", "port": 9090},
)
KUBECOST_3 = service(
    "kubecost",
    "kubecost-frontend",
    _helm("kubecost", "kubecost-3.0.0", "kubecost"),
    {"name": "tcp-frontend", "port": 9090},
)
KUBECOST_2_HA = service(
    "kubecost",
    "kubecost-cost-analyzer",
    _helm("cost-analyzer", "cost-analyzer-2.8.0", "kubecost", app="cost-analyzer"),
    {"name": "tcp-model", "port": 9003},
)
KUBECOST_2_HA_FRONTEND = service(
    "kubecost",
    "kubecost-frontend",
    _helm("cost-analyzer", "cost-analyzer-2.8.0", "kubecost", app="cost-analyzer"),
    {"name": "tcp-frontend", "port": 9090},
)
AGGREGATOR = service(
    "kubecost",
    "kubecost-aggregator",
    {"app": "aggregator", "app.kubernetes.io/instance": "kubecost", "helm.sh/chart": "cost-analyzer-2.8.0"},
    {"name": "tcp-api", "port": 9004},
)
KUBECOST_PROMETHEUS = service(
    "kubecost",
    "kubecost-prometheus-server",
    {"app": "prometheus", "chart": "prometheus-11.0.2", "component": "server", "heritage": "Helm"},
    {"name": "http", "port": 80, "targetPort": 9090},
)
PROMETHEUS = service(
    "prometheus-system",
    "prometheus-server",
    _helm("prometheus", "prometheus-27.3.0", "prometheus", **{"app.kubernetes.io/component": "server"}),
    {"name": "http", "port": 80, "targetPort": 9090},
)
PUSHGATEWAY = service(
    "prometheus-system",
    "prometheus-prometheus-pushgateway",
    _helm("prometheus-pushgateway", "prometheus-pushgateway-3.0.0", "prometheus"),
    {"name": "http", "port": 9091},
)
ALERTMANAGER = service(
    "kubecost",
    "kubecost-prometheus-alertmanager",
    {"app": "prometheus", "chart": "prometheus-11.0.2", "component": "alertmanager", "heritage": "Helm"},
    {"name": "http", "port": 80, "targetPort": 9093},
)
STACK_PROMETHEUS = service(
    "monitoring",
    "kps-kube-prometheus-stack-prometheus",
    {"app": "kube-prometheus-stack-prometheus", "release": "kps", "self-monitor": "true"},
    {"name": "http-web", "port": 9090},
    {"name": "reloader-web", "port": 8080, "appProtocol": "http", "targetPort": "reloader-web"},
)
OPERATED = service(
    "monitoring",
    "prometheus-operated",
    {"operated-prometheus": "true", "managed-by": "prometheus-operator"},
    {"name": "http-web", "port": 9090, "targetPort": "http-web"},
)
THANOS_HTTP = service(
    "kubecost",
    "kubecost-thanos-query-http",
    _helm("thanos", "thanos-0.29.0", "kubecost", **{"app.kubernetes.io/component": "query"}),
    {"name": "http", "port": 10902, "targetPort": "http"},
)
THANOS_GRPC = service(
    "kubecost",
    "kubecost-thanos-query-grpc",
    _helm("thanos", "thanos-0.29.0", "kubecost", **{"app.kubernetes.io/component": "query"}),
    {"name": "grpc", "port": 10901, "targetPort": "grpc"},
)
USUAL = (KUBERNETES, DNS)


class ApiServer(ThreadingHTTPServer):
    """Answers who shows a token of `tokens` or a client certificate of `ca`; `behind` says what a Service leads to.

    tokens:  token to user. rights: what each user may do; a namespace of None is all of them.
    behind:  "namespace/name:port" to the URL of what answers there.
    asked:   every question: user, method and path with query.
    acted_as: the Impersonate headers of each question, in their order; not_impersonated: users whom nobody may act as.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, ca: trustme.CA, *services: Object, page: int | None = None, names: tuple[str, ...] = ()) -> None:
        self.services, self.page = [*USUAL, *services], page
        self.tokens: dict[str, str] = {"good-token": JANE}
        self.rights: dict[str, frozenset[Right]] = {JANE: EVERYTHING}
        self.behind: dict[str, str] = {}
        self.asked: list[tuple[str | None, str, str]] = []
        self.acted_as: list[tuple[tuple[str, str], ...]] = []
        self.not_impersonated = frozenset[str]()
        self.authorities = ca
        super().__init__(("127.0.0.1", 0), _Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert(*(names or ("127.0.0.1",))).configure_cert(context)
        ca.configure_trust(context)
        context.verify_mode = ssl.CERT_OPTIONAL
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_address[1]}"

    @property
    def paths(self) -> list[str]:
        return [path for _, _, path in self.asked]

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: a client that does not trust us hangs up."""


def _text(header: str) -> str:
    return header.encode("latin-1").decode("utf-8")


class _Handler(BaseHTTPRequestHandler):
    server: ApiServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._answer("get")

    def do_POST(self) -> None:
        self._answer("create")

    def _answer(self, verb: str) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))  # else it would be the next question
        user, shown = self._user(), [(name, _text(value)) for name, value in self.headers.items()]
        self.server.acted_as.append(tuple(pair for pair in shown if pair[0].lower().startswith("impersonate-")))
        self.server.asked.append((user, self.command, self.path))
        if user is None:
            self._status(401, "Unauthorized", "Unauthorized")
            return
        acted_as = _text(self.headers.get("impersonate-user", user))
        if acted_as in self.server.not_impersonated:
            self._forbidden(f'users "{acted_as}"', user, "impersonate", "users", None)
            return
        user = acted_as
        path = unquote(urlsplit(self.path).path)
        if match := re.fullmatch(r"/api/v1/namespaces/([^/]+)/services/([^/]+)/proxy(/.*)?", path):
            self._proxy(user, verb, match[1], match[2], match[3] or "/", body)
        elif verb != "get":
            self._status(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
        elif match := re.fullmatch(r"/api/v1/(?:namespaces/([^/]+)/)?services", path):
            self._list(user, match[1])
        elif match := re.fullmatch(r"/api/v1/namespaces/([^/]+)/services/([^/]+)", path):
            self._one(user, match[1], match[2])
        else:
            self._status(404, "NotFound", "the server could not find the requested resource")

    def _user(self) -> str | None:
        kind, _, token = self.headers.get("authorization", "").partition(" ")
        if kind == "Bearer":
            return self.server.tokens.get(token)
        assert isinstance(self.connection, ssl.SSLSocket)
        shown: Any = self.connection.getpeercert() or {}
        return next(
            (str(value) for part in shown.get("subject", ()) for key, value in part if key == "commonName"), None
        )

    def _may(self, user: str, verb: str, resource: str, namespace: str | None) -> bool:
        rights = self.server.rights.get(user, frozenset())
        return (verb, resource, None) in rights or (verb, resource, namespace) in rights

    def _forbidden(self, what: str, user: str, verb: str, resource: str, namespace: str | None) -> None:
        where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
        said = f'{what} is forbidden: User "{user}" cannot {verb} resource "{resource}" in API group "" {where}'
        self._status(403, "Forbidden", said, {"kind": resource.partition("/")[0]})

    def _list(self, user: str, namespace: str | None) -> None:
        if not self._may(user, "list", "services", namespace):
            self._forbidden("services", user, "list", "services", namespace)
            return
        items = [one for one in self.server.services if namespace in {None, one["metadata"]["namespace"]}]
        asked = parse_qs(urlsplit(self.path).query)
        start = int(asked.get("continue", ["0"])[0])
        size = min(int(asked["limit"][0]), self.server.page or len(items) or 1)
        about = {"resourceVersion": "4711"}
        if start + size < len(items):
            about |= {"continue": str(start + size), "remainingItemCount": str(len(items) - start - size)}
        body = {"kind": "ServiceList", "apiVersion": "v1", "metadata": about, "items": items[start : start + size]}
        self._json(200, body)

    def _one(self, user: str, namespace: str, name: str) -> None:
        if not self._may(user, "get", "services", namespace):
            self._forbidden(f'services "{name}"', user, "get", "services", namespace)
            return
        found = self._find(namespace, name)
        if found is None:
            self._status(404, "NotFound", f'services "{name}" not found')
        else:
            self._json(200, {"kind": "Service", "apiVersion": "v1", **found})

    def _proxy(self, user: str, verb: str, namespace: str, target: str, rest: str, body: bytes) -> None:
        if not self._may(user, verb, "services/proxy", namespace):
            self._forbidden(f'services "{target}"', user, verb, "services/proxy", namespace)
            return
        name, _, port = target.removeprefix("https:").removeprefix("http:").partition(":")
        found = self._find(namespace, name)
        if found is None or port not in {str(one["port"]) for one in found["spec"]["ports"]}:
            self._status(503, "ServiceUnavailable", f'no service port "{port}" found for service "{name}"')
            return
        url = self.server.behind.get(f"{namespace}/{name}:{port}")
        if url is None:
            self._status(503, "ServiceUnavailable", f'no endpoints available for service "{target}"')
            return
        self._pass_on(url, rest, f"/api/v1/namespaces/{namespace}/services/{target}/proxy", body)

    def _pass_on(self, url: str, rest: str, prefix: str, question: bytes) -> None:
        """As the API server does: without the credentials, and with redirects that lead through the proxy again."""
        there = urlsplit(url)
        query = urlsplit(self.path).query
        connection = http.client.HTTPConnection(there.netloc, timeout=10)
        form = {"Content-Type": self.headers.get("content-type", "")} if question else {}
        path = there.path + rest + (f"?{query}" if query else "")
        connection.request(self.command, path, question or None, form)
        answer = connection.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers.get("Content-Type", "text/plain"))
        self.send_header("Content-Length", str(len(body)))
        if location := answer.headers.get("Location"):
            self.send_header("Location", prefix + location if location.startswith("/") else location)
        self.end_headers()
        self.wfile.write(body)
        connection.close()

    def _find(self, namespace: str, name: str) -> Object | None:
        for one in self.server.services:
            if (one["metadata"]["namespace"], one["metadata"]["name"]) == (namespace, name):
                return one
        return None

    def _status(self, code: int, reason: str, message: str, details: Object | None = None) -> None:
        body: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        body |= {"details": details} if details else {}
        self._json(code, {**body, "message": message, "reason": reason, "code": code})

    def _json(self, code: int, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (named so by the base class)
        """Nothing: the questions are kept in `asked`."""
