"""Reverse proxies before the service: whose word on the client's address and scheme is taken."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from litestar.types import HTTPScope

from kubetally.domain.errors import RequestError

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network
_IPV6_CLIENT_BITS = 64  # what one client of IPv6 usually has to itself


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """Addresses whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed; from any other they are ignored."""

    networks: tuple[_Network, ...] = ()

    @classmethod
    def parse(cls, text: str | None) -> "TrustedProxies":
        """From addresses and networks with commas between. Raises RequestError."""
        parts = [part.strip() for part in (text or "").split(",")]
        try:
            return cls(tuple(ip_network(part, strict=False) for part in parts if part))
        except ValueError as error:
            raise RequestError(
                f"KUBETALLY_TRUSTED_PROXIES can't be used: {error}; give addresses or networks, with commas; correct "
                "or unset it",
                code="unusable_setting",
            ) from error

    def trusts(self, address: str) -> bool:
        """Whether a proxy of ours has this address."""
        found = _parsed(address)
        return found is not None and self._is_proxy(found)

    def client(self, scope: HTTPScope) -> str:
        """The address that a client's limits count by; of IPv6 its network of 64 bits. Empty if unknown."""
        peer = _parsed(scope["client"][0]) if scope["client"] else None
        if peer is None:
            return ""
        return counted_address(self._forwarded_for(peer, scope) if self._is_proxy(peer) else peer)

    def is_https(self, scope: HTTPScope) -> bool:
        """Whether the client's own request came by https."""
        if scope["scheme"] == "https":
            return True
        given = b",".join(_values(scope, b"x-forwarded-proto")).partition(b",")[0]
        return given.strip().lower() == b"https" and bool(scope["client"]) and self.trusts(scope["client"][0])  # type: ignore[index]

    def _is_proxy(self, address: _Address) -> bool:
        return any(address in network for network in self.networks if network.version == address.version)

    def _forwarded_for(self, peer: _Address, scope: HTTPScope) -> _Address:
        """The last address that no proxy of ours has: what stands before it, anybody may have written."""
        for part in reversed(b",".join(_values(scope, b"x-forwarded-for")).split(b",")):
            found = _parsed(_without_port(part.decode("latin-1").strip()))
            if found is None:
                return peer
            peer = found
            if not self._is_proxy(found):
                break
        return peer


def counted(address: str) -> str:
    """The address that limits of a client count by; that of a peer, or as it stands where it is none."""
    found = _parsed(address)
    return address if found is None else counted_address(found)


def counted_address(address: _Address) -> str:
    """The address, or the network of 64 bits that a client of IPv6 has."""
    if isinstance(address, IPv6Address):
        return str(ip_network((address, _IPV6_CLIENT_BITS), strict=False))
    return str(address)


def _parsed(text: str) -> _Address | None:
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def _values(scope: HTTPScope, name: bytes) -> Sequence[bytes]:
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    return [value for key, value in headers if key == name]
