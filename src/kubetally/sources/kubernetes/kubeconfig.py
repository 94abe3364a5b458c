"""Reads a context from kubeconfig files.

Files are merged as kubectl does: an earlier file wins, and a path is relative to the file that has it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from kubetally.domain.errors import RequestError
from kubetally.sources.kubernetes.wire import ContextBody, KubeconfigFile

T = TypeVar("T")
_FILES = ("client-certificate", "client-key", "tokenFile")
_EXEC_INFO = "KUBERNETES_EXEC_INFO"


@dataclass(frozen=True, slots=True)
class Context:
    """One context, with absolute paths. `cluster` and `user` are as in the file; `user` is secret."""

    name: str
    server: str
    namespace: str | None
    cluster: Mapping[str, Any] = field(repr=False)
    user: Mapping[str, Any] = field(repr=False)


def unusable_kubeconfig(where: str, *, why: str) -> RequestError:
    """The error for a kubeconfig or a context that can't be used. `why` must show no secret."""
    return RequestError(f"{where} {why}", code="unusable_kubeconfig")


def _unknown_context(
    name: str | None, known: Iterable[str], *, files: Iterable[Path], missing: Sequence[Path]
) -> RequestError:
    read = ", ".join(map(str, files)) or "any kubeconfig"
    if missing:
        read += f" ({', '.join(map(str, missing))} {'do' if len(missing) > 1 else 'does'} not exist)"
    there = f"; there are: {', '.join(known)}" if known else ": set KUBECONFIG to the file that has it"
    what = f"context {name!r}" if name else "current context"
    return RequestError(f"no {what} in {read}{there}", code="unknown_context")


def kubeconfig_files(environment: Mapping[str, str]) -> tuple[list[Path], list[Path]]:
    """The files of KUBECONFIG, else ~/.kube/config: those that exist, and those that do not.

    Raises: RequestError, if KUBECONFIG names files and none of them exists.
    """
    named = [Path(part).expanduser() for part in environment.get("KUBECONFIG", "").split(":") if part]
    home = Path(environment["HOME"]) if environment.get("HOME") else Path.home()
    files = named or [home / ".kube" / "config"]
    existing = [path for path in files if _exists(path)]
    if named and not existing:
        names = ", ".join(repr(str(path)) for path in named)
        why = "none of them exists" if len(named) > 1 else "which does not exist"
        raise unusable_kubeconfig("KUBECONFIG", why=f"names {names}, {why}: correct it, or unset it for ~/.kube/config")
    return existing, [path for path in files if path not in existing]


def _exists(path: Path) -> bool:
    """Whether a file exists; one that may not be accessed does, and fails when it is read."""
    try:
        path.stat()
    except OSError as error:
        return not isinstance(error, FileNotFoundError | NotADirectoryError)
    return True


def read_context(files: Sequence[Path], name: str | None, *, missing: Sequence[Path] = ()) -> Context:
    """The context `name`; None is the current one. Raises RequestError.

    missing: named files that do not exist, for the error; kubectl skips them.
    """
    contexts: dict[str, ContextBody] = {}
    clusters: dict[str, tuple[Path, dict[str, Any]]] = {}
    users: dict[str, tuple[Path, dict[str, Any]]] = {}
    current: str | None = None
    for file in files:
        read = _decoded(file)
        current = current or read.current_context
        for context in read.contexts or ():
            contexts.setdefault(context.name, context.context)
        for cluster in read.clusters or ():
            clusters.setdefault(cluster.name, (file.parent, cluster.cluster or {}))
        for user in read.users or ():
            users.setdefault(user.name, (file.parent, user.user or {}))
    wanted = name or current
    if wanted is None or wanted not in contexts:
        raise _unknown_context(wanted, contexts, files=files, missing=missing)
    body, where = contexts[wanted], f"context {wanted!r}"
    folder, about = _named(clusters, body.cluster, where, "cluster")
    if not isinstance(about.get("server"), str):
        raise unusable_kubeconfig(
            where, why=f"has a cluster {body.cluster!r} without a server: write its address there"
        )
    if about.get("proxy-url"):
        raise unusable_kubeconfig(where, why="has a proxy-url, which is not supported: use --url with a port-forward")
    about = _absolute(about, folder, ("certificate-authority",))
    secret: dict[str, Any] = {}
    if body.user:
        folder, secret = _named(users, body.user, where, "user")
        secret = _absolute(secret, folder, _FILES)
        if isinstance(secret.get("exec"), dict):
            secret["exec"] = _plugin(secret["exec"], folder, about, where)
    return Context(wanted, about["server"], body.namespace, about, secret)


def _decoded(file: Path) -> KubeconfigFile:
    where = f"the kubeconfig {str(file)!r}"
    try:
        # An empty file is null, and a kubeconfig without anything.
        return msgspec.yaml.decode(file.read_bytes(), type=KubeconfigFile | None) or KubeconfigFile()
    except OSError as error:
        raise unusable_kubeconfig(where, why=f"can't be read: {error.strerror}") from error
    except msgspec.ValidationError as error:
        raise unusable_kubeconfig(where, why=f"is not one: {error}") from None  # the message has types and places only
    except (msgspec.DecodeError, ValueError):
        # The parser's own message shows a piece of the text, which may be a token.
        raise unusable_kubeconfig(where, why="is not YAML: correct it, `kubectl config view` shows where") from None


def _named(
    entries: Mapping[str, tuple[Path, dict[str, Any]]], name: str, where: str, kind: str
) -> tuple[Path, dict[str, Any]]:
    if name not in entries:
        raise unusable_kubeconfig(
            where, why=f"names the {kind} {name!r}, which no file has: add it or correct the name"
        )
    folder, body = entries[name]
    return folder, dict(body)


def _absolute(body: dict[str, Any], folder: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    return body | {key: str(folder / Path(body[key]).expanduser()) for key in keys if body.get(key)}


def _plugin(plugin: dict[str, Any], folder: Path, cluster: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The exec plugin with an absolute command, and the variable that the protocol demands."""
    command, version = plugin.get("command"), plugin.get("apiVersion")
    if not isinstance(command, str) or not isinstance(version, str):
        raise unusable_kubeconfig(where, why="has an exec plugin without command or apiVersion: correct its user")
    variables, args = plugin.get("env") or [], plugin.get("args") or []
    if not isinstance(args, list) or not all(isinstance(item, dict) and "name" in item for item in variables):
        raise unusable_kubeconfig(where, why="has an exec plugin whose args or env is not a list: correct its user")
    if "/" in command:
        command = str(folder / command)
    spec: dict[str, Any] = {"interactive": False}
    if plugin.get("provideClusterInfo"):
        keys = ("server", "certificate-authority-data")
        spec["cluster"] = {key: cluster[key] for key in keys if key in cluster}
    info = json.dumps({"apiVersion": version, "kind": "ExecCredential", "spec": spec})
    environment = [variable for variable in variables if variable["name"] != _EXEC_INFO]
    return {**plugin, "command": command, "env": [*environment, {"name": _EXEC_INFO, "value": info}]}
