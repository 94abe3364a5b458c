"""Which proxies may state a client's address and scheme."""

import pytest

from kubetally.domain.errors import RequestError
from kubetally.web.proxies import TrustedProxies

PROXIES = TrustedProxies.parse("127.0.0.1, 10.0.0.0/8,::1")


def scope(peer: str, **headers: str) -> object:
    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"client": (peer, 1), "scheme": "http", "headers": given}


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.7", "198.51.100.1", "192.0.2.7"),  # not a trusted proxy: anybody may send that header
        ("127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "203.0.113.9, 198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "203.0.113.9, 198.51.100.1, 10.1.2.3", "198.51.100.1"),
        ("127.0.0.1", "10.1.2.3", "10.1.2.3"),
        ("127.0.0.1", "203.0.113.9, unknown, 10.1.2.3", "10.1.2.3"),
        ("127.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("::1", "[2001:db8:1:2::5]:4711", "2001:db8:1:2::/64"),
        ("127.0.0.1", "2001:db8:1:2:3::5", "2001:db8:1:2::/64"),
        ("::ffff:127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", ",,,", "127.0.0.1"),
        ("2001:db8:1:2:3::5", "198.51.100.1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "", "fe80::/64"),
    ],
)
def test_client_address_is_the_last_untrusted_one(peer: str, forwarded: str, client: str) -> None:
    assert PROXIES.client(scope(peer, x_forwarded_for=forwarded)) == client  # type: ignore[arg-type]


def test_without_forwarded_header_client_is_the_peer() -> None:
    assert PROXIES.client(scope("10.0.0.1")) == "10.0.0.1"  # type: ignore[arg-type]
    assert PROXIES.client({"client": None, "headers": []}) == ""  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("peer", "proto", "is_https"),
    [("127.0.0.1", "https", True), ("127.0.0.1", "HTTPS, http", True), ("127.0.0.1", "http", False),
     ("192.0.2.7", "https", False), ("127.0.0.1", "", False)],
)  # fmt: skip
def test_https_header_counts_only_from_a_trusted_proxy(peer: str, proto: str, is_https: bool) -> None:
    assert PROXIES.is_https(scope(peer, x_forwarded_proto=proto)) is is_https  # type: ignore[arg-type]
    assert not TrustedProxies().is_https(scope(peer, x_forwarded_proto=proto))  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["nginx", "10.0.0.0/33", "127.0.0.1 10.0.0.1"])
def test_invalid_network_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match=r"\S"):
        TrustedProxies.parse(text)
