"""The headers by which a user of a kubeconfig acts as somebody else.

Source: Kubernetes documentation, "User impersonation"; client-go, transport/round_trippers.go, clientcmd/validation.go.
"""

import re
from collections.abc import Mapping
from typing import Any

from kubetally.sources.kubernetes.kubeconfig import unusable_kubeconfig

Header = tuple[str, str]
_KEYS = ("as", "as-uid", "as-groups", "as-user-extra")
_NO_TOKEN = re.compile(rb"[^A-Za-z0-9!#$&'*+.^_`|~-]")  # of a header's name; % too, as it stands for what is escaped


def impersonation_headers(user: Mapping[str, Any], where: str) -> tuple[Header, ...]:
    """The headers of `as`, `as-uid`, `as-groups` and `as-user-extra`; none if the user acts as itself.

    Shape:  a name repeats once per group, and per value of an extra.
    Raises: RequestError, where the rest stands without `as`, or a value can't be sent.
    """
    given = [key for key in _KEYS if user.get(key)]
    if not given:
        return ()
    if "as" not in given:
        raise unusable_kubeconfig(where, f"has {given[0]} without as: add the user to act as to its user, or remove it")
    found = [("Impersonate-User", user["as"])]
    if "as-uid" in given:
        found.append(("Impersonate-Uid", user["as-uid"]))
    found += [("Impersonate-Group", group) for group in _list(user, "as-groups", where)]
    extra = user.get("as-user-extra") or {}
    if not isinstance(extra, dict):
        raise unusable_kubeconfig(where, "has as-user-extra that is not a map of lists: correct it in its user")
    for key in extra:
        found += [(f"Impersonate-Extra-{_escaped(key)}", value) for value in _list(extra, key, where)]
    for name, value in found:
        if not isinstance(value, str) or re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
            raise unusable_kubeconfig(where, f"has a value for {name} that is not text of one line: correct its user")
    return tuple((name, value.strip()) for name, value in found)


def _list(body: Mapping[str, Any], key: str, where: str) -> list[Any]:
    value = body.get(key) or []
    if not isinstance(value, list):
        raise unusable_kubeconfig(where, f"has {key} that is not a list: correct it in its user")
    return value


def _escaped(key: str) -> str:
    """The key of an extra as a part of a header's name: what no header may have is percent-encoded."""
    return _NO_TOKEN.sub(lambda byte: b"%%%02X" % byte[0][0], str(key).encode()).decode("ascii")
