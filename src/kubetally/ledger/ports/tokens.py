"""Where tokens are stored: never their texts, only digests. All calls block."""

from datetime import datetime
from typing import Protocol

from kubetally.domain.access import Token
from kubetally.domain.errors import NotFound


def token_not_found() -> NotFound:
    """No token has this id or text, which the message does not show."""
    return NotFound(
        "there is no such token: give an id or the whole text; `kubetally tokens list` lists all",
        code="token_not_found",
    )


class Tokens(Protocol):
    """Tokens of organizations. digest: of a token's text. Raises StoreError."""

    def add(self, token: Token, *, digest: str) -> None:
        """Store a new token, which its owner makes. Raises NotFound."""

    def find(self, digest: str) -> Token | None:
        """The token of a digest, revoked and expired ones too; None if its organization is removed."""

    def all(self, organization_id: str | None = None) -> list[Token]:
        """All that are not revoked, of one organization or of all that are not removed, by time of creation."""

    def revoke(self, id_or_digest: str, *, by: str) -> Token:
        """Let a token open nothing from now on; a revoked one stays as it is. by: who does that. Raises NotFound."""

    def note_use(self, token_id: str, at: datetime) -> None:
        """Note when a token was used last."""
