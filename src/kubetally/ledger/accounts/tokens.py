"""Making, finding and revoking tokens."""

import hashlib
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from kubetally.domain.access import Grant, Principal, Role, Token
from kubetally.domain.account import DEFAULT_ORGANIZATION
from kubetally.domain.errors import RequestError
from kubetally.domain.question.filter import Filter
from kubetally.domain.question.v2 import parse_v2
from kubetally.domain.window import Clock
from kubetally.ledger.accounts.draft import check_name, new_id
from kubetally.ledger.ports.organizations import Organizations
from kubetally.ledger.ports.tokens import Tokens, token_not_found

TOKEN_PREFIX: Final = "kt_"  # noqa: S105
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LENGTH: Final = 43  # digits of 256 bits
_TOKEN: Final = re.compile(rf"{TOKEN_PREFIX}[0-9A-Za-z]{{{_LENGTH}}}")
_LIFETIME: Final = re.compile(r"([1-9][0-9]{0,4})([hdw])")
_UNITS: Final = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token and its text, which is nowhere else."""

    token: Token
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenDraft:
    """What somebody asks of a new token. name: for people; of its role if empty. expires_in: None for never."""

    role: Role
    organization: str = DEFAULT_ORGANIZATION
    filter: str = ""
    expires_in: timedelta | None = None
    name: str = ""


def add_token(tokens: Tokens, organizations: Organizations, clock: Clock, draft: TokenDraft, *, owner: str) -> NewToken:
    """A new token, stored as a digest. owner: who makes it.

    Raises: NotFound, StoreError; RequestError, for a filter that is not understood.
    """
    if draft.filter.strip() and draft.role is Role.INGEST:
        raise RequestError("a token to ingest reads nothing: leave out --filter", code="filter_of_ingest")
    parse_v2(draft.filter)
    now, text = clock.now(), _new_text()
    token = Token(
        id=new_id(),
        organization_id=organizations.find(draft.organization).id,
        name=check_name(draft.name or draft.role.value, of="a token"),
        role=draft.role,
        filter=draft.filter.strip(),
        owner=owner,
        created_at=now,
        expires_at=None if draft.expires_in is None else now + draft.expires_in,
    )
    tokens.add(token, digest=token_digest(text))
    return NewToken(token, text)


def revoke_token(tokens: Tokens, id_or_text: str, *, by: str) -> Token:
    """The token, which opens nothing from now on. by: who revokes it. Raises NotFound, StoreError."""
    text = id_or_text.strip()
    if text.startswith(TOKEN_PREFIX):
        if not is_token(text):
            raise token_not_found()
        text = token_digest(text)
    return tokens.revoke(text, by=by)


def principal_of(token: Token, now: datetime) -> Principal | None:
    """Who a token acts as; None for one that is not valid any more."""
    if not token.is_valid(now):
        return None
    grant = Grant(token.organization_id, token.role, _parsed(token.filter))
    return Principal(f"token {token.name} ({token.id})", (grant,))


def parse_lifetime(text: str) -> timedelta:
    """`24h`, `30d` or `2w`. Raises RequestError."""
    match = _LIFETIME.fullmatch(text.strip())
    if match is None:
        raise RequestError(
            f"{text!r} is no lifetime of a token: write it as 24h, 30d or 2w, or leave it out for a token that never "
            "expires",
            code="invalid_lifetime",
        )
    return int(match[1]) * _UNITS[match[2]]


def is_token(text: str) -> bool:
    """Whether a text has the form of a token."""
    return _TOKEN.fullmatch(text) is not None


def token_digest(text: str) -> str:
    """The SHA-256 of a token: nobody finds 256 random bits by trying, so nothing slower is needed."""
    return hashlib.sha256(text.encode()).hexdigest()


def _new_text(random_bits: Callable[[int], int] = secrets.randbits) -> str:
    number, digits = random_bits(256), ""
    for _ in range(_LENGTH):
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return TOKEN_PREFIX + digits


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Filter:
    return parse_v2(text)
