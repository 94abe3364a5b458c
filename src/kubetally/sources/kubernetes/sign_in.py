"""The API server of a context, or of the cluster we run in, and the credentials for it."""

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
    missing_files,
    read_context,
    unusable_kubeconfig,
)
from kubetally.sources.kubernetes.plugin import PLUGIN_SECONDS, Show, run_plugin, show_on_terminal
from kubetally.sources.transport import Renew

IN_CLUSTER = "in-cluster"
"""Stands for a context: the cluster that the program runs in, with the service account of its pod."""

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class ApiServer:
    """Where an API server is and how it lets us in.

    name:      the context, or `in-cluster`. namespace: the one that belongs to it, if it says one.
    renew:     gets fresh credentials; None where there are only those that a file states.
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
    """The API server of `context`, of the current context where that is None, or of our own cluster.

    None means our own cluster where there is no kubeconfig. An exec plugin is run; `show` gets what it tells the user.

    Raises: RequestError (of the kubeconfig), SourceError (of its plugin), InvalidSourceUrl, InvalidCredential.
    """
    if context == IN_CLUSTER:
        return _own_cluster(environment, service_account)
    files = kubeconfig_files(environment)
    if context is None and not files and _is_pod(service_account):
        return _own_cluster(environment, service_account)
    found = read_context(files, context, missing_files(environment))
    access = await _access(found, plugin_seconds, show)
    changes = any(found.user.get(key) for key in ("exec", "tokenFile"))

    async def renew() -> Access:
        return await _access(found, plugin_seconds, show)

    return ApiServer(found.name, access, found.namespace, renew if changes else None)


def _is_pod(folder: Path) -> bool:
    return folder.is_dir()


def _own_cluster(environment: Mapping[str, str], folder: Path) -> ApiServer:
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise unusable_kubeconfig("this machine", "is not in a cluster: KUBERNETES_SERVICE_HOST and _PORT are not set")
    url = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"

    def access() -> Access:
        # The kubelet replaces the token every hour or so.
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
    token, given_pem = await _signed_in(context, plugin_seconds, show)
    certificate, key = _pem(user, "client-certificate-data", where), _pem(user, "client-key-data", where)
    if given_pem is None and (certificate or key):
        certificate = certificate or _file(user, "client-certificate", where)
        key = key or _file(user, "client-key", where)
        given_pem = f"{certificate}\n{key}"
    files = given_pem is None and user.get("client-certificate")
    access = Access.parse(
        context.server,
        # As kubectl does, a token is not sent where anybody could read it.
        token=token if context.server.lower().startswith("https:") else None,
        ca_file=ca_file,
        client_cert=user["client-certificate"] if files else None,
        client_key=user.get("client-key") if files else None,
    )
    access = replace(
        access,
        ca_text=ca_text,
        client_pem=given_pem,
        server_name=cluster.get("tls-server-name") or None,
        verify=not cluster.get("insecure-skip-tls-verify"),
        impersonation=impersonation,
    )
    try:
        access.ssl_context()
    except UnusableCertificateFile as error:
        why = f"has a {error.setting} that can't be loaded ({error.why}): correct it in the kubeconfig"
        raise unusable_kubeconfig(where, why) from error
    return access


async def _signed_in(context: Context, plugin_seconds: float, show: Show) -> tuple[str | None, str | None]:
    """The token of a user, and the certificate with its key that an exec plugin returned. Runs the plugin."""
    user, where = context.user, f"context {context.name!r}"
    if isinstance(user.get("exec"), dict):
        given = await run_plugin(context, seconds=plugin_seconds, show=show)
        return given.token, None if given.certificate is None else f"{given.certificate}\n{given.key}"
    if user.get("token"):
        return str(user["token"]), None  # YAML makes a number of a token of digits
    if user.get("tokenFile"):
        return _text(Path(user["tokenFile"]), where), None
    if user.get("auth-provider"):
        return _token_of_provider(user["auth-provider"], where), None
    if user.get("username") or user.get("password"):
        why = "has a user with a password, which was removed in Kubernetes 1.19: use a token or an exec plugin"
        raise unusable_kubeconfig(where, why)
    return None, None


def _token_of_provider(provider: Any, where: str) -> str:
    """The token of an `oidc` provider as it stands in the file: it is not renewed."""
    about = provider if isinstance(provider, dict) else {}
    config = about.get("config")
    token = config.get("id-token") if isinstance(config, dict) else None
    if about.get("name") != "oidc" or not token:
        name = printable(str(about.get("name")), 40)
        why = f"has auth-provider {name!r} without a token, which was removed in Kubernetes 1.26: use an exec plugin"
        raise unusable_kubeconfig(where, why)
    return str(token)


def _pem(body: Mapping[str, Any], key: str, where: str) -> str | None:
    text = body.get(key)
    if not text:
        return None
    try:
        plain = "-----" in str(text)
        return (str(text).encode() if plain else base64.b64decode(str(text))).decode("ascii")
    except ValueError:  # binascii.Error and UnicodeDecodeError are of these
        raise unusable_kubeconfig(where, f"has a {key} that is not PEM in base64: correct it") from None


def _file(body: Mapping[str, Any], key: str, where: str) -> str:
    if not body.get(key):
        raise unusable_kubeconfig(where, f"has no {key} to go with the other half: add {key} or {key}-data to its user")
    return _text(Path(body[key]), where)


def _text(file: Path, where: str) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it holds no text"
        raise unusable_kubeconfig(where, f"needs the file {str(file)!r}, which can't be read: {why}") from error
