"""Suggestions for a mistyped name."""

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

_MIN_PREFIX_LENGTH = 3


def nearest(word: str, known: Iterable[str], *, similarity: float = 0.65, count: int = 3) -> list[str]:
    """At most `count` names of `known` that resemble `word`, best first; case is ignored.

    similarity: the minimum ratio of difflib, from 0 to 1. A common beginning is enough, whatever the ratio.
    """
    lower = word.casefold()
    ratios: dict[str, float] = {}
    for name in known:
        other = name.casefold()
        ratio = SequenceMatcher(None, lower, other, autojunk=False).ratio()
        shorter, longer = sorted((lower, other), key=len)
        if len(shorter) >= _MIN_PREFIX_LENGTH and longer.startswith(shorter):
            ratio = max(ratio, similarity)
        if ratio >= similarity:
            ratios[name] = ratio
    return sorted(ratios, key=lambda name: (-ratios[name], name))[:count]


def suggestion(word: str, known: Iterable[str]) -> str:
    """` (did you mean a or b?)` for names that resemble `word`, to be put after its mention; empty if none does."""
    return did_you_mean(nearest(word, known))


def did_you_mean(names: Sequence[str]) -> str:
    """` (did you mean a or b?)`, to be put after the mention of a mistyped name; empty without names."""
    return f" (did you mean {' or '.join(names)}?)" if names else ""
