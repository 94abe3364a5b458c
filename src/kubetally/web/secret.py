"""Who may ask: those who know the secret."""

import base64
import binascii
import hmac
from collections.abc import Iterable, Sequence
from typing import Final

from litestar.types import HTTPScope, Scope

from kubetally.web.problems import Problem
from kubetally.web.wrong_secrets import mark_wrong

MIN_SECRET_LENGTH: Final = 16
Headers = Iterable[tuple[bytes, bytes]]


def is_weak(secret: str) -> bool:
    """Whether a secret is so short that it could be guessed."""
    return len(secret.strip()) < MIN_SECRET_LENGTH


class Secret:
    """The secret that callers have to send. It is in no repr."""

    def __init__(self, secret: str) -> None:
        if is_weak(secret):
            raise ValueError(f"the secret has fewer than {MIN_SECRET_LENGTH} characters")
        self._secret = secret.strip().encode()

    def demand(self, scope: Scope) -> None:
        """Raise what the existing API answers without the header `Secret`, or with another than ours."""
        refused = self.refuses(scope)
        if refused is not None:
            raise refused

    def refuses(self, scope: Scope) -> Problem | None:
        """What there is to raise; None for who knows the secret."""
        given = b",".join(_all(scope["headers"], b"secret"))
        if not given.strip():
            return Problem("OM0007")
        if self._is(given):
            return None
        mark_wrong(scope)
        return Problem("OM0005")

    def admits_to_page(self, scope: HTTPScope) -> bool:
        """Whether the secret was sent as password or header. Where a request comes from says nothing of a person."""
        headers = scope["headers"]
        given = [*_all(headers, b"secret"), *map(_password, _all(headers, b"authorization"))]
        if any(self._is(secret) for secret in given):
            return True
        if any(given):
            mark_wrong(scope)
        return False

    def _is(self, given: bytes) -> bool:
        return hmac.compare_digest(self._secret, given.strip())


def _all(headers: Headers, name: bytes) -> Sequence[bytes]:
    return [value for key, value in headers if key == name]


def _password(authorization: bytes) -> bytes:
    """The password of basic authentication; empty where there is none."""
    scheme, _, encoded = authorization.partition(b" ")
    if scheme.lower() != b"basic":
        return b""
    try:
        return base64.b64decode(encoded, validate=True).partition(b":")[2]
    except binascii.Error:
        return b""
