"""The dimensions that rows may be grouped by."""

import re
from dataclasses import dataclass

from kubetally.domain.errors import RequestError

_PLAIN = (
    "cluster",
    "node",
    "namespace",
    "controllerKind",
    "controller",
    "service",
    "pod",
    "container",
    "deployment",
    "statefulset",
    "daemonset",
    "job",
    "department",
    "environment",
    "owner",
    "product",
    "team",
)
_KEYED = ("label", "annotation")
_ALL = "all"
_CANONICAL = {name.lower(): name for name in (*_PLAIN, _ALL)}
_KNOWN = (*_PLAIN, *(f"{name}:KEY" for name in _KEYED), f"{_ALL} (alone)")
_NOT_IN_A_KEY = re.compile(r"[^A-Za-z0-9_]")


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One dimension; `name` in the source's spelling, `key` of a label or an annotation as the source keeps it."""

    name: str
    key: str | None = None

    def __str__(self) -> str:
        return self.name if self.key is None else f"{self.name}:{self.key}"


def sanitize_key(key: str) -> str:
    """A label or annotation key as the sources keep it: what is not a letter, digit or `_` becomes `_`."""
    return _NOT_IN_A_KEY.sub("_", key)


def parse_aggregates(text: str) -> tuple[Aggregate, ...]:
    """The dimensions in `text`, a comma list such as `namespace,label:app`.

    Shape:  at least one, in the order asked, each once: a repeated one would only repeat itself in every row's name.
    Raises: RequestError, for a name that OpenCost would drop in silence, for an empty one, and for `all` with others.
    """
    asked = tuple(dict.fromkeys(_dimension(item.strip()) for item in text.split(",")))
    if len(asked) > 1 and Aggregate(_ALL) in asked:
        raise _unknown(_ALL, "can't be combined with others")
    return asked


def _dimension(item: str) -> Aggregate:
    name, colon, key = item.partition(":")
    if name.lower() in _KEYED:
        # The sources accept a bare `label` too, and then add no component to the name: every row becomes one.
        if not key.strip():
            raise _unknown(item, "lacks its key")
        return Aggregate(name.lower(), sanitize_key(key.strip()))
    if colon or name.lower() not in _CANONICAL:
        raise _unknown(item, "is unknown")
    return Aggregate(_CANONICAL[name.lower()])


def _unknown(name: str, reason: str) -> RequestError:
    return RequestError(
        f"the aggregate {name!r} {reason}; use a comma list of {', '.join(_KNOWN)}", code="unknown_aggregate"
    )
