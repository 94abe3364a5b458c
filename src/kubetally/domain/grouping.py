"""Grouping items by key, if most keys have one item."""

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


def group_by(key: Callable[[T], K], items: Sequence[T]) -> list[Sequence[T]]:
    """The items of each key, in the order in which keys come."""
    first_items: dict[K, T] = {}
    of_several: dict[K, list[T]] = {}  # most have one item: those need no list
    for name, item in zip(map(key, items), items, strict=True):
        if name in first_items:
            of_several.setdefault(name, [first_items[name]]).append(item)
        else:
            first_items[name] = item
    return [of_several.get(name) or (item,) for name, item in first_items.items()]
