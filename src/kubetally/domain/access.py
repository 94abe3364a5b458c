"""Who may see and change what: roles, tokens, and the principal that a request acts as."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from kubetally.domain.errors import Forbidden
from kubetally.domain.question.filter import AllOf, AnyOf, Condition, Field, Filter, Op
from kubetally.domain.question.partial import EVERY_ROW
from kubetally.domain.question.scope import are_whole_accounts

OPERATOR_NAME: Final = "operator"


class Role(StrEnum):
    """What somebody may do in an organization."""

    VIEWER = "viewer"
    EDITOR = "editor"
    ADMIN = "admin"
    INGEST = "ingest"


class Permission(StrEnum):
    """What a role allows. ACCOUNTS: to change accounts and saved views. MEMBERS: also members, tokens and the name."""

    READ = "read"
    ACCOUNTS = "accounts"
    MEMBERS = "members"
    INGEST = "ingest"


_ALLOWED: Final = {
    Role.VIEWER: frozenset({Permission.READ}),
    Role.EDITOR: frozenset({Permission.READ, Permission.ACCOUNTS}),
    Role.ADMIN: frozenset({Permission.READ, Permission.ACCOUNTS, Permission.MEMBERS}),
    Role.INGEST: frozenset({Permission.INGEST}),
}


@dataclass(frozen=True, slots=True)
class Grant:
    """A role in an organization. filter: the rows that it shows."""

    organization_id: str
    role: Role
    filter: Filter = EVERY_ROW

    def allows(self, permission: Permission) -> bool:
        """Whether the role has a permission."""
        return permission in _ALLOWED[self.role]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. name: for people and the audit log. is_operator: who has the secret, and may do everything."""

    name: str
    grants: tuple[Grant, ...] = ()
    is_operator: bool = False

    def may(self, permission: Permission, organization_id: str) -> bool:
        """Whether it has a permission in an organization."""
        return self.is_operator or any(
            grant.organization_id == organization_id and grant.allows(permission) for grant in self.grants
        )

    @property
    def scope(self) -> Filter:
        """The rows that it may see: those of its organizations that pass the filter of its role there."""
        if self.is_operator:
            return EVERY_ROW
        parts = [_rows_of(grant) for grant in self.grants if grant.allows(Permission.READ)]
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    @property
    def reads(self) -> bool:
        """Whether it may see anything."""
        return self.is_operator or any(grant.allows(Permission.READ) for grant in self.grants)

    def check_whole_accounts(self) -> None:
        """Raises Forbidden, if it may see a part of the rows of an account only."""
        if not are_whole_accounts(self.scope):
            raise Forbidden(
                "this is about whole clusters, of which you may see a part of the rows: ask for costs, which have all "
                "that you may see",
                code="partial_view",
            )


OPERATOR: Final = Principal(OPERATOR_NAME, is_operator=True)


def _rows_of(grant: Grant) -> Filter:
    of_organization = Condition(Field.ORGANIZATION, Op.EQUALS, (grant.organization_id,))
    return of_organization if grant.filter == EVERY_ROW else AllOf((of_organization, grant.filter))


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token of an organization, without its text.

    owner:   who made it. filter: in the v2 grammar; empty for every row.
    expires_at, revoked_at, last_used_at: None for never. A use is noted once a minute at most.
    """

    id: str
    organization_id: str
    name: str
    role: Role
    filter: str
    owner: str
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        """Whether it opens anything."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)
