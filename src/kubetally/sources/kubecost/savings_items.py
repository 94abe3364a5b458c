"""Reads the recommendations in each category of savings (reference: sources.md 2.2).

The shapes are those of Kubecost's documentation and of its public clients; none was recorded. The list of items is the
answer itself or has a name, with or without the envelope {code, data}. Every field of an item is kept, so that a later
version can read it again.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from kubetally.domain.savings import SavingsItem, SavingsItems, SavingsSubject
from kubetally.sources.kubecost.savings import (
    SavingsNotUnderstood,
    amount_of,
    decoded_json,
    described,
    flat_facts,
    text_of,
    unwrapped,
)

_Object = Mapping[str, object]
_CLUSTER = ("clusterID", "clusterId")
_LISTS = ("Recommendations", "recommendations", "unutilizedDisks", "volumes")
_VARIANTS = ("multi", "single")


@dataclass(frozen=True, slots=True)
class DrillDown:
    """The requests for the items of a category, and the meaning of their fields.

    paths:      of the API, the newer one first.
    categories: the names that the category has had.
    figure:     reads the amount per month of an item.
    key:        the fields that identify an item.
    takes_window: whether a request has a window.
    by_cluster: whether the answer is a map of clusters.
    """

    paths: tuple[str, ...]
    categories: frozenset[str]
    figure: Callable[[_Object], object]
    key: tuple[str, ...]
    subject: Callable[[_Object], SavingsSubject] = lambda item: SavingsSubject()
    takes_window: bool = False
    by_cluster: bool = False


def _owner(item: _Object) -> _Object:
    owners = item.get("owners")
    first = owners[0] if isinstance(owners, list) and owners else None
    return first if isinstance(first, Mapping) else {}


def _request_sizing_figure(item: _Object) -> object:
    """The total; older versions have CPU and memory only, which must both be known."""
    saved = item.get("monthlySavings")
    if not isinstance(saved, Mapping):
        return saved
    if "total" in saved:
        return saved["total"]
    parts = [amount_of("monthlySavings", saved.get(name)) for name in ("cpu", "memory")]
    known = [part for part in parts if part is not None]
    return sum(known, Decimal(0)) if len(known) == len(parts) else None


DRILL_DOWNS = (
    DrillDown(
        ("/savings/requestSizingV2",),
        frozenset({"requestSizing", "containerRequestSizing"}),
        _request_sizing_figure,
        ("namespace", "controllerKind", "controllerName", "containerName"),
        lambda item: SavingsSubject(
            namespace=text_of(item, "namespace"),
            controller_kind=text_of(item, "controllerKind"),
            controller=text_of(item, "controllerName"),
            container=text_of(item, "containerName"),
        ),
        takes_window=True,
    ),
    DrillDown(
        ("/savings/abandonedWorkloads",),
        frozenset({"abandonedWorkload", "abandonedWorkloads"}),
        lambda item: item.get("monthlySavings"),
        ("namespace", "pod"),
        lambda item: SavingsSubject(
            namespace=text_of(item, "namespace"),
            controller_kind=text_of(_owner(item), "kind"),
            controller=text_of(_owner(item), "name"),
            pod=text_of(item, "pod"),
            node=text_of(item, "node"),
        ),
    ),
    DrillDown(
        ("/savings/clusterSizingETL", "/savings/clusterSizing"),
        frozenset({"clusterSizing"}),
        lambda item: item.get("monthlySavings"),
        (),
        takes_window=True,
        by_cluster=True,
    ),
    DrillDown(
        ("/savings/persistentVolumeSizing",),
        frozenset({"pvSizing", "persistentVolumeSizing"}),
        lambda item: item.get("savingsMonthly"),
        ("volumeName",),
        lambda item: SavingsSubject(namespace=text_of(item, "claimNamespace"), volume=text_of(item, "volumeName")),
    ),
    DrillDown(
        ("/savings/unclaimedVolumes",),
        frozenset({"unclaimedVolumes"}),
        lambda item: item.get("monthlyCost"),
        ("volumeName",),
        lambda item: SavingsSubject(volume=text_of(item, "volumeName")),
        takes_window=True,
    ),
    DrillDown(
        ("/savings/localLowDisks",),
        frozenset({"localDisks", "underutilizedLocalDisks"}),
        lambda item: item.get("savingsMonthly"),
        ("diskName",),
    ),
    DrillDown(
        ("/savings/nodeGroupSizing/recommendations",),
        frozenset({"nodeGroupSizing"}),
        lambda item: item.get("savingsPerMonth"),
        ("nodeGroup",),
    ),
)


def drill_down(category: str) -> DrillDown | None:
    """The requests for the items of a category; None if they are undocumented."""
    return next((entry for entry in DRILL_DOWNS if category in entry.categories), None)


def read_items(body: bytes, *, category: str, path: str, cluster_id: str | None) -> SavingsItems:
    """The items of a category in an answer of `path`.

    cluster_id: items of other clusters are left out; those that name none are kept.
    Shape:  in the order of the answer, with distinct keys.
    Units:  as `read_savings`.
    Raises: SavingsNotUnderstood.
    """
    where = drill_down(category)
    assert where is not None, "who requested them looked it up"  # noqa: S101
    data = unwrapped(decoded_json(body, path), path)
    if where.by_cluster:
        items, facts = _by_cluster(data, path, cluster_id)
    else:
        listed, facts = _listed(data, path)
        items = [(_key(where, item), item) for item in listed if _is_of(item, cluster_id)]
    try:
        read = [
            SavingsItem(key, amount_of(key, where.figure(item)), where.subject(item), flat_facts(item))
            for key, item in _with_distinct_keys(items)
        ]
    except SavingsNotUnderstood as error:
        raise SavingsNotUnderstood(error.problem, seen=error.seen, path=path) from error
    return SavingsItems(tuple(read), flat_facts(facts))


def _listed(data: object, path: str) -> tuple[list[_Object], _Object]:
    """The items in a list, and the facts beside the list."""
    items, facts = data, dict[str, object]()
    if isinstance(data, Mapping):
        name = next((name for name in _LISTS if name in data), None)
        facts = {key: value for key, value in data.items() if key != name}
        if name is not None:
            items = [] if data[name] is None else data[name]  # Go writes an empty list as null
    if not isinstance(items, list):
        raise SavingsNotUnderstood("a list of items expected", seen=described(data), path=path)
    odd = next((item for item in items if not isinstance(item, Mapping)), None)
    if odd is not None:
        raise SavingsNotUnderstood("an item is no object", seen=described(odd), path=path)
    return items, facts


def _by_cluster(data: object, path: str, cluster_id: str | None) -> tuple[list[tuple[str, _Object]], _Object]:
    """A recommendation for each kind of node pools of each cluster, with its key, and the facts of the clusters."""
    if not isinstance(data, Mapping):
        raise SavingsNotUnderstood("a map of clusters expected", seen=described(data), path=path)
    items, facts = list[tuple[str, _Object]](), dict[str, object]()
    for cluster, entry in data.items():
        if cluster_id not in {None, cluster}:
            continue
        recommendations = entry.get("recommendations") if isinstance(entry, Mapping) else None
        if not isinstance(entry, Mapping) or not isinstance(recommendations, Mapping | None):
            raise SavingsNotUnderstood(f"no recommendations of cluster {cluster!r}", seen=described(entry), path=path)
        by_name = recommendations or {}
        items += [(f"{cluster}/{name}", item) for name in _VARIANTS if isinstance(item := by_name.get(name), Mapping)]
        rest = {name: value for name, value in by_name.items() if not isinstance(value, Mapping)}
        others = {name: value for name, value in entry.items() if name != "recommendations"}
        facts[cluster] = {**others, **({"recommendations": rest} if rest else {})}
    return items, facts


def _is_of(item: _Object, cluster_id: str | None) -> bool:
    named = next((name for key in _CLUSTER if (name := text_of(item, key)) is not None), None)
    return cluster_id is None or named in {None, cluster_id}


def _key(where: DrillDown, item: _Object) -> str:
    return "/".join(text_of(item, name) or "" for name in where.key)


def _with_distinct_keys(items: Sequence[tuple[str, _Object]]) -> Iterator[tuple[str, _Object]]:
    """The items; the second and later ones of a key have their number after it."""
    counts = Counter[str]()
    for key, item in items:
        counts[key] += 1
        yield (key if counts[key] == 1 else f"{key}#{counts[key]}"), item
