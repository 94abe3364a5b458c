"""Reads which namespaces and labels are shared."""

import re
from collections.abc import Callable
from typing import Final, TypeVar

from kubetally.domain.errors import RequestError
from kubetally.domain.question.cost_question import NOTHING_SHARED, Sharing, Split
from kubetally.domain.question.dimensions import sanitize_key

MAX_SHARED: Final = 50
"""Namespaces, and labels; each is one more comparison for every row."""

_T = TypeVar("_T")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def parse_shared_namespaces(text: str) -> tuple[str, ...]:
    """The namespaces in a comma list such as `kube-system,monitoring`, each once; none in an empty text.

    Raises: RequestError, for what is not a plain name, and for more than `MAX_SHARED`.
    """
    return _list(text, _namespace)


def parse_shared_labels(text: str) -> tuple[tuple[str, str], ...]:
    """The labels in a comma list such as `team:platform,tier:infra`, each once, keys as sources keep them.

    Raises: RequestError, for one without key or without colon, and for more than `MAX_SHARED`.
    """
    return _list(text, _label)


def sharing_of(
    namespaces: tuple[str, ...] = (), labels: tuple[tuple[str, str], ...] = (), split: Split | None = None
) -> Sharing:
    """What is shared, weighted where nothing else is said. Raises RequestError, for a split of nothing."""
    if namespaces or labels:
        return Sharing(namespaces, labels, split or Split.WEIGHTED)
    if split is not None:
        raise RequestError(
            f"{split} says how shared cost is split, and nothing is shared: name namespaces or labels",
            code="nothing_shared",
        )
    return NOTHING_SHARED


def _list(text: str, read: Callable[[str], _T]) -> tuple[_T, ...]:
    """The items of a comma list, each once. Raises RequestError, for more than `MAX_SHARED`."""
    items = tuple(dict.fromkeys(read(item.strip()) for item in text.split(","))) if text.strip() else ()
    if len(items) > MAX_SHARED:
        raise RequestError(f"{len(items)} are too many to share: name {MAX_SHARED} at most", code="too_many_shared")
    return items


def _namespace(item: str) -> str:
    if _NAMESPACE.fullmatch(item) is None:
        raise RequestError(
            f"{item!r} is not the plain name of a namespace: use a comma list of names, such as kube-system,monitoring",
            code="invalid_namespace",
        )
    return item


def _label(item: str) -> tuple[str, str]:
    key, colon, value = item.partition(":")
    if not colon or not key.strip():
        raise RequestError(
            f"{item!r} is not a label: use a comma list of key:value, such as team:platform", code="invalid_label"
        )
    return sanitize_key(key.strip()), value.strip()
