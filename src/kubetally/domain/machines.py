"""One machine is one asset: what a source lists twice, and nodes that its rows know by another name.

Names are compared first: in a cluster they are unique at any time. A provider id helps where it is one machine's. It
need not be: some sources write that of a pool, or nothing.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from kubetally.domain.allocation import Allocation
from kubetally.domain.asset import Asset, AssetType

_ADDRESS = re.compile(r"\d{1,3}(\.\d{1,3}){3}(:\d+)?|\[?[0-9a-f]*:[0-9a-f:]+\]?(:\d+)?")
_PORT = re.compile(r"(?<=[^:]):\d+$")
# Ids that are given once in the world: of an AWS instance or volume, a UUID.
_UNIQUE_ID = re.compile(r"(i|vol)-[0-9a-f]{8,17}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NO_ID = frozenset({"", "__undefined__", "undefined", "unknown", "none", "null"})
_CLOUD_PATH = ("aws://", "gce://")  # whose last part is the id that other answers have alone


class Matched(NamedTuple):
    """Rows and assets with one name for one machine.

    `twins` are the assets left out because another is the same thing over the same time. `renamed` tells for each name
    that only rows used which asset's name took its place.
    """

    allocations: list[Allocation]
    assets: list[Asset]
    twins: tuple[Asset, ...] = ()
    renamed: Mapping[str, str] = {}


def match_machines(allocations: list[Allocation], assets: list[Asset]) -> Matched:
    """The same rows and assets with every machine, disk and load balancer once, by one name each.

    Of two assets that are one thing, the one that costs more stays, or that whose name rows use. Two machines that had
    one name, or one id, after each other are two.
    """
    rows_on = {row.node for row in allocations if row.node}
    kept, twins = _without_twins(assets, rows_on)
    nodes = [asset for asset in kept if asset.type is AssetType.NODE]
    kept, twin_disks = _without_disks_of_twins(kept, {name: node.name for node in nodes for name in node.names})
    twins += twin_disks
    renamed = _renamed(nodes, allocations, rows_on)
    if renamed:
        allocations = [row._replace(node=renamed.get(row.node or "", row.node)) for row in allocations]
    return Matched(allocations, kept, tuple(twins), renamed)


def _without_twins(assets: Sequence[Asset], rows_on: set[str]) -> tuple[list[Asset], list[Asset]]:
    """The assets in their order without those that are another over the same time; and these."""
    by_key: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for at, asset in enumerate(assets):
        for key in _keys(asset):
            by_key[key].append(at)
    candidates = [group for group in by_key.values() if len(group) > 1]
    left_out: dict[int, int] = {}
    for group in candidates:
        # The best first, so that others are held against it.
        order = sorted(group, key=lambda at: (assets[at].name not in rows_on, -assets[at].total, at))
        for number, at in enumerate(order):
            for better in order[:number]:
                if at != better and better not in left_out and _are_one(assets[better], assets[at], assets, rows_on):
                    left_out.setdefault(at, better)
    kept = [
        asset._replace(names=asset.names.union(*(assets[at].names for at, best in left_out.items() if best == place)))
        for place, asset in enumerate(assets)
        if place not in left_out
    ]
    return kept, [assets[at] for at in sorted(left_out)]


def _keys(asset: Asset) -> Iterable[tuple[object, ...]]:
    """What two assets must have in common to be one thing."""
    about = (asset.type, asset.cluster_id)
    id_ = machine_id(asset.provider_id)
    match asset.type:
        case AssetType.NODE:
            yield from ((*about, "name", asset.name),) if asset.name else ()
            yield from ((*about, "id", id_),) if id_ else ()
        case AssetType.DISK:
            if asset.costs.node_disk:  # a node may have several
                yield (*about, asset.name, id_)
                return
            yield from ((*about, "name", name) for name in asset.names)
            yield from ((*about, "id", id_),) if id_ and _UNIQUE_ID.fullmatch(id_) else ()
        case AssetType.LOAD_BALANCER:
            yield from ((*about, asset.name, id_),) if asset.name and id_ else ()


def _are_one(one: Asset, other: Asset, assets: Sequence[Asset], rows_on: set[str]) -> bool:
    if not _at_one_time(one, other):
        return False
    if one.type is not AssetType.NODE or one.name == other.name:
        return True
    id_ = machine_id(one.provider_id)
    sharing = [asset for asset in assets if asset.type is AssetType.NODE and machine_id(asset.provider_id) == id_]
    if is_one_machine(id_ or "", {asset.name for asset in sharing}):
        return True
    # Any node runs some pod. One that never did, with the id and the price of one that did, is that one.
    with_rows = {asset.name for asset in sharing} & rows_on
    return with_rows == {one.name} and one.costs == other.costs


def _without_disks_of_twins(assets: list[Asset], node_names: Mapping[str, str]) -> tuple[list[Asset], list[Asset]]:
    """The assets without a second disk of a node that has two names; and these."""
    kept: list[Asset] = []
    twins: list[Asset] = []
    disks: dict[str, Asset] = {}
    for asset in assets:
        if asset.type is AssetType.DISK and asset.costs.node_disk and asset.name in node_names:
            other = disks.setdefault(node_names[asset.name], asset)
            if other.name != asset.name and _at_one_time(other, asset):
                twins.append(asset)
                continue
        kept.append(asset)
    return kept, twins


def _at_one_time(one: Asset, other: Asset) -> bool:
    """Whether they share most of the shorter one's time; where lives are not told, whether both can't follow."""
    if one.window.overlap(other.window) is None:
        return False
    if one.life is None or other.life is None:
        return one.hours + other.hours > 1.1 * one.window.hours or not (one.hours and other.hours)
    common = one.life.overlap(other.life)
    return common is not None and common.hours > min(one.life.hours, other.life.hours) / 2


def _renamed(nodes: Sequence[Asset], allocations: Sequence[Allocation], rows_on: set[str]) -> dict[str, str]:
    """The asset's name for names that only rows use, where both have the id of one machine."""
    own_names = {name: asset.name for asset in nodes for name in asset.names}
    renamed = {name: own_names[name] for name in rows_on if name in own_names and own_names[name] != name}
    if rows_on <= own_names.keys():
        return renamed
    names_of_rows = _names_by_id(allocations)
    by_id: dict[str, set[str]] = defaultdict(set)
    for asset in nodes:
        if id_ := machine_id(asset.provider_id):
            by_id[id_].add(asset.name)
    for id_, listed in by_id.items():
        foreign = names_of_rows.get(id_, set()) - own_names.keys()
        if len(listed) != 1 or not foreign:
            continue
        (name,) = listed
        only_one = len(foreign) == 1 and name not in rows_on  # nothing runs on it by its own name
        if only_one or is_one_machine(id_, {name, *foreign}):
            renamed |= dict.fromkeys(foreign, name)
    return renamed


def _names_by_id(allocations: Iterable[Allocation]) -> dict[str, set[str]]:
    """The names of nodes by the provider id that rows give them."""
    pairs = {(row.provider_id, row.node) for row in allocations if row.node and row.provider_id}
    names: dict[str, set[str]] = defaultdict(set)
    for provider_id, node in pairs:
        if id_ := machine_id(provider_id):
            names[id_].add(node)
    return names


def machine_id(provider_id: str | None) -> str | None:
    """A provider id as it can be compared: `aws:///zone/i-0abc` is `i-0abc`; None where it tells nothing."""
    text = (provider_id or "").strip().casefold()
    if text.startswith(_CLOUD_PATH):
        text = text.rpartition("/")[2]
    return None if text in _NO_ID else text


def is_one_machine(id_: str, names: set[str]) -> bool:
    """Whether nodes of these names, which all have this id at a time, are one: by an id that is unique for sure, or
    because a host name and an address are all there is, with or without domain and port.
    """
    if _UNIQUE_ID.fullmatch(id_):
        return True
    addresses = {_PORT.sub("", name) for name in names if _ADDRESS.fullmatch(name.casefold())}
    hosts = {_PORT.sub("", name).casefold() for name in names if not _ADDRESS.fullmatch(name.casefold())}
    shortest = min(hosts, key=len, default="")
    is_one_host = all(host == shortest or host.startswith(f"{shortest}.") for host in hosts)
    return len(addresses) <= 1 and is_one_host
