"""Signs browsers in: a link works once, and is exchanged for a cookie.

Both are signed with keys derived from the secret. A change of the secret invalidates all of them.
"""

import base64
import hashlib
import hmac
import re
import secrets
import threading
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect, Response
from litestar.types import HTTPScope

from kubetally.domain.errors import RequestError
from kubetally.domain.window import Clock
from kubetally.web.html import AnyRequest, html_response, page
from kubetally.web.problems import NO_STORE
from kubetally.web.proxies import TrustedProxies
from kubetally.web.wrong_secrets import mark_wrong

SIGN_IN: Final = "/sign-in"
LINK_LIFETIME: Final = timedelta(minutes=15)
COOKIE_LIFETIME: Final = timedelta(hours=12)
_CLOCK_SKEW = timedelta(minutes=1)  # between the machine that printed a link and this one
_NONCE_BYTES = 16
_MAX_COOKIES = 8  # of the same name in one request
_TOKEN = re.compile(r"([0-9a-f]{1,12})\.([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})")
_REFUSED: Final = page(
    "Kubetally: link refused",
    "<h1>This link does not work</h1><p>A link signs one browser in, once, within "
    f"{LINK_LIFETIME // timedelta(minutes=1)} minutes, until the service restarts.</p>"
    "<p><code>kubetally link</code> prints a new one on the machine of the service. "
    'Or open <a href="/">the page</a> with any user name, and the secret as password.</p>',
)


class LinkSigner:
    """Makes the tokens of links."""

    def __init__(self, secret: str) -> None:
        self._key = _derived_key(secret, "link")

    def token(self, now: datetime) -> str:
        """A new token: the time in milliseconds, a nonce, and the signature of both."""
        return _signed(self._key, _milliseconds(now))


def sign_in_link(url: str, *, secret: str, now: datetime) -> str:
    """A new link that signs a browser in at the service at `url`, once. Raises RequestError."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path.strip("/") or parts.query:
        raise RequestError(
            "--url should be where browsers reach the service, such as https://kubetally.example",
            code="invalid_service_url",
        )
    return f"{url.rstrip('/')}{SIGN_IN}?token={LinkSigner(secret).token(now)}"


class SignIn:
    """Exchanges each link once for a cookie, and verifies cookies. Its repr shows no key.

    Used links are forgotten when the service stops, so links made before its start are refused. Each replica accepts a
    link once.
    """

    def __init__(self, secret: str, clock: Clock) -> None:
        self._link_key, self._cookie_key = _derived_key(secret, "link"), _derived_key(secret, "cookie")
        # Cookies ignore ports: two services on one host would overwrite each other's.
        self._name = "kubetally_" + hashlib.sha256(_derived_key(secret, "cookie name")).hexdigest()[:8]
        self._clock, self._started = clock, _milliseconds(clock.now())
        self._lock, self._used = threading.Lock(), dict[str, int]()

    def exchange(self, token: str) -> str | None:
        """The value of a new cookie for the token of a link; None for a used, expired or forged one."""
        now = self._clock.now()
        made = _verified(self._link_key, token)
        oldest = max(self._started, _milliseconds(now - LINK_LIFETIME))
        if made is None or not oldest <= made <= _milliseconds(now + _CLOCK_SKEW):
            return None
        with self._lock:
            if token in self._used:
                return None
            self._used = {used: at for used, at in self._used.items() if at >= oldest}
            self._used[token] = made
        return _signed(self._cookie_key, _milliseconds(now + COOKIE_LIFETIME))

    def is_signed_in(self, scope: HTTPScope) -> bool:
        """Whether the request has a valid cookie that has not expired."""
        now = _milliseconds(self._clock.now())
        ends = (_verified(self._cookie_key, value) for value in self._cookies(scope))
        return any(end is not None and now < end for end in ends)

    def set_cookie(self, value: str, *, is_https: bool) -> str:
        """The header `Set-Cookie`."""
        seconds = COOKIE_LIFETIME // timedelta(seconds=1)
        secure = "; Secure" if is_https else ""
        return f"{self._name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"

    def _cookies(self, scope: HTTPScope) -> list[str]:
        parts = (
            part.partition("=")
            for name, value in scope["headers"]
            if name == b"cookie"
            for part in value.decode("latin-1").split(";")
        )
        return [value.strip() for name, _, value in parts if name.strip() == self._name][:_MAX_COOKIES]


def sign_in_page(sign_in: SignIn, proxies: TrustedProxies) -> HTTPRouteHandler:
    """The handler of the link: it redirects to `/`, so that the token does not stay in the address bar."""

    @get(SIGN_IN, include_in_schema=False)
    async def exchange_link(request: AnyRequest) -> Response[bytes]:
        scope = request.scope
        if b"prefetch" in dict(scope["headers"]).get(b"sec-purpose", b""):  # a prefetch must not use the link up
            return Response(b"", status_code=503, headers=NO_STORE)
        value = sign_in.exchange(request.query_params.get("token", ""))
        if value is not None:
            cookie = sign_in.set_cookie(value, is_https=proxies.is_https(scope))
            return _to_page({"Set-Cookie": cookie})
        if sign_in.is_signed_in(scope):  # a link opened twice by the same browser
            return _to_page({})
        mark_wrong(scope)
        return html_response(_REFUSED, 403)

    return exchange_link


def _to_page(headers: dict[str, str]) -> Response[bytes]:
    return Redirect("/", status_code=303, headers=NO_STORE | headers)


def _derived_key(secret: str, purpose: str) -> bytes:
    return hmac.digest(secret.strip().encode(), f"kubetally {purpose}".encode(), "sha256")


def _signed(key: bytes, number: int) -> str:
    text = f"{number:x}.{secrets.token_urlsafe(_NONCE_BYTES)}"
    return f"{text}.{_signature(key, text)}"


def _verified(key: bytes, signed: str) -> int | None:
    """The signed number; None for a forged text."""
    match = _TOKEN.fullmatch(signed)
    if match is None or not hmac.compare_digest(_signature(key, f"{match[1]}.{match[2]}"), match[3]):
        return None
    return int(match[1], 16)


def _signature(key: bytes, text: str) -> str:
    return base64.urlsafe_b64encode(hmac.digest(key, text.encode(), "sha256")).decode().rstrip("=")


def _milliseconds(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)
