"""Which addresses a source may have, checked at the moment of connecting.

Whoever may name a source's URL could otherwise make the hub read the metadata service of the machine it runs on,
which hands out that machine's cloud credentials. A check of the URL alone would not do: a name can resolve to such an
address, and to another one a moment later (DNS rebinding). So the name is resolved here, all its addresses are
checked, and the connection goes to a checked address, while Host header and TLS verification keep the name.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import httpx

from kubetally.domain.errors import SourceError
from kubetally.domain.source_url import SourceUrl

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_MAX_WAIT_SECONDS = 5.0
_METADATA_NAMES = frozenset({"metadata.google.internal", "metadata.goog", "instance-data"})
_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Azure, Google, OpenStack and others
        "fd00:ec2::254",  # AWS
        "fd20:ce::254",  # Google
        "100.100.100.200",  # Alibaba
        "168.63.129.16",  # Azure, the host's wire server
        "192.0.0.192",  # Oracle, older images
    )
)
_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
_BROADCAST = ipaddress.ip_address("255.255.255.255")
# Prefixes of IPv6 addresses whose last 32 bits are an IPv4 address: compatible and mapped (RFC 4291), translated (RFC
# 2765), NAT64 (RFC 6052).
_EMBEDDING = tuple(ipaddress.ip_network(text) for text in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96"))
# NAT64 of a network's own (RFC 8215). The operator chooses the length of the prefix, /48, /56, /64 or /96, which an
# address does not show; with each the IPv4 address lies in other bytes, and never in byte 8 (RFC 6052, 2.2).
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")
_LOCAL_NAT64_BYTES = ((6, 7, 9, 10), (7, 9, 10, 11), (9, 10, 11, 12), (12, 13, 14, 15))
# ISATAP (RFC 5214): the interface identifier of any prefix. The bits for "universal" and "group" may be set or not.
_ISATAP, _ISATAP_MASK = 0x00005EFE, 0xFCFFFFFF


class AddressRefused(SourceError):
    """The source's host is, or resolves to, an address that no cost source has."""

    code = "address_refused"

    def __init__(self, host: str, *, address: str, why: str) -> None:
        self.host, self.address, self.why = host, address, why
        at = host if host == address else f"{host} resolves to {address}, which"
        super().__init__(
            f"{at} is {why}, and sources there are refused; correct the URL of the source, "
            "or set KUBETALLY_ALLOW_LINK_LOCAL=true if it really listens there"
        )


async def system_resolve(host: str, port: int) -> list[str]:
    """The addresses of `host` in the system's order, each once. Raises OSError, UnicodeError."""
    with suppress(ValueError):  # an address in its usual spelling, which is quicker than asking the system
        if str(ipaddress.ip_address(host)) == host:
            return [host]
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


def why_refused(address: str) -> str | None:
    """What kind of forbidden address this is, or None where a source may be. Loopback and private ones are fine.

    An IPv6 address that embeds an IPv4 one is judged by both.

    Raises: ValueError, when `address` is no IP address in its usual spelling.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])  # a zone, as in fe80::1%eth0, changes nothing
    for candidate in (ip, *_embedded(ip)):
        if (why := _why(candidate)) is not None:
            return why
    readings = _local_nat64_readings(ip)
    for candidate in readings:
        if candidate in _METADATA or candidate.is_link_local:
            return _why(candidate)
    # Where one reading is an ordinary address, the zeros of another are those of the prefix or behind the address.
    whys = [_why(candidate) for candidate in readings]
    return whys[-1] if all(whys) and whys else None


def _why(ip: IPAddress) -> str | None:
    """What kind of forbidden address this one is in itself."""
    if ip in _METADATA:
        return "the metadata service of a cloud"
    if ip.is_link_local:
        return "a link-local address"
    if ip.is_multicast or ip == _BROADCAST:
        return "a multicast or broadcast address"
    if ip.is_unspecified or ip in _THIS_NETWORK:
        return "an unspecified address"
    return None


def _embedded(ip: IPAddress) -> list[ipaddress.IPv4Address]:
    """The IPv4 addresses that an IPv6 one leads to."""
    if isinstance(ip, ipaddress.IPv4Address) or ip.is_loopback:
        return []  # ::1 is the loopback, not the IPv4 address 0.0.0.1
    last = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    found = [last for network in _EMBEDDING if ip in network]
    if (int(ip) >> 32) & _ISATAP_MASK == _ISATAP:
        found.append(last)
    if ip.sixtofour is not None:
        found.append(ip.sixtofour)
    if ip.teredo is not None:
        found += ip.teredo  # server and client
    return found


def _local_nat64_readings(ip: IPAddress) -> list[ipaddress.IPv4Address]:
    """The IPv4 addresses that an address of a local NAT64 may mean, one for each length that the prefix may have."""
    if isinstance(ip, ipaddress.IPv4Address) or ip not in _LOCAL_NAT64:
        return []
    return [ipaddress.IPv4Address(bytes(ip.packed[at] for at in places)) for places in _LOCAL_NAT64_BYTES]


class CheckedAddresses(httpx.AsyncBaseTransport):
    """Sends each request to an address of its host that was checked, by way of `inner`.

    The addresses are tried in order until one accepts a connection. Raises AddressRefused, when any of them is refused:
    a name with a good and a bad address is an attack or a mistake. A name that can't be resolved is httpx.ConnectError.
    """

    def __init__(
        self, inner: httpx.AsyncBaseTransport, *, resolve: Resolve, connect_seconds: float, allow_link_local: bool
    ) -> None:
        self._inner, self._resolve = inner, resolve
        self._connect_seconds, self._allow_all = connect_seconds, allow_link_local

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.raw_host.decode("ascii")
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        addresses = await checked_addresses(
            host, port, resolve=self._resolve, connect_seconds=self._connect_seconds, allow_link_local=self._allow_all
        )
        *others, last = addresses
        for address in others:
            try:
                return await self._inner.handle_async_request(_to_address(request, host, address))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await self._inner.handle_async_request(_to_address(request, host, last))

    async def aclose(self) -> None:
        await self._inner.aclose()


async def checked_addresses(
    host: str, port: int, *, resolve: Resolve = system_resolve, connect_seconds: float, allow_link_local: bool
) -> Sequence[str]:
    """The addresses of a source's host. Raises AddressRefused; httpx.ConnectError and its kin where there are none."""
    if not allow_link_local and host.rstrip(".").lower() in _METADATA_NAMES:
        raise AddressRefused(host, address=host, why="the metadata service of a cloud")
    try:
        async with asyncio.timeout(connect_seconds):
            addresses = await resolve(host, port)
    except TimeoutError as error:
        raise httpx.ConnectTimeout(f"the name {host} was not resolved in time") from error
    except (OSError, UnicodeError) as error:
        raise httpx.ConnectError(f"the name {host} can't be resolved") from error
    if not addresses:
        raise httpx.ConnectError(f"the name {host} has no address")
    for address in addresses:
        # The resolver has turned decimal, octal and hexadecimal spellings of IPv4 into the usual one.
        why = None if allow_link_local else why_refused(address)
        if why is not None:
            raise AddressRefused(host, address=address, why=why)
    return addresses


async def check_address(url: SourceUrl, *, connect_seconds: float, allow_link_local: bool) -> None:
    """Check the addresses of a URL that somebody enters, who waits. Raises InvalidSourceUrl, AddressRefused."""
    url.check()
    with suppress(httpx.TransportError):  # a name that is not known yet
        await checked_addresses(
            url.parts.hostname or "",
            url.parts.port or (443 if url.parts.scheme == "https" else 80),
            connect_seconds=min(connect_seconds, _MAX_WAIT_SECONDS),
            allow_link_local=allow_link_local,
        )


def _to_address(request: httpx.Request, host: str, address: str) -> httpx.Request:
    """The same request, sent to `address`; its Host header is set already, and TLS verifies `host`."""
    if address == host:
        return request
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={"sni_hostname": host, **request.extensions},
    )
