"""Where organizations are stored. All calls block."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from kubetally.domain.account import DEFAULT_ORGANIZATION, Organization
from kubetally.domain.errors import NotFound, RequestError
from kubetally.domain.nearest import did_you_mean, nearest

_MAX_NAMED = 5


def organization_not_found(name: str, *, names: Iterable[str] = ()) -> NotFound:
    """No organization that is not removed has this name or id. names: of those that exist."""
    meant = did_you_mean([repr(other) for other in nearest(name, names)])
    return NotFound(
        f"there is no organization {name!r}{meant}: `kubetally organizations list` lists all",
        code="organization_not_found",
    )


def organization_exists(name: str) -> RequestError:
    """Another organization has this name."""
    return RequestError(
        f"organization {name!r} already exists. Nothing was changed; choose another name", code="organization_exists"
    )


def default_organization_stays() -> RequestError:
    """The default organization has its name for ever."""
    return RequestError(
        f"the organization {DEFAULT_ORGANIZATION!r} always exists: it can't be renamed or removed",
        code="default_organization",
    )


def organization_not_empty(name: str, accounts: Sequence[str]) -> RequestError:
    """The organization has accounts, of these names."""
    named = ", ".join(accounts[:_MAX_NAMED]) + (", ..." if len(accounts) > _MAX_NAMED else "")
    return RequestError(
        f"organization {name!r} has {len(accounts)} account{'s' if len(accounts) > 1 else ''} ({named}): remove "
        f"{'them' if len(accounts) > 1 else 'it'} first",
        code="organization_not_empty",
    )


class Organizations(Protocol):
    """Organizations. Names are unique among those that are not removed. Raises StoreError.

    by: who makes a change, for the audit log.
    """

    def find(self, name_or_id: str = DEFAULT_ORGANIZATION) -> Organization:
        """An organization by its id, else by its name; the default one always exists. Raises NotFound."""

    def all(self) -> list[Organization]:
        """All that are not removed, by name in the order of code points."""

    def add(self, organization: Organization, *, by: str) -> None:
        """Store a new organization. Raises RequestError, if its name is taken."""

    def rename(self, organization_id: str, *, name: str, by: str) -> Organization:
        """Give an organization another name. Raises NotFound; RequestError, if the name is taken."""

    def remove(self, organization_id: str, *, by: str) -> None:
        """Remove an organization, unless it has accounts. Raises NotFound, RequestError."""
