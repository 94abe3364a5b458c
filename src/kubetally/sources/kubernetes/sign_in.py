"""The API server of a context, or of the cluster we run in, and the credentials for it."""

import base64
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio

from kubetally.domain.errors import SourceError
from kubetally.sources.access import Access, UnusableCertificateFile
from kubetally.sources.faults import printable
from kubetally.sources.kubernetes.kubeconfig import Context, UnusableKubeconfig, kubeconfig_files, read_context
from kubetally.sources.transport import Renew

IN_CLUSTER = "in-cluster"
"""Stands for a context: the cluster that the program runs in, with the service account of its pod."""

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_PLUGIN_SECONDS = 60.0


class CredentialPluginFailed(SourceError):
    """The exec plugin of a context gave no credentials."""

    code = "credential_plugin_failed"

    def __init__(self, context: str, command: str, why: str) -> None:
        self.context, self.command, self.why = context, command, printable(why, 300)
        super().__init__(
            f"the plugin {command!r} of context {context!r} gave no credentials: {self.why}; "
            f"sign in again, and see whether `kubectl --context {context} get services` works"
        )


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
    plugin_seconds: float = _PLUGIN_SECONDS,
) -> ApiServer:
    """The API server of `context`, of the current context where that is None, or of our own cluster.

    None means our own cluster where there is no kubeconfig. An exec plugin is run.

    Raises: UnknownContext, UnusableKubeconfig, CredentialPluginFailed, InvalidSourceUrl, InvalidCredential.
    """
    files = kubeconfig_files(environment)
    if context == IN_CLUSTER or (context is None and not files and _is_pod(service_account)):
        return _own_cluster(environment, service_account)
    found = read_context(files, context)
    access = await _access(found, plugin_seconds)
    changes = any(found.user.get(key) for key in ("exec", "tokenFile"))

    async def renew() -> Access:
        return await _access(found, plugin_seconds)

    return ApiServer(found.name, access, found.namespace, renew if changes else None)


def _is_pod(folder: Path) -> bool:
    return folder.is_dir()


def _own_cluster(environment: Mapping[str, str], folder: Path) -> ApiServer:
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise UnusableKubeconfig("this machine", "is not in a cluster: KUBERNETES_SERVICE_HOST and _PORT are not set")
    url = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"

    def access() -> Access:
        # The kubelet replaces the token every hour or so.
        return Access.parse(url, token=_text(folder / "token", IN_CLUSTER), ca_file=folder / "ca.crt")

    async def renew() -> Access:
        return access()

    namespace = folder / "namespace"
    own = namespace.read_text("utf-8").strip() if namespace.is_file() else None
    return ApiServer(IN_CLUSTER, access(), own or None, renew)


async def _access(context: Context, plugin_seconds: float) -> Access:
    cluster, user, where = context.cluster, context.user, f"context {context.name!r}"
    ca_text = _pem(cluster, "certificate-authority-data", where)
    ca_file = None if ca_text else cluster.get("certificate-authority")
    token, given_pem = await _token_or_pem(context, plugin_seconds)
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
    )
    try:
        access.ssl_context()
    except UnusableCertificateFile as error:
        why = f"has a {error.setting} that can't be loaded ({error.why}): correct it in the kubeconfig"
        raise UnusableKubeconfig(where, why) from error
    return access


async def _token_or_pem(context: Context, plugin_seconds: float) -> tuple[str | None, str | None]:
    """What kr8s makes of a user: a token, or the certificate and key that an exec plugin gave. Runs the plugin."""
    user = {key: value for key, value in context.user.items() if value and not key.startswith("client-")}
    if user.get("tokenFile") and not user.get("token"):
        user["token"] = _text(Path(user["tokenFile"]), f"context {context.name!r}")
    if not user:
        return None, None
    from kr8s._auth import KubeAuth  # 0.3 s that only those pay who use a kubeconfig

    # The client of kr8s waits for ever, asks four times what it may not, and is not needed: only its sign-in is.
    auth = KubeAuth(kubeconfig=_alone(context.server, user), serviceaccount="", context="one")
    command = str(user["exec"]["command"]) if "exec" in user else None
    try:
        # asyncio cancels once, which anyio's process takes for "wait until it ends": a plugin that hangs would go on.
        with anyio.fail_after(plugin_seconds):
            await auth.reauthenticate()
    except Exception as error:  # whatever a plugin's output does to kr8s, of which it has no classes of its own
        if command is None:
            raise UnusableKubeconfig(f"context {context.name!r}", f"has a user of an unknown kind: {error}") from error
        raise CredentialPluginFailed(context.name, Path(command).name, _why(error, plugin_seconds)) from error
    finally:
        pem = _taken(auth.client_cert_file, auth.client_key_file)
    # YAML makes a number of a token of digits.
    return None if auth.token is None else str(auth.token), pem


def _alone(server: str, user: dict[str, Any]) -> Any:
    """A kubeconfig of one context; kr8s takes a dict in spite of its annotation."""
    return {
        "current-context": "one",
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one", "namespace": "default"}}],
        "clusters": [{"name": "one", "cluster": {"server": server}}],
        "users": [{"name": "one", "user": user}],
    }


def _taken(*files: Any) -> str | None:
    """The text of the temporary files that kr8s leaves behind, which are removed."""
    parts = []
    for file in files:
        if file is not None:
            parts.append(Path(str(file)).read_text("utf-8"))
            Path(str(file)).unlink()
    return "\n".join(parts) or None


def _why(error: Exception, seconds: float) -> str:
    match error:
        case TimeoutError():
            return f"it did not end within {seconds:g} s"
        case FileNotFoundError() | PermissionError():
            return f"it can't be run: {error.strerror}"
        case json.JSONDecodeError() | KeyError() | TypeError() | UnicodeDecodeError():
            return "what it wrote is no ExecCredential"  # and may hold a secret
    return str(error)


def _pem(body: Mapping[str, Any], key: str, where: str) -> str | None:
    text = body.get(key)
    if not text:
        return None
    try:
        plain = "-----" in str(text)
        return (str(text).encode() if plain else base64.b64decode(str(text))).decode("ascii")
    except ValueError:  # binascii.Error and UnicodeDecodeError are of these
        raise UnusableKubeconfig(where, f"has a {key} that is no PEM in base64: correct it") from None


def _file(body: Mapping[str, Any], key: str, where: str) -> str:
    if not body.get(key):
        raise UnusableKubeconfig(where, f"has no {key} to go with the other half: add {key} or {key}-data to its user")
    return _text(Path(body[key]), where)


def _text(file: Path, where: str) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it holds no text"
        raise UnusableKubeconfig(where, f"needs the file {str(file)!r}, which can't be read: {why}") from error
