"""Who asks, and what they may do, as a body of the native API."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from kubetally.domain.access import Grant, Principal
from kubetally.domain.account import Organization
from kubetally.domain.question.facts import filter_tree


class OwnOrganization(Struct, forbid_unknown_fields=True):
    """An organization that who asks may see. `filter`: the rows of it that they may see."""

    id: str
    name: str
    currency: str
    role: str | None
    filter: dict[str, Any] | None


class Session(Struct, forbid_unknown_fields=True):
    """Who asks. `organizations`: what they may see, by name."""

    name: str
    is_operator: bool
    organizations: list[OwnOrganization]


def session_body(principal: Principal, organizations: Sequence[Organization]) -> Session:
    """The body. organizations: all there are."""
    grants = {grant.organization_id: grant for grant in principal.grants}
    return Session(
        principal.name,
        principal.is_operator,
        [
            _own(organization, grants.get(organization.id))
            for organization in organizations
            if principal.is_operator or organization.id in grants
        ],
    )


def _own(organization: Organization, grant: Grant | None) -> OwnOrganization:
    role, condition = (None, None) if grant is None else (grant.role.value, filter_tree(grant.filter))
    return OwnOrganization(organization.id, organization.name, organization.currency, role, condition)
