"""Organizations as a table and as JSON."""

from collections.abc import Sequence

from kubetally.domain.account import Organization
from kubetally.domain.window import rfc3339

Json = dict[str, object]


def print_organizations(organizations: Sequence[Organization]) -> None:
    """Print names, ids and currencies of organizations."""
    from kubetally.present.grid import Grid
    from kubetally.present.screen import console, print_grid  # bodies need no screen

    grid = Grid(["name", "id", "currency"], [])
    for organization in organizations:
        grid.add([organization.name, organization.id, organization.currency])
    print_grid(console(), grid)


def organization_body(organization: Organization) -> Json:
    """The body of an organization."""
    return {
        "id": organization.id,
        "name": organization.name,
        "currency": organization.currency,
        "created_at": rfc3339(organization.created_at),
    }
