"""Adding, renaming and removing organizations."""

from kubetally.domain.account import DEFAULT_ORGANIZATION, Organization
from kubetally.domain.money import DEFAULT_CURRENCY, currency_code
from kubetally.domain.window import Clock
from kubetally.ledger.accounts.draft import check_name, new_id
from kubetally.ledger.ports.organizations import Organizations, default_organization_stays


def add_organization(
    organizations: Organizations, clock: Clock, name: str, *, by: str, currency: str = DEFAULT_CURRENCY
) -> Organization:
    """A new organization, stored.

    currency: of its accounts where neither they nor their sources state one. by: who adds it.
    Raises: RequestError, StoreError.
    """
    organization = Organization(new_id(), check_name(name, of="an organization"), currency_code(currency), clock.now())
    organizations.add(organization, by=by)
    return organization


def rename_organization(organizations: Organizations, name_or_id: str, *, name: str, by: str) -> Organization:
    """The organization with its new name. Raises NotFound, RequestError, StoreError."""
    return organizations.rename(
        _not_default(organizations, name_or_id).id, name=check_name(name, of="an organization"), by=by
    )


def remove_organization(organizations: Organizations, name_or_id: str, *, by: str) -> Organization:
    """The organization that was removed. Raises NotFound, StoreError; RequestError, if it has accounts."""
    organization = _not_default(organizations, name_or_id)
    organizations.remove(organization.id, by=by)
    return organization


def _not_default(organizations: Organizations, name_or_id: str) -> Organization:
    organization = organizations.find(name_or_id)
    if organization.name == DEFAULT_ORGANIZATION:
        raise default_organization_stays()
    return organization
