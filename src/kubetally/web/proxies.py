"""Reverse proxies in front of the service, which are trusted to state a client's address and scheme."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from litestar.types import HTTPScope

from kubetally.domain.errors import RequestError

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network
_IPV6_CLIENT_BITS = 64  # usually the network of one client


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """Addresses whose `X-Forwarded-For` and `X-Forwarded-Proto` are used; from others they are ignored."""

    networks: tuple[_Network, ...] = ()

    @classmethod
    def parse(cls, text: str | None) -> "TrustedProxies":
        """The proxies of a list of addresses and networks, separated by commas. Raises RequestError."""
        parts = [part.strip() for part in (text or "").split(",")]
        try:
            return cls(tuple(ip_network(part, strict=False) for part in parts if part))
        except ValueError as error:
            raise RequestError(
                f"KUBETALLY_TRUSTED_PROXIES can't be used: {error}. Set addresses or networks separated by "
                "commas, or unset it",
                code="unusable_setting",
            ) from error

    def trusts(self, address: str) -> bool:
        """Whether this is the address of a trusted proxy."""
        parsed = _parsed(address)
        return parsed is not None and self._is_proxy(parsed)

    def client(self, scope: HTTPScope) -> str:
        """The address for the limits of a client; for IPv6 its /64 network. Empty if unknown."""
        peer = _parsed(scope["client"][0]) if scope["client"] else None
        if peer is None:
            return ""
        return _limit_key(self._forwarded_for(peer, scope) if self._is_proxy(peer) else peer)

    def is_https(self, scope: HTTPScope) -> bool:
        """Whether the client itself uses https."""
        if scope["scheme"] == "https":
            return True
        proto = b",".join(_values(scope, b"x-forwarded-proto")).partition(b",")[0]
        return proto.strip().lower() == b"https" and bool(scope["client"]) and self.trusts(scope["client"][0])  # type: ignore[index]

    def _is_proxy(self, address: _Address) -> bool:
        return any(address in network for network in self.networks if network.version == address.version)

    def _forwarded_for(self, peer: _Address, scope: HTTPScope) -> _Address:
        """The last address that is not a trusted proxy: anybody may have written those before it."""
        for part in reversed(b",".join(_values(scope, b"x-forwarded-for")).split(b",")):
            address = _parsed(_without_port(part.decode("latin-1").strip()))
            if address is None:
                return peer
            peer = address
            if not self._is_proxy(address):
                break
        return peer


def limit_key(peer: str) -> str:
    """The address for the limits of a peer; for IPv6 its /64 network. The text itself if it is not an address."""
    address = _parsed(peer)
    return peer if address is None else _limit_key(address)


def _limit_key(address: _Address) -> str:
    if isinstance(address, IPv6Address):
        return str(ip_network((address, _IPV6_CLIENT_BITS), strict=False))
    return str(address)


def _parsed(text: str) -> _Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def _values(scope: HTTPScope, name: bytes) -> Sequence[bytes]:
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    return [value for key, value in headers if key == name]
