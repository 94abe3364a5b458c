"""How much of a component was allocated: what its price is per."""

from collections.abc import Mapping
from typing import Final

from kubetally.domain.component import Component
from kubetally.domain.efficiency import Hours, sum_of_known

QUANTITIES: Final[Mapping[Component, tuple[str, ...]]] = {
    Component.CPU: ("cpu_core_hours",),
    Component.RAM: ("ram_byte_hours",),
    Component.GPU: ("gpu_hours",),
    Component.PV: ("pv_byte_hours",),
    Component.NETWORK: ("network_transfer_bytes", "network_receive_bytes"),
}
"""The fields of `Hours` that make the quantity of a component; the other components have none."""


def quantity(hours: Hours, component: Component) -> float | None:
    """The quantity of a component; None where it is unknown, and for a component that has none.

    Units:  core-hours, byte-hours, GPU-hours, byte-hours of volumes; bytes sent and received.
    """
    return sum_of_known([getattr(hours, name) for name in QUANTITIES.get(component, ())])
