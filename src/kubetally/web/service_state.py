"""Whether the service is stopping."""

from dataclasses import dataclass


@dataclass(slots=True)
class ServiceState:
    """Whether the service is stopping; then `/readyz` is a 503."""

    is_stopping: bool = False
