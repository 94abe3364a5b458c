"""The secret that callers send."""

import base64
import binascii
import hmac
from collections.abc import Iterable

from litestar.types import HTTPScope, Scope

from kubetally.domain.service_secret import MIN_SECRET_LENGTH, is_weak
from kubetally.web.problems import Failure
from kubetally.web.wrong_secrets import mark_wrong

Headers = Iterable[tuple[bytes, bytes]]


class Secret:
    """The secret that callers have to send. Its repr does not show it."""

    def __init__(self, secret: str) -> None:
        if is_weak(secret):
            raise ValueError(f"the secret has fewer than {MIN_SECRET_LENGTH} characters")
        self._secret = secret.strip().encode()

    def check(self, scope: Scope) -> Failure | None:
        """The failure of a request without the header `Secret` or with a wrong one, else None."""
        sent = b",".join(all_headers(scope["headers"], b"secret"))
        if not sent.strip():
            return Failure(401)
        if self._matches(sent):
            return None
        mark_wrong(scope)
        return Failure(403)

    def is_sent(self, scope: HTTPScope) -> bool:
        """Whether a request has the secret as password or header."""
        headers = scope["headers"]
        sent = [*all_headers(headers, b"secret"), *map(_password, all_headers(headers, b"authorization"))]
        if any(map(self._matches, sent)):
            return True
        if any(sent):
            mark_wrong(scope)
        return False

    def _matches(self, sent: bytes) -> bool:
        return hmac.compare_digest(self._secret, sent.strip())


def all_headers(headers: Headers, name: bytes) -> list[bytes]:
    """The values of all headers of a name in small letters."""
    return [value for key, value in headers if key == name]


def _password(authorization: bytes) -> bytes:
    """The password of basic authentication; empty if there is none."""
    scheme, _, encoded = authorization.partition(b" ")
    if scheme.lower() != b"basic":
        return b""
    try:
        return base64.b64decode(encoded, validate=True).partition(b":")[2]
    except binascii.Error:
        return b""
