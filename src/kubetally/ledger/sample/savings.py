"""What the Kubecosts of the sample fleet recommend to save."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from kubetally.domain.money import to_decimal, to_micros
from kubetally.domain.savings import (
    HOURS_PER_MONTH,
    SavingsCategory,
    SavingsItem,
    SavingsItems,
    SavingsRow,
    SavingsSubject,
    rows_of_category,
)
from kubetally.ledger.sample.assets import SampleVolume
from kubetally.ledger.sample.machines import CORE_HOUR, GIB


class SampleWorkload(NamedTuple):
    """A controller whose main containers request `cores` each and use the part `used` of them."""

    namespace: str
    kind: str
    controller: str
    cores: float
    used: float


def savings_rows(workloads: Iterable[SampleWorkload], volumes: Sequence[SampleVolume]) -> list[SavingsRow]:
    """Smaller requests, smaller volumes, and the volumes that no claim holds."""
    categories = {
        "containerRequestSizing": [_smaller_requests(workload) for workload in workloads],
        "persistentVolumeSizing": [_smaller_volume(volume, volume.used) for volume in volumes if volume.used],
        "unclaimedVolumes": [_unclaimed(volume) for volume in volumes if volume.claim is None],
    }
    return [
        row
        for name, items in categories.items()
        for row in rows_of_category(_summed(name, items), SavingsItems(tuple(items), {"Count": str(len(items))}))
    ]


def _smaller_requests(workload: SampleWorkload) -> SavingsItem:
    """Requests of what was used and a half more; of what uses more than it asks for the amount is negative."""
    cores = round(1000 * workload.cores * workload.used * 1.5)
    micros = round((1000 * workload.cores - cores) * CORE_HOUR * HOURS_PER_MONTH / 1000)
    facts = {
        "latestKnownRequest.cpu": f"{1000 * workload.cores:.0f}m",
        "recommendedRequest.cpu": f"{cores}m",
        "currentEfficiency.cpu": f"{workload.used:.3f}",
    }
    subject = SavingsSubject(workload.namespace, workload.kind, workload.controller, container="main")
    key = f"{workload.namespace}/{workload.kind}/{workload.controller}/main"
    return SavingsItem(key, to_decimal(micros), subject, facts)


def _smaller_volume(volume: SampleVolume, used: float) -> SavingsItem:
    gib = max(1, round(volume.gib * used))
    micros = round((volume.gib - gib) * volume.gib_hour * HOURS_PER_MONTH)
    facts = {
        "currentCapacityBytes": str(round(volume.gib * GIB)),
        "recommendedCapacityBytes": str(gib * GIB),
        "storageClass": volume.storage_class,
    }
    subject = SavingsSubject(volume.claim_namespace, volume=volume.name)
    return SavingsItem(volume.name, to_decimal(micros), subject, facts)


def _unclaimed(volume: SampleVolume) -> SavingsItem:
    cost, _ = volume.cost(HOURS_PER_MONTH)
    facts = {"properties.provider.id": volume.provider_id}
    return SavingsItem(volume.name, to_decimal(cost), SavingsSubject(volume=volume.name), facts)


def _summed(name: str, items: Sequence[SavingsItem]) -> SavingsCategory:
    micros = sum(to_micros(item.per_month) for item in items if item.per_month is not None)
    return SavingsCategory(name, to_decimal(micros), None, counted=True)
