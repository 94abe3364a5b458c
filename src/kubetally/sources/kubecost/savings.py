"""Reading GET /model/savings, which has had three shapes (reference: sources.md 2.2, contract.md DF12).

    categories  {category: {state, value}}, or by cluster {cluster: {category: {state, value}}}
    profiles    {"production": {category: {state, value}}, "development": ...}: the same savings under other assumptions
    v3          {cluster, profile, category: {savingsPerMonth, lastRefresh}}

Any of them may be wrapped in {code, data}. The shape shows in the keys, never in a version number.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from math import isfinite

from kubetally.domain.errors import SourceError
from kubetally.domain.money import to_decimal, to_micros
from kubetally.domain.savings import Savings, SavingsCategory

DEFAULT_PROFILE = "production"
_PROFILES = frozenset({"development", "high-availability", DEFAULT_PROFILE})
_FIGURES = ("savingsPerMonth", "value")
_MARKS = frozenset({*_FIGURES, "state", "lastRefresh"})
_READ = frozenset({*_FIGURES, "state"})
_READY = "ready"

_Object = Mapping[str, object]


class SavingsNotUnderstood(SourceError):
    """The answer has none of the known shapes, or lacks what was asked for; `seen` says what it has instead."""

    code = "savings_not_understood"

    def __init__(self, problem: str, seen: str, path: str = "/savings") -> None:
        self.problem, self.seen, self.path = problem, seen, path
        super().__init__(f"can't read the answer of /model{path}: {problem}; got {seen}")


def read_savings(body: object, *, profile: str | None, cluster_id: str | None) -> Savings:
    """The savings in `body`, which is JSON text as bytes, or the same decoded.

    Profiles are alternatives, never added: `profile` chooses, else production. Of clusters `cluster_id` chooses,
    else all are summed by category. An answer that tells no profiles or clusters apart is read as it is.
    Shape:  categories in the order of the answer; those not ready are listed but not counted.
    Units:  the source's unlabelled currency per month of 730 hours.
    Raises: SavingsNotUnderstood, also when the profile or cluster asked for is not in the answer: another's figures
            would pass for its own.
    """
    data = _unwrapped(decoded_json(body) if isinstance(body, bytes | bytearray) else body)
    maps = {name: entry for name, entry in data.items() if isinstance(entry, Mapping)}
    if _is_categories(data, maps):
        # Version 3 puts words beside its categories (cluster, profile); they are no categories.
        figures = {name: entry for name, entry in data.items() if not isinstance(entry, str)}
        return Savings(_categories(figures), _word(data, "profile"), _word(data, "cluster"))
    if len(maps) != len(data):
        odd = {name: entry for name, entry in data.items() if name not in maps}
        raise SavingsNotUnderstood("neither categories nor a map of them", seen(odd))
    if maps.keys() <= _PROFILES:
        return _of_profile(maps, profile or DEFAULT_PROFILE)
    return _of_clusters(maps, cluster_id)


def decoded_json(body: bytes | bytearray, path: str = "/savings") -> object:
    """What JSON text means. Raises SavingsNotUnderstood."""
    try:
        # Figures become decimals straight from their digits; NaN and Infinity, which are not JSON, are no figures.
        return json.loads(body, parse_float=Decimal, parse_constant=lambda _: None)
    except (ValueError, RecursionError, InvalidOperation) as error:
        raise SavingsNotUnderstood("it is not JSON", repr(bytes(body[:80])), path) from error


def _unwrapped(body: object) -> _Object:
    if isinstance(body, Mapping) and "data" in body and "code" in body:
        if body["code"] != 200:
            raise SavingsNotUnderstood(f"code {body['code']!r}", repr(body.get("message"))[:200])
        body = body["data"]
    if not isinstance(body, Mapping):
        raise SavingsNotUnderstood("an object expected", "nothing" if body is None else type(body).__name__)
    return body


def _is_categories(data: _Object, maps: Mapping[str, _Object]) -> bool:
    # An answer of version 3 that names its cluster may have no category yet, and an empty one has none in any shape.
    return not data or any(_MARKS & entry.keys() for entry in maps.values()) or isinstance(data.get("cluster"), str)


def _of_profile(profiles: Mapping[str, _Object], profile: str) -> Savings:
    if profile not in profiles:
        raise SavingsNotUnderstood(f"it has no profile {profile!r}", seen(profiles))
    return Savings(_categories(profiles[profile]), profile)


def _of_clusters(clusters: Mapping[str, _Object], cluster_id: str | None) -> Savings:
    if cluster_id is None:
        return Savings(_summed([_categories(entry) for entry in clusters.values()]))
    if cluster_id not in clusters:
        raise SavingsNotUnderstood(f"it has no cluster {cluster_id!r}", seen(clusters))
    return Savings(_categories(clusters[cluster_id]), cluster_id=cluster_id)


def _categories(data: _Object) -> tuple[SavingsCategory, ...]:
    return tuple(_category(name, entry) for name, entry in data.items())


def _category(name: str, entry: object) -> SavingsCategory:
    if entry is None:
        return SavingsCategory(name, None, None, counted=False)
    if not isinstance(entry, Mapping) or (entry and not _MARKS & entry.keys()):
        raise SavingsNotUnderstood(f"{name!r} is not a category", seen(entry))
    per_month = next((amount_of(name, entry[key]) for key in _FIGURES if key in entry), None)
    state = entry.get("state")
    if not isinstance(state, str | None):
        raise SavingsNotUnderstood(f"the state of {name!r} is not a word", seen(state))
    ready = "state" not in entry or state == _READY
    facts = flat_facts({key: value for key, value in entry.items() if key not in _READ})
    return SavingsCategory(name, per_month, state, counted=ready and per_month is not None, facts=facts)


def flat_facts(told: object) -> dict[str, str | None]:
    """Each value of an object or list by the path to it, such as `usage.cpuCores` and `owners.0.name`.

    Numbers and booleans are written as in JSON. A point in a name has a backslash before it.
    """
    return dict(_leaves(told, ""))


def _leaves(told: object, path: str) -> Iterator[tuple[str, str | None]]:
    parts: Iterable[tuple[str, object]] = ()
    if isinstance(told, Mapping):
        parts = ((str(name).replace(".", "\\."), value) for name, value in told.items())
    elif isinstance(told, list):
        parts = ((str(number), value) for number, value in enumerate(told))
    if isinstance(told, Mapping | list) and (told or not path):
        for name, value in parts:
            yield from _leaves(value, f"{path}.{name}" if path else name)
        return
    yield path, told if isinstance(told, str | None) else _as_json(told)


def _as_json(value: object) -> str:
    return str(value) if isinstance(value, Decimal) else json.dumps(value)


def amount_of(name: str, figure: object) -> Decimal | None:
    """The figure on the grid of 1e-6; None for null and for what is not finite. Raises SavingsNotUnderstood."""
    if figure is None:
        return None
    if isinstance(figure, bool) or not isinstance(figure, int | float | Decimal):
        raise SavingsNotUnderstood(f"the figure of {name!r} is not a number", seen(figure))
    if not isinstance(figure, int) and not isfinite(figure):
        return None
    try:
        # A float is taken for the shortest decimal that prints as it, which is what the source wrote.
        return to_decimal(to_micros(Decimal(str(figure))))
    except (InvalidOperation, ValueError) as error:
        raise SavingsNotUnderstood(f"the figure of {name!r} is out of range", seen(figure)) from error


def _summed(clusters: Sequence[Sequence[SavingsCategory]]) -> tuple[SavingsCategory, ...]:
    """Categories of the same name added over clusters; where some are counted, those alone make the figure."""
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


def _word(data: _Object, key: str) -> str | None:
    word = data.get(key)
    return word if isinstance(word, str) and word else None


def seen(what: object) -> str:
    """What there is, in few words: names of an object, else the value."""
    if not isinstance(what, Mapping):
        return repr(what)[:80]
    names = ", ".join(repr(name)[:60] for name in list(what)[:8])
    return f"{{{names}{', ...' if len(what) > 8 else ''}}}"
