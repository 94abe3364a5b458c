"""The headers of a kubeconfig user that acts as another one.

Source: Kubernetes documentation, "User impersonation"; client-go, transport/round_trippers.go, clientcmd/validation.go.
"""

import re
from collections.abc import Mapping
from typing import Any

from kubetally.sources.kubernetes.kubeconfig import unusable_kubeconfig

Header = tuple[str, str]
_KEYS = ("as", "as-uid", "as-groups", "as-user-extra")
_NO_TOKEN = re.compile(rb"[^A-Za-z0-9!#$&'*+.^_`|~-]")  # in the name of a header; % is escaped too


def impersonation_headers(user: Mapping[str, Any], where: str) -> tuple[Header, ...]:
    """The headers of `as`, `as-uid`, `as-groups` and `as-user-extra`; empty if the user acts as itself.

    Shape:  a name repeats for each group, and for each value of an extra.
    Raises: RequestError, if `as` is missing beside the others, or a value can't be sent.
    """
    stated = [key for key in _KEYS if user.get(key)]
    if not stated:
        return ()
    if "as" not in stated:
        raise unusable_kubeconfig(
            where, why=f"has {stated[0]} without as: add the user to act as to its user, or remove it"
        )
    headers = [("Impersonate-User", user["as"])]
    if "as-uid" in stated:
        headers.append(("Impersonate-Uid", user["as-uid"]))
    headers += [("Impersonate-Group", group) for group in _list(user, "as-groups", where)]
    extra = user.get("as-user-extra") or {}
    if not isinstance(extra, dict):
        raise unusable_kubeconfig(where, why="has as-user-extra that is not a map of lists: correct it in its user")
    for key in extra:
        headers += [(f"Impersonate-Extra-{_escaped(key)}", value) for value in _list(extra, key, where)]
    for name, value in headers:
        if not isinstance(value, str) or re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
            raise unusable_kubeconfig(
                where, why=f"has a value for {name} that is not text of one line: correct its user"
            )
    return tuple((name, value.strip()) for name, value in headers)


def _list(body: Mapping[str, Any], key: str, where: str) -> list[Any]:
    value = body.get(key) or []
    if not isinstance(value, list):
        raise unusable_kubeconfig(where, why=f"has {key} that is not a list: correct it in its user")
    return value


def _escaped(key: str) -> str:
    """The key of an extra as part of a header's name, percent-encoded."""
    return _NO_TOKEN.sub(lambda byte: b"%%%02X" % byte[0][0], str(key).encode()).decode("ascii")
