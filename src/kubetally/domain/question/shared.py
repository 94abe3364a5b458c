"""Reads which namespaces and labels are shared."""

import re

from kubetally.domain.errors import RequestError
from kubetally.domain.question.cost_question import NOTHING_SHARED, Sharing, Split
from kubetally.domain.question.dimensions import sanitize_key

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def parse_shared_namespaces(text: str) -> tuple[str, ...]:
    """The namespaces in a comma list such as `kube-system,monitoring`, each once; none in an empty text.

    Raises: RequestError, for what is not a plain name.
    """
    return tuple(dict.fromkeys(_namespace(item.strip()) for item in text.split(","))) if text.strip() else ()


def parse_shared_labels(text: str) -> tuple[tuple[str, str], ...]:
    """The labels in a comma list such as `team:platform,tier:infra`, each once, keys as sources keep them.

    Raises: RequestError, for one without key or without colon.
    """
    return tuple(dict.fromkeys(_label(item.strip()) for item in text.split(","))) if text.strip() else ()


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
