"""Reads GET /model/savings, which has had three shapes (reference: sources.md 2.2, contract.md DF12).

    categories  {category: {state, value}}, or by cluster {cluster: {category: {state, value}}}
    profiles    {"production": {category: {state, value}}, "development": ...}: the same savings under other assumptions
    v3          {cluster, profile, category: {savingsPerMonth, lastRefresh}}

Each may be wrapped in {code, data}. The keys show the shape, never a version number.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from math import isfinite

from kubetally.domain.errors import SourceError
from kubetally.domain.money import to_decimal, to_micros
from kubetally.domain.savings import Savings, SavingsCategory

DEFAULT_PROFILE = "production"
_PROFILES = frozenset({"development", "high-availability", DEFAULT_PROFILE})
_FIGURES = ("savingsPerMonth", "value")
_CATEGORY_KEYS = frozenset({*_FIGURES, "state", "lastRefresh"})
_READ_KEYS = frozenset({*_FIGURES, "state"})
_READY = "ready"

_Object = Mapping[str, object]


class SavingsNotUnderstood(SourceError):
    """The answer has an unknown shape, or lacks the requested profile or cluster; `seen` shows what it has."""

    code = "savings_not_understood"

    def __init__(self, problem: str, *, seen: str, path: str = "/savings") -> None:
        self.problem, self.seen, self.path = problem, seen, path
        super().__init__(f"can't read the answer of /model{path}: {problem}; got {seen}")


def read_savings(body: object, *, profile: str | None, cluster_id: str | None) -> Savings:
    """The savings in `body`, which is JSON as bytes, or decoded.

    Profiles are alternatives and never added: `profile` chooses one, production by default. `cluster_id` chooses a
    cluster; without it, all are summed by category.
    Shape:  categories in the order of the answer; those not ready are listed but not counted.
    Units:  the currency of the source per month of 730 hours.
    Raises: SavingsNotUnderstood, also if the answer lacks the requested profile or cluster.
    """
    data = unwrapped(decoded_json(body) if isinstance(body, bytes | bytearray) else body)
    if not isinstance(data, Mapping):
        raise SavingsNotUnderstood("an object expected", seen="nothing" if data is None else type(data).__name__)
    maps = {name: entry for name, entry in data.items() if isinstance(entry, Mapping)}
    if _is_categories(data, maps):
        # Version 3 has texts beside its categories: cluster and profile.
        figures = {name: entry for name, entry in data.items() if not isinstance(entry, str)}
        return Savings(_categories(figures), text_of(data, "profile"), text_of(data, "cluster"))
    if len(maps) != len(data):
        odd = {name: entry for name, entry in data.items() if name not in maps}
        raise SavingsNotUnderstood("neither categories nor a map of them", seen=described(odd))
    if maps.keys() <= _PROFILES:
        return _of_profile(maps, profile or DEFAULT_PROFILE)
    return _of_clusters(maps, cluster_id)


def decoded_json(body: bytes | bytearray, path: str = "/savings") -> object:
    """The decoded JSON. Raises SavingsNotUnderstood."""
    try:
        # Figures become decimals from their digits; NaN and Infinity, which are not JSON, become None.
        return json.loads(body, parse_float=Decimal, parse_constant=lambda _: None)
    except (ValueError, RecursionError, InvalidOperation) as error:
        raise SavingsNotUnderstood("it is not JSON", seen=repr(bytes(body[:80])), path=path) from error


def unwrapped(body: object, path: str = "/savings") -> object:
    """The data of an answer, with or without its envelope. Raises SavingsNotUnderstood."""
    if not isinstance(body, Mapping) or isinstance(body.get("code", body), Mapping):  # a category may be named code
        return body
    if body["code"] != 200:
        raise SavingsNotUnderstood(f"code {body['code']!r}", seen=repr(body.get("message"))[:200], path=path)
    return body.get("data")


def _is_categories(data: _Object, maps: Mapping[str, _Object]) -> bool:
    # An answer of version 3 names its cluster and may have no category yet; an empty answer has none in any shape.
    return (
        not data
        or any(_CATEGORY_KEYS & entry.keys() for entry in maps.values())
        or isinstance(data.get("cluster"), str)
    )


def _of_profile(profiles: Mapping[str, _Object], profile: str) -> Savings:
    if profile not in profiles:
        raise SavingsNotUnderstood(f"it has no profile {profile!r}", seen=described(profiles))
    return Savings(_categories(profiles[profile]), profile)


def _of_clusters(clusters: Mapping[str, _Object], cluster_id: str | None) -> Savings:
    if cluster_id is None:
        return Savings(_summed([_categories(entry) for entry in clusters.values()]))
    if cluster_id not in clusters:
        raise SavingsNotUnderstood(f"it has no cluster {cluster_id!r}", seen=described(clusters))
    return Savings(_categories(clusters[cluster_id]), cluster_id=cluster_id)


def _categories(data: _Object) -> tuple[SavingsCategory, ...]:
    return tuple(_category(name, entry) for name, entry in data.items())


def _category(name: str, entry: object) -> SavingsCategory:
    if entry is None:
        return SavingsCategory(name, None, None, counted=False)
    if not isinstance(entry, Mapping) or (entry and not _CATEGORY_KEYS & entry.keys()):
        raise SavingsNotUnderstood(f"{name!r} is not a category", seen=described(entry))
    per_month = next((amount_of(name, entry[key]) for key in _FIGURES if key in entry), None)
    state = entry.get("state")
    if not isinstance(state, str | None):
        raise SavingsNotUnderstood(f"the state of {name!r} is not a word", seen=described(state))
    ready = "state" not in entry or state == _READY
    facts = flat_facts({key: value for key, value in entry.items() if key not in _READ_KEYS})
    return SavingsCategory(name, per_month, state, counted=ready and per_month is not None, facts=facts)


def flat_facts(body: object) -> dict[str, str | None]:
    """Each value of an object or list by its path, such as `usage.cpuCores` and `owners.0.name`.

    Numbers and booleans are written as in JSON. A dot in a name has a backslash before it.
    """
    return dict(_leaves(body, ""))


def _leaves(body: object, path: str) -> Iterator[tuple[str, str | None]]:
    if isinstance(body, Mapping | list) and (body or not path):
        for key, value in body.items() if isinstance(body, Mapping) else enumerate(body):
            name = str(key).replace(".", "\\.")
            yield from _leaves(value, f"{path}.{name}" if path else name)
    elif isinstance(body, str | None):
        yield path, body
    else:
        yield path, str(body) if isinstance(body, Decimal) else json.dumps(body)


def amount_of(name: str, figure: object) -> Decimal | None:
    """The figure on the grid of 1e-6; None for null, NaN and infinity. Raises SavingsNotUnderstood."""
    if figure is None:
        return None
    if isinstance(figure, bool) or not isinstance(figure, int | float | Decimal):
        raise SavingsNotUnderstood(f"the figure of {name!r} is not a number", seen=described(figure))
    if not isinstance(figure, int) and not isfinite(figure):
        return None
    try:
        # The shortest decimal that prints as the float is what the source wrote.
        return to_decimal(to_micros(Decimal(str(figure))))
    except (InvalidOperation, ValueError) as error:
        raise SavingsNotUnderstood(f"the figure of {name!r} is out of range", seen=described(figure)) from error


def _summed(clusters: Sequence[Sequence[SavingsCategory]]) -> tuple[SavingsCategory, ...]:
    """Categories of the same name, added over clusters; if some are counted, only those make the figure."""
    by_name: dict[str, list[SavingsCategory]] = {}
    for categories in clusters:
        for category in categories:
            by_name.setdefault(category.name, []).append(category)
    return tuple(_added(name, same) for name, same in by_name.items())


def _added(name: str, same: Sequence[SavingsCategory]) -> SavingsCategory:
    counted = [category for category in same if category.counted]
    figures = [category.per_month for category in counted or same if category.per_month is not None]
    states = sorted({category.state for category in same if category.state is not None})
    per_month = to_decimal(sum(map(to_micros, figures))) if figures else None
    facts = same[0].facts if len(same) == 1 else {}
    return SavingsCategory(name, per_month, ", ".join(states) or None, counted=bool(counted), facts=facts)


def text_of(data: _Object, key: str) -> str | None:
    """The text at a key; None if it is missing, empty or not text."""
    text = data.get(key)
    return text if isinstance(text, str) and text else None


def described(value: object) -> str:
    """A value in short, for a message: the names of an object, else the value."""
    if not isinstance(value, Mapping):
        return repr(value)[:80]
    names = ", ".join(repr(name)[:60] for name in list(value)[:8])
    return f"{{{names}{', ...' if len(value) > 8 else ''}}}"
