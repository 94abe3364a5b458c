"""Names that somebody may have meant instead of the one they wrote."""

from collections.abc import Iterable
from difflib import SequenceMatcher

_MIN_PREFIX_LENGTH = 3


def nearest(word: str, known: Iterable[str], *, similarity: float = 0.65, count: int = 3) -> list[str]:
    """At most `count` of `known` that are like `word`, best first; upper and lower case are alike.

    similarity: the least ratio of difflib, from 0 to 1. Where one begins with the other they are alike in any case.
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
