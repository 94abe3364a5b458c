"""Reading the recommendations behind each category of savings (reference: sources.md 2.2).

The shapes are those of Kubecost's documentation and of its public clients; no Kubecost was at hand to record one. A
list of items may be the answer itself, or stand under a name, with or without the envelope {code, data}. All that an
item says is kept, so that another reading of it is possible later.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from kubetally.domain.savings import SavingsItem, SavingsItems, SavingsSubject
from kubetally.sources.kubecost.savings import SavingsNotUnderstood, amount_of, decoded_json, flat_facts, seen

_Object = Mapping[str, object]
_CLUSTER = ("clusterID", "clusterId")
_LISTS = ("Recommendations", "recommendations", "unutilizedDisks", "volumes")
_VARIANTS = ("multi", "single")


@dataclass(frozen=True, slots=True)
class DrillDown:
    """Where the items of a category are, and what their fields mean.

    paths:      where to ask, the newer one first.
    categories: the names that the category has had.
    figure:     the amount per month of an item, as the source tells it.
    key, subject: what tells an item from others, and what it is about.
    takes_window: whether it is asked about a span of time.
    """

    paths: tuple[str, ...]
    categories: frozenset[str]
    figure: Callable[[_Object], object]
    key: tuple[str, ...]
    subject: Callable[[_Object], SavingsSubject] = lambda item: SavingsSubject()
    takes_window: bool = False
    by_cluster: bool = False


def _word(item: _Object, name: str) -> str | None:
    word = item.get(name)
    return word if isinstance(word, str) and word else None


def _owner(item: _Object) -> _Object:
    owners = item.get("owners")
    first = owners[0] if isinstance(owners, list) and owners else None
    return first if isinstance(first, Mapping) else {}


def _request_sizing_figure(item: _Object) -> object:
    """The total; older versions tell CPU and memory only, which are known together or not at all."""
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
            namespace=_word(item, "namespace"),
            controller_kind=_word(item, "controllerKind"),
            controller=_word(item, "controllerName"),
            container=_word(item, "containerName"),
        ),
        takes_window=True,
    ),
    DrillDown(
        ("/savings/abandonedWorkloads",),
        frozenset({"abandonedWorkload", "abandonedWorkloads"}),
        lambda item: item.get("monthlySavings"),
        ("namespace", "pod"),
        lambda item: SavingsSubject(
            namespace=_word(item, "namespace"),
            controller_kind=_word(_owner(item), "kind"),
            controller=_word(_owner(item), "name"),
            pod=_word(item, "pod"),
            node=_word(item, "node"),
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
        lambda item: SavingsSubject(namespace=_word(item, "claimNamespace"), volume=_word(item, "volumeName")),
    ),
    DrillDown(
        ("/savings/unclaimedVolumes",),
        frozenset({"unclaimedVolumes"}),
        lambda item: item.get("monthlyCost"),
        ("volumeName",),
        lambda item: SavingsSubject(volume=_word(item, "volumeName")),
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
    """Where the items of a category are; None where no documentation tells."""
    return next((found for found in DRILL_DOWNS if category in found.categories), None)


def read_items(body: bytes, category: str, path: str, cluster_id: str | None) -> SavingsItems:
    """The items of a category in an answer.

    cluster_id: items of other clusters are left out; those that name none are kept.
    Shape:  in the order of the answer; keys differ.
    Units:  as `read_savings`.
    Raises: SavingsNotUnderstood.
    """
    where = drill_down(category)
    assert where is not None, "who asks looked it up"  # noqa: S101
    data = _unwrapped(decoded_json(body, path), path)
    if where.by_cluster:
        items, facts = _by_cluster(data, path, cluster_id)
    else:
        items, facts = _listed(data, path)
        items = [(_key(where, item), item) for _, item in items if _is_of(item, cluster_id)]
    try:
        made = [
            SavingsItem(key, amount_of(key, where.figure(item)), where.subject(item), flat_facts(item))
            for key, item in _told_apart(items)
        ]
    except SavingsNotUnderstood as error:
        raise SavingsNotUnderstood(error.problem, error.seen, path) from error
    return SavingsItems(tuple(made), flat_facts(facts))


def _unwrapped(body: object, path: str) -> object:
    if isinstance(body, Mapping) and "code" in body:
        if body["code"] != 200:
            raise SavingsNotUnderstood(f"code {body['code']!r}", repr(body.get("message"))[:200], path)
        return body.get("data")
    return body


_Items = list[tuple[str, _Object]]


def _listed(data: object, path: str) -> tuple[_Items, _Object]:
    """The items in a list, without keys, and what stands beside the list."""
    name = next((name for name in _LISTS if name in data), None) if isinstance(data, Mapping) else None
    items = data if name is None or not isinstance(data, Mapping) else data[name]
    if items is None and name is not None:
        items = []  # as the answers of Go have it
    if not isinstance(items, list):
        raise SavingsNotUnderstood("a list of items expected", seen(data), path)
    odd = next((item for item in items if not isinstance(item, Mapping)), None)
    if odd is not None:
        raise SavingsNotUnderstood("an item is no object", seen(odd), path)
    facts = {key: value for key, value in data.items() if key != name} if isinstance(data, Mapping) else {}
    return [("", item) for item in items], facts


def _by_cluster(data: object, path: str, cluster_id: str | None) -> tuple[_Items, _Object]:
    """A recommendation for each kind of node pools of each cluster, and the other facts of the clusters."""
    if not isinstance(data, Mapping):
        raise SavingsNotUnderstood("a map of clusters expected", seen(data), path)
    items, facts = _Items(), dict[str, object]()
    for cluster, entry in data.items():
        if cluster_id not in {None, cluster}:
            continue
        found = entry.get("recommendations") if isinstance(entry, Mapping) else None
        if not isinstance(entry, Mapping) or not isinstance(found, Mapping | None):
            raise SavingsNotUnderstood(f"no recommendations of cluster {cluster!r}", seen(entry), path)
        recommended = found or {}
        items += [
            (f"{cluster}/{name}", item) for name in _VARIANTS if isinstance(item := recommended.get(name), Mapping)
        ]
        rest = {name: value for name, value in recommended.items() if not isinstance(value, Mapping)}
        others = {name: value for name, value in entry.items() if name != "recommendations"}
        facts[cluster] = {**others, **({"recommendations": rest} if rest else {})}
    return items, facts


def _is_of(item: _Object, cluster_id: str | None) -> bool:
    named = next((word for name in _CLUSTER if (word := _word(item, name)) is not None), None)
    return cluster_id is None or named in {None, cluster_id}


def _key(where: DrillDown, item: _Object) -> str:
    return "/".join(_word(item, name) or "" for name in where.key)


def _told_apart(items: Sequence[tuple[str, _Object]]) -> Iterator[tuple[str, _Object]]:
    """The second item of a key and those after it have its number behind the key."""
    counts: dict[str, int] = {}
    for key, item in items:
        counts[key] = counts.get(key, 0) + 1
        yield (key if counts[key] == 1 else f"{key}#{counts[key]}"), item
