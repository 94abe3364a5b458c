"""Tokens as a table and as JSON, without their texts."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from kubetally.domain.access import Token
from kubetally.domain.window import rfc3339

Json = dict[str, object]


def print_tokens(tokens: Sequence[Token], organizations: Mapping[str, str], now: datetime) -> None:
    """Print tokens. organizations: names by id."""
    from kubetally.present.grid import Grid
    from kubetally.present.screen import console, print_grid, say  # bodies need no screen

    out = console()
    if not tokens:
        say(out, "No token yet: kubetally tokens create --role viewer")
        return
    grid = Grid(["name", "id", "organization", "role", "filter", "expires", "last used"], [])
    for token in tokens:
        expires = "never" if token.expires_at is None else f"{token.expires_at:%Y-%m-%d %H:%M}"
        used = "never" if token.last_used_at is None else f"{token.last_used_at:%Y-%m-%d %H:%M}"
        grid.add(
            [
                token.name,
                token.id,
                organizations.get(token.organization_id, token.organization_id),
                token.role.value,
                token.filter or "every row",
                expires if token.is_valid(now) else f"expired {expires}",
                used,
            ]
        )
    print_grid(out, grid)


def token_body(token: Token) -> Json:
    """The body of a token."""
    return {
        "id": token.id,
        "organization_id": token.organization_id,
        "name": token.name,
        "role": token.role.value,
        "filter": token.filter or None,
        "owner": token.owner,
        "created_at": rfc3339(token.created_at),
        "expires_at": _text(token.expires_at),
        "last_used_at": _text(token.last_used_at),
    }


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else rfc3339(instant)
