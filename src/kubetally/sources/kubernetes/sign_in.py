"""Signs in to the API server of a context, or of the cluster that the program runs in."""

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kubetally.sources.access import Access, UnusableCertificateFile
from kubetally.sources.faults import printable
from kubetally.sources.kubernetes.impersonation import impersonation_headers
from kubetally.sources.kubernetes.kubeconfig import (
    Context,
    kubeconfig_files,
    read_context,
    unusable_kubeconfig,
)
from kubetally.sources.kubernetes.plugin import PLUGIN_SECONDS, Show, run_plugin, show_on_terminal
from kubetally.sources.transport import Renew

IN_CLUSTER = "in-cluster"
"""The name of a context for the cluster that the program runs in, with the service account of its pod."""

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class ApiServer:
    """The address of an API server and the credentials for it.

    name:      the context, or `in-cluster`. namespace: of the context, if it states one.
    renew:     gets fresh credentials; None if they never change.
    """

    name: str
    access: Access
    namespace: str | None = None
    renew: Renew | None = None


async def sign_in(
    context: str | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
    service_account: Path = SERVICE_ACCOUNT,
    plugin_seconds: float = PLUGIN_SECONDS,
    show: Show = show_on_terminal,
) -> ApiServer:
    """The API server of `context`; None is the current one, or our own cluster without a kubeconfig.

    It runs an exec plugin; `show` receives what the plugin tells the user.

    Raises: RequestError (of the kubeconfig), SourceError (of its plugin), InvalidSourceUrl, InvalidCredential.
    """
    if context == IN_CLUSTER:
        return _own_cluster(environment, service_account)
    files, missing = kubeconfig_files(environment)
    if context is None and not files and _is_pod(service_account):
        return _own_cluster(environment, service_account)
    read = read_context(files, context, missing=missing)
    access = await _access(read, plugin_seconds, show)
    changes = any(read.user.get(key) for key in ("exec", "tokenFile"))

    async def renew() -> Access:
        return await _access(read, plugin_seconds, show)

    return ApiServer(read.name, access, read.namespace, renew if changes else None)


def _is_pod(service_account: Path) -> bool:
    return service_account.is_dir()


def _own_cluster(environment: Mapping[str, str], folder: Path) -> ApiServer:
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise unusable_kubeconfig(
            "this machine", why="is not in a cluster: KUBERNETES_SERVICE_HOST and _PORT are not set"
        )
    url = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"

    def access() -> Access:
        # The kubelet replaces the token about every hour.
        return Access.parse(url, token=_text(folder / "token", IN_CLUSTER), ca_file=folder / "ca.crt")

    async def renew() -> Access:
        return access()

    namespace = folder / "namespace"
    own = namespace.read_text("utf-8").strip() if namespace.is_file() else None
    return ApiServer(IN_CLUSTER, access(), own or None, renew)


async def _access(context: Context, plugin_seconds: float, show: Show) -> Access:
    cluster, user, where = context.cluster, context.user, f"context {context.name!r}"
    impersonation = impersonation_headers(user, where)
    ca_text = _pem(cluster, "certificate-authority-data", where)
    ca_file = None if ca_text else cluster.get("certificate-authority")
    token, client_pem = await _credentials(context, plugin_seconds, show)
    certificate, key = _pem(user, "client-certificate-data", where), _pem(user, "client-key-data", where)
    if client_pem is None and (certificate or key):
        certificate = certificate or _file(user, "client-certificate", where)
        key = key or _file(user, "client-key", where)
        client_pem = f"{certificate}\n{key}"
    files = client_pem is None and user.get("client-certificate")
    access = Access.parse(
        context.server,
        # As with kubectl, a token is not sent unencrypted.
        token=token if context.server.lower().startswith("https:") else None,
        ca_file=ca_file,
        client_cert=user["client-certificate"] if files else None,
        client_key=user.get("client-key") if files else None,
    )
    access = replace(
        access,
        ca_text=ca_text,
        client_pem=client_pem,
        server_name=cluster.get("tls-server-name") or None,
        verify=not cluster.get("insecure-skip-tls-verify"),
        impersonation=impersonation,
    )
    try:
        access.ssl_context()
    except UnusableCertificateFile as error:
        why = f"has a {error.setting} that can't be loaded ({error.why}): correct it in the kubeconfig"
        raise unusable_kubeconfig(where, why=why) from error
    return access


async def _credentials(context: Context, plugin_seconds: float, show: Show) -> tuple[str | None, str | None]:
    """The token of a user, and the certificate with its key from an exec plugin, which it runs."""
    user, where = context.user, f"context {context.name!r}"
    if isinstance(user.get("exec"), dict):
        issued = await run_plugin(context, seconds=plugin_seconds, show=show)
        return issued.token, None if issued.certificate is None else f"{issued.certificate}\n{issued.key}"
    if user.get("token"):
        return str(user["token"]), None  # YAML makes a number of a token of digits
    if user.get("tokenFile"):
        return _text(Path(user["tokenFile"]), where), None
    if user.get("auth-provider"):
        return _token_of_provider(user["auth-provider"], where), None
    if user.get("username") or user.get("password"):
        why = "has a user with a password, which was removed in Kubernetes 1.19: use a token or an exec plugin"
        raise unusable_kubeconfig(where, why=why)
    return None, None


def _token_of_provider(provider: Any, where: str) -> str:
    """The token of an `oidc` provider in the file; it is not renewed."""
    about = provider if isinstance(provider, dict) else {}
    config = about.get("config")
    token = config.get("id-token") if isinstance(config, dict) else None
    if about.get("name") != "oidc" or not token:
        name = printable(str(about.get("name")), 40)
        why = f"has auth-provider {name!r} without a token, which was removed in Kubernetes 1.26: use an exec plugin"
        raise unusable_kubeconfig(where, why=why)
    return str(token)


def _pem(body: Mapping[str, Any], key: str, where: str) -> str | None:
    text = body.get(key)
    if not text:
        return None
    try:
        plain = "-----" in str(text)
        return (str(text).encode() if plain else base64.b64decode(str(text))).decode("ascii")
    except ValueError:  # binascii.Error and UnicodeDecodeError are of these
        raise unusable_kubeconfig(where, why=f"has a {key} that is not PEM in base64: correct it") from None


def _file(body: Mapping[str, Any], key: str, where: str) -> str:
    if not body.get(key):
        raise unusable_kubeconfig(
            where, why=f"has no {key}, the other half of its client certificate: add {key} or {key}-data to its user"
        )
    return _text(Path(body[key]), where)


def _text(file: Path, where: str) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise unusable_kubeconfig(where, why=f"needs the file {str(file)!r}, which can't be read: {why}") from error
