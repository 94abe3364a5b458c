"""What the rows of an answer are grouped by."""

from typing import Final, NamedTuple

from kubetally.domain.errors import RequestError
from kubetally.domain.nearest import did_you_mean, suggestion
from kubetally.domain.question.dimensions import sanitize_key

PLAIN: Final = (
    "cluster", "organization", "namespace", "controller_kind", "controller", "pod", "container", "node", "service",
    "kind", "component",
)  # fmt: skip
KEYED: Final = ("label", "annotation", "namespace_label")
CARRIED_BY_LINES: Final = frozenset({"cluster", "organization", "kind", "component"})
"""Dimensions that idle, unmounted, overhead and difference have too."""

MAX_DIMENSIONS: Final = 8
_KNOWN: Final = (*PLAIN, *(f"{name}:KEY" for name in KEYED))
_SPELLINGS: Final = {name.replace("_", ""): name for name in (*PLAIN, *KEYED)}


class Dimension(NamedTuple):
    """One dimension: its name, the key of a label or annotation as sources keep it, and the text as it was asked."""

    name: str
    key: str | None
    asked: str

    @property
    def is_carried_by_lines(self) -> bool:
        """Whether idle and the other lines have a value of it."""
        return self.name in CARRIED_BY_LINES


def parse_group(text: str) -> tuple[Dimension, ...]:
    """The dimensions in a comma list such as `cluster,label:app.kubernetes.io/name`; none in an empty text.

    OpenCost's spellings (`controllerKind`) are read too. Several labels are several keys, not alternatives.
    Raises: RequestError, for an unknown name, a missing key, or a dimension that comes twice.
    """
    if not text.strip():
        return ()
    dimensions = tuple(_dimension(item.strip()) for item in text.split(","))
    if len(dimensions) > MAX_DIMENSIONS:
        raise _error(f"has {len(dimensions)} dimensions, at most {MAX_DIMENSIONS} can be grouped by")
    seen = set[tuple[str, str | None]]()
    for dimension in dimensions:
        if dimension[:2] in seen:
            raise _error(f"has {dimension.asked!r} twice")
        seen.add(dimension[:2])
    return dimensions


def _dimension(item: str) -> Dimension:
    name, colon, key = item.partition(":")
    canonical = _SPELLINGS.get(name.strip().replace("_", "").lower())
    if canonical is None:
        near = suggestion(name, _KNOWN) or (did_you_mean([f"label:{name}"]) if name and not colon else "")
        raise _error(f"has the unknown dimension {item!r}{near}")
    if canonical not in KEYED:
        if colon:
            raise _error(f"has {item!r}, but {canonical} takes no key")
        return Dimension(canonical, None, item)
    if not key.strip():
        raise _error(f"has {item!r} without a key")
    return Dimension(canonical, sanitize_key(key.strip()), item)


def _error(problem: str) -> RequestError:
    return RequestError(f"the group {problem}: use a comma list of {', '.join(_KNOWN)}", code="unknown_dimension")
