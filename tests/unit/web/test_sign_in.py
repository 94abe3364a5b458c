"""Links that sign a browser in once, and their cookies."""

import string
from dataclasses import dataclass
from datetime import timedelta

import pytest

from kubetally.web.sign_in import COOKIE_LIFETIME, LINK_LIFETIME, LinkSigner, SignIn
from tests.served import NOON_AFTER

SECRET, OTHER = "swordfish-never-logged", "another-secret-of-ours"
SECOND = timedelta(seconds=1)


@dataclass
class MovableClock:
    at = NOON_AFTER

    def now(self):  # type: ignore[no-untyped-def]
        return self.at


def with_cookie(*cookies: str) -> object:
    return {"headers": [(b"cookie", cookie.encode("latin-1")) for cookie in cookies]}


def sent_back(sign_in: SignIn, value: str) -> str:
    """The header that a browser sends for a cookie."""
    return sign_in.set_cookie(value, is_https=False).partition(";")[0]


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def sign_in(clock: MovableClock) -> SignIn:
    return SignIn(SECRET, clock)


def is_signed_in(sign_in: SignIn, *cookies: str) -> bool:
    return sign_in.is_signed_in(with_cookie(*cookies))  # type: ignore[arg-type]


def test_link_is_exchanged_once(sign_in: SignIn) -> None:
    token = LinkSigner(SECRET).token(NOON_AFTER)
    value = sign_in.exchange(token)
    assert value is not None
    assert sign_in.exchange(token) is None
    assert is_signed_in(sign_in, sent_back(sign_in, value))
    assert sign_in.exchange(LinkSigner(SECRET).token(NOON_AFTER)) is not None


def test_link_expires_and_stays_used(sign_in: SignIn, clock: MovableClock) -> None:
    early, late = (LinkSigner(SECRET).token(NOON_AFTER) for _ in range(2))
    clock.at += LINK_LIFETIME
    assert sign_in.exchange(early) is not None
    assert sign_in.exchange(early) is None
    clock.at += SECOND
    assert sign_in.exchange(late) is None
    assert sign_in.exchange(early) is None


def test_link_of_another_secret_or_time_is_refused(sign_in: SignIn, clock: MovableClock) -> None:
    assert sign_in.exchange(LinkSigner(OTHER).token(NOON_AFTER)) is None
    assert sign_in.exchange(LinkSigner(SECRET).token(NOON_AFTER - SECOND)) is None
    assert sign_in.exchange(LinkSigner(SECRET).token(NOON_AFTER + timedelta(minutes=5))) is None
    used = LinkSigner(SECRET).token(NOON_AFTER)
    assert sign_in.exchange(used) is not None
    clock.at += SECOND
    assert SignIn(SECRET, clock).exchange(used) is None, "a restart makes no used link work again"


def test_forged_or_damaged_token_is_refused(sign_in: SignIn) -> None:
    token = LinkSigner(SECRET).token(NOON_AFTER)
    made, nonce, signature = token.split(".")
    forged = [
        "", ".", "..", token[:-1], token + "A", token + " ", token.upper(), f"{made}.{nonce}", f" {token}",
        f"{int(made, 16) + 1:x}.{nonce}.{signature}", f"0{made}.{nonce}.{signature}", f"{made}.{nonce}.{'A' * 43}",
        f"{made}.{'A' * 22}.{signature}", "\u0661" + token[1:], token + "\n", "x" * 100_000,
    ]  # fmt: skip
    for text in forged:
        assert sign_in.exchange(text) is None, text[:200]
    for place in range(len(token)):
        swapped = "B" if token[place] == "A" else "A"
        assert sign_in.exchange(token[:place] + swapped + token[place + 1 :]) is None
    assert sign_in.exchange(token) is not None, "none of these used it up"


def test_cookie_expires(sign_in: SignIn, clock: MovableClock) -> None:
    value = sign_in.exchange(LinkSigner(SECRET).token(NOON_AFTER)) or ""
    clock.at += COOKIE_LIFETIME - SECOND
    assert is_signed_in(sign_in, sent_back(sign_in, value))
    clock.at += SECOND
    assert not is_signed_in(sign_in, sent_back(sign_in, value))


def test_cookie_survives_a_restart_and_ends_with_the_secret(sign_in: SignIn, clock: MovableClock) -> None:
    cookie = sent_back(sign_in, sign_in.exchange(LinkSigner(SECRET).token(NOON_AFTER)) or "")
    clock.at += SECOND
    assert is_signed_in(SignIn(SECRET, clock), cookie)
    other = SignIn(OTHER, clock)
    assert not is_signed_in(other, cookie)
    assert not is_signed_in(other, sent_back(other, cookie.partition("=")[2])), "under the name of the other secret too"


def test_cookie_is_found_among_others_and_forged_ones(sign_in: SignIn) -> None:
    token = LinkSigner(SECRET).token(NOON_AFTER)
    value = sign_in.exchange(token) or ""
    cookie, name = sent_back(sign_in, value), sent_back(sign_in, "")
    assert is_signed_in(sign_in, f"a=b; {cookie};c")
    assert is_signed_in(sign_in, "a=b", cookie)
    assert is_signed_in(sign_in, f"{name}forged; {cookie}")
    forged_ones = (
        "", name, f"{name}{token}", cookie[:-1], f"x{cookie}", f"{name}{value}\u00e9", f"{name}9{value}", ";=;;",
    )  # fmt: skip
    for forged in forged_ones:
        assert not is_signed_in(sign_in, forged), forged
    assert not is_signed_in(sign_in)


def test_cookie_has_protective_attributes(sign_in: SignIn) -> None:
    value = sign_in.exchange(LinkSigner(SECRET).token(NOON_AFTER)) or ""
    plain, secure = (sign_in.set_cookie(value, is_https=is_https) for is_https in (False, True))
    assert plain.endswith("; Path=/; Max-Age=43200; HttpOnly; SameSite=Lax")
    assert secure == f"{plain}; Secure"
    assert set(value) <= set(string.ascii_letters + string.digits + "._-")
    for text in (plain, repr(sign_in), repr(LinkSigner(SECRET))):
        assert SECRET not in text
