"""Who a request acts as: the one place that reads credentials for the native API."""

from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.types import Scope

from kubetally.domain.access import OPERATOR, Principal
from kubetally.domain.errors import Forbidden
from kubetally.ledger.accounts.token_cache import TokenCache
from kubetally.web.problems import Failure
from kubetally.web.secret import Secret, all_headers
from kubetally.web.wrong_secrets import mark_wrong

_PRINCIPAL: Final = "kubetally_principal"  # key of the scope's state
AnyConnection = ASGIConnection[Any, Any, Any, Any]


class Principals:
    """Finds who a request acts as: `Secret` is the operator's, `Authorization: Bearer` a token's."""

    def __init__(self, secret: Secret, tokens: TokenCache | None = None) -> None:
        self._secret, self._tokens = secret, tokens

    async def find(self, scope: Scope) -> Principal | Failure:
        """The principal, or why the request has none. Raises StoreError."""
        authorizations = all_headers(scope["headers"], b"authorization")
        if any(name == b"secret" for name, _ in scope["headers"]) or not authorizations:
            return self._secret.check(scope) or OPERATOR
        token = _bearer_token(authorizations)
        principal = None if token is None or self._tokens is None else await self._tokens.principal(token)
        if principal is None:
            mark_wrong(scope)
            return Failure(401, _invalid_token())
        return principal if principal.reads else Failure(403, _reads_nothing())


def keep_principal(connection: AnyConnection, principal: Principal) -> None:
    """Note who a request acts as, for its handler."""
    connection.scope["state"][_PRINCIPAL] = principal


def principal_of(connection: AnyConnection) -> Principal:
    """Who a request acts as; a defect of the route if nobody found out."""
    principal: Principal = connection.scope["state"][_PRINCIPAL]
    return principal


def _bearer_token(authorizations: list[bytes]) -> str | None:
    """The token of the only header `Authorization`; None if there is another, or of another scheme."""
    if len(authorizations) != 1:
        return None
    scheme, _, token = authorizations[0].decode("latin-1").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _invalid_token() -> Forbidden:
    return Forbidden(
        "the token is wrong, expired or revoked: send one that `kubetally tokens list` shows as valid, as "
        "`Authorization: Bearer TOKEN`",
        code="invalid_token",
    )


def _reads_nothing() -> Forbidden:
    return Forbidden("this token sends days and reads nothing: ask with a token of another role", code="reads_nothing")
