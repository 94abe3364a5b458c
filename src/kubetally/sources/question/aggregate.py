"""The groups a client may ask for with `aggregate=`."""

import re
from collections.abc import Iterable
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


class UnknownAggregate(RequestError):
    """A group was asked for that a source does not know, or would take for another."""

    code = "unknown_aggregate"

    def __init__(self, name: str, reason: str = "is not a known one") -> None:
        self.name = name
        self.known = _KNOWN
        super().__init__(f"The aggregate {name!r} {reason}; use a comma list of {', '.join(_KNOWN)}")


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One group; `name` in the source's spelling, `key` of a label or an annotation as the source keeps it."""

    name: str
    key: str | None = None

    def __str__(self) -> str:
        return self.name if self.key is None else f"{self.name}:{self.key}"


def sanitize_key(key: str) -> str:
    """A label or annotation key as the sources keep it: what is not a letter, digit or `_` becomes `_`."""
    return _NOT_IN_A_KEY.sub("_", key)


def parse_aggregates(text: str) -> tuple[Aggregate, ...]:
    """The groups in `text`, a comma list such as `namespace,label:app`.

    Shape:  at least one, in the order asked, each once: a repeated one would only repeat itself in every row's name.
    Raises: UnknownAggregate, for a name OpenCost would drop in silence, for nothing at all, and for `all` with others.
    """
    asked = tuple(dict.fromkeys(_one(item.strip()) for item in text.split(",")))
    if len(asked) > 1 and Aggregate(_ALL) in asked:
        raise UnknownAggregate(_ALL, "can't be combined with others")
    return asked


def aggregate_parameter(aggregates: Iterable[Aggregate]) -> str:
    """The value of the `aggregate` parameter, not yet URL-encoded."""
    return ",".join(map(str, aggregates))


def _one(item: str) -> Aggregate:
    name, colon, key = item.partition(":")
    if name.lower() in _KEYED:
        # The sources accept a bare `label` too, and then add no component to the name: every row becomes one.
        if not key.strip():
            raise UnknownAggregate(item, "lacks its key")
        return Aggregate(name.lower(), sanitize_key(key.strip()))
    if colon or name.lower() not in _CANONICAL:
        raise UnknownAggregate(item)
    return Aggregate(_CANONICAL[name.lower()])
