"""The ten components of a cluster's cost, and an exact amount of each."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple, Self


class Component(StrEnum):
    """The components of cost; adjustments are inside their component."""

    CPU = "cpu"
    RAM = "ram"
    GPU = "gpu"
    PV = "pv"
    NODE_DISK = "node_disk"
    LOAD_BALANCER = "load_balancer"
    NETWORK = "network"
    MANAGEMENT = "management"
    SHARED = "shared"
    EXTERNAL = "external"


class Costs(NamedTuple):
    """Micros of one currency for each component, in the order of `Component`."""

    cpu: int = 0
    ram: int = 0
    gpu: int = 0
    pv: int = 0
    node_disk: int = 0
    load_balancer: int = 0
    network: int = 0
    management: int = 0
    shared: int = 0
    external: int = 0

    @property
    def total(self) -> int:
        """Micros of all components together."""
        return sum(self)

    def of(self, component: Component) -> int:
        """Micros of one component."""
        amount: int = getattr(self, component)
        return amount

    def plus(self, other: "Costs") -> "Costs":
        """The sum, component by component."""
        return Costs(*[a + b for a, b in zip(self, other, strict=True)])

    def minus(self, other: "Costs") -> "Costs":
        """The difference, component by component."""
        return Costs(*[a - b for a, b in zip(self, other, strict=True)])

    @classmethod
    def sum(cls, many: Iterable["Costs"]) -> "Costs":
        """The sum of many, component by component; zero of none."""
        rows = [*many]
        return cls(*map(sum, zip(*rows, strict=True))) if rows else ZERO

    @classmethod
    def from_mapping(cls, amounts: Mapping[Component, int]) -> Self:
        """Of amounts by component; what is not named is zero."""
        return cls(**{component.value: amount for component, amount in amounts.items()})


ZERO = Costs()


class NetworkClasses(NamedTuple):
    """Micros of network cost by where the traffic went; they add up to the network component where known."""

    internet: int = 0
    region: int = 0
    zone: int = 0

    def plus(self, other: "NetworkClasses") -> "NetworkClasses":
        """The sum, class by class."""
        return NetworkClasses(self.internet + other.internet, self.region + other.region, self.zone + other.zone)

    @classmethod
    def sum(cls, many: Iterable["NetworkClasses"]) -> "NetworkClasses":
        """The sum of many, class by class; zero of none."""
        rows = [*many]
        return cls(*map(sum, zip(*rows, strict=True))) if rows else NO_CLASSES


NO_CLASSES = NetworkClasses()
