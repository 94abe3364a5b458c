"""Tokens and organizations kept in memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from kubetally.domain.access import Role, Token
from kubetally.domain.account import Organization
from kubetally.ledger.accounts.tokens import TokenDraft, add_token
from kubetally.ledger.ports.organizations import organization_not_found
from kubetally.ledger.ports.tokens import token_not_found
from tests.served import FixedClock

ORGANIZATION = Organization("5c5f8bd8-1f6b-4fd0-9c1e-3a4f3b1d2e01", "default", "USD", datetime(2026, 1, 1, tzinfo=UTC))


@dataclass
class TokensInMemory:
    """The port `Tokens`, and the one organization that `token` makes tokens of."""

    by_digest: dict[str, Token] = field(default_factory=dict)
    failure: Exception | None = None
    asked: int = 0

    def add(self, token: Token, *, digest: str) -> None:
        self.by_digest[digest] = token

    def find(self, digest: str) -> Token | None:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        return self.by_digest.get(digest)

    def all(self, organization_id: str | None = None) -> list[Token]:
        return [token for token in self.by_digest.values() if organization_id in {None, token.organization_id}]

    def revoke(self, id_or_digest: str, *, by: str) -> Token:
        for digest, token in self.by_digest.items():
            if id_or_digest in {digest, token.id}:
                self.by_digest[digest] = replace(token, revoked_at=token.revoked_at or FixedClock().now())
                return self.by_digest[digest]
        raise token_not_found()

    def note_use(self, token_id: str, at: datetime) -> None:
        for digest, token in self.by_digest.items():
            if token.id == token_id:
                self.by_digest[digest] = replace(token, last_used_at=at)

    def token(
        self,
        organization: Organization,
        role: Role = Role.VIEWER,
        *,
        condition: str = "",
        expires_in: timedelta | None = None,
    ) -> str:
        """The text of a new token."""
        draft = TokenDraft(role, organization.id, condition, expires_in)
        return add_token(self, OrganizationsInMemory(lambda: [organization]), FixedClock(), draft, owner="test").text


@dataclass
class OrganizationsInMemory:
    """The part of the port `Organizations` that reads."""

    organizations: Callable[[], Sequence[Organization]] = lambda: [ORGANIZATION]

    def find(self, name_or_id: str = "default") -> Organization:
        found = next((its for its in self.organizations() if name_or_id in (its.id, its.name)), None)
        if found is None:
            raise organization_not_found(name_or_id)
        return found

    def all(self) -> list[Organization]:
        return sorted(self.organizations(), key=lambda organization: organization.name)

    def add(self, organization: Organization, *, by: str) -> None:
        raise NotImplementedError

    def rename(self, organization_id: str, *, name: str, by: str) -> Organization:
        raise NotImplementedError

    def remove(self, organization_id: str, *, by: str) -> None:
        raise NotImplementedError
