"""Who the tokens of requests act as: looked up once in a few seconds, and noted as used."""

import asyncio
from concurrent.futures import Executor
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from kubetally import logs
from kubetally.cache import AsyncCache
from kubetally.domain.access import Principal, Token
from kubetally.domain.errors import StoreError
from kubetally.domain.window import Clock
from kubetally.ledger.accounts.database_timeout import DATABASE_SECONDS, in_time
from kubetally.ledger.accounts.tokens import is_token, principal_of, token_digest
from kubetally.ledger.ports.tokens import Tokens

FRESH_SECONDS: Final = 5.0
"""For so long a revoked token may still open something."""
_KEPT_SECONDS: Final = 600.0
_PATIENCE_SECONDS: Final = 1.0  # with the database, for a token that is known from before
_MAX_TOKENS: Final = 10_000
_NOTED_EVERY: Final = timedelta(minutes=1)
_log = logs.get_logger(__name__)


class TokenCache:
    """Finds the principals of tokens. executor: where the database is queried.

    While the database is silent, tokens that it knew in the last ten minutes open what they opened.
    """

    def __init__(
        self,
        tokens: Tokens,
        clock: Clock,
        *,
        executor: Executor | None = None,
        database_seconds: float = DATABASE_SECONDS,
        fresh_seconds: float = FRESH_SECONDS,
    ) -> None:
        self._tokens, self._clock, self._executor = tokens, clock, executor
        self._database_seconds = database_seconds
        self._known: AsyncCache[str, Token | None] = AsyncCache(lambda _: fresh_seconds, max_weight=_MAX_TOKENS)

    async def principal(self, text: str) -> Principal | None:
        """Who a token acts as; None for one that is unknown, expired or revoked. Raises StoreError."""
        if not is_token(text):
            return None
        token = await self._find(token_digest(text))
        return None if token is None else principal_of(token, self._clock.now())

    async def close(self) -> None:
        """Cancel running lookups."""
        await self._known.close()

    async def _find(self, digest: str) -> Token | None:
        load = partial(self._known.get, digest, partial(self._look_up, digest))
        last = self._known.last(digest)
        if last is None or last[1] > _KEPT_SECONDS:
            return await load()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):  # the lookup goes on, and its answer is used later
                return await load()
        except (TimeoutError, StoreError) as error:
            _log.warning("token_not_looked_up", error=str(error) or "the database is silent", seconds=round(last[1], 1))
            return last[0]

    async def _look_up(self, digest: str) -> Token | None:
        return await in_time(self._executor, partial(self._read, digest), self._database_seconds)

    def _read(self, digest: str) -> Token | None:
        token, now = self._tokens.find(digest), self._clock.now()
        if token is not None and token.is_valid(now) and _is_long_ago(token.last_used_at, now):
            self._note(token)
        return token

    def _note(self, token: Token) -> None:
        try:
            self._tokens.note_use(token.id, self._clock.now())
        except StoreError as error:  # the database can be read, which is all that the request needs
            _log.warning("token_use_not_noted", token=token.id, code=error.code, error=str(error))


def _is_long_ago(last: datetime | None, now: datetime) -> bool:
    return last is None or now - last >= _NOTED_EVERY
