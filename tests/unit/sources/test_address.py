"""Which addresses are refused."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubetally.sources.address import AddressRefused, system_resolve, why_refused


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "::1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "8.8.8.8",
        "fd12:3456::1",
        "2001:db8::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "64:ff9b:1::10.0.0.1",
        "64:ff9b:1:abcd::10.0.0.1",
        "2002:a00:1::1",
        "2001:db8::5efe:10.0.0.1",
        "fd12:3456::200:5efe:10.0.0.1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",  # the example of RFC 4380: 65.54.227.120, 192.0.2.45
        "2001:db8::a9fe:a9fe",  # of no form that embeds
    ],
)
def test_loopback_private_and_public_addresses_are_fine(address: str) -> None:
    assert why_refused(address) is None


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("169.254.169.254", "metadata"),
        ("169.254.0.1", "link-local"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("fd00:ec2::254", "metadata"),
        ("fd00:ec2::254%1", "metadata"),
        ("100.100.100.200", "metadata"),
        ("0.0.0.0", "unspecified"),  # noqa: S104 - nothing is bound to it
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("::ffff:169.254.169.254", "metadata"),
        ("::ffff:a9fe:a9fe", "metadata"),
        ("::ffff:0.0.0.0", "unspecified"),
        ("::ffff:224.0.0.1", "multicast"),
        ("::169.254.169.254", "metadata"),
        ("64:ff9b::169.254.169.254", "metadata"),
        ("2002:a9fe:a9fe::1", "metadata"),
        ("::ffff:0:169.254.169.254", "metadata"),
        ("64:ff9b:1::169.254.169.254", "metadata"),
        ("64:ff9b:1:7:8:9:169.254.169.254", "metadata"),
        ("64:ff9b:1:a9fe:a9:fe00::", "metadata"),
        ("64:ff9b:1:a9:fe:a9fe::", "metadata"),
        ("64:ff9b:1::a9:fea9:fe00:0", "metadata"),
        ("64:ff9b:1:a9fe:ffa9:feff:ffff:ffff", "metadata"),
        ("64:ff9b:1::", "unspecified"),
        ("64:ff9b:1::224.0.0.1%3", "multicast"),
        ("2001:db8::5efe:169.254.169.254", "metadata"),
        ("2001:db8::200:5efe:100.100.100.200", "metadata"),
        ("fd12:3456::300:5efe:169.254.0.1", "link-local"),
        ("2001:0:a9fe:a9fe::1", "metadata"),
        ("2001:0:4136:e378:8000:63bf:5601:5601", "metadata"),
        ("2001:0:5601:5601:0:0:5601:5601%eth0", "metadata"),
    ],
)
def test_addresses_that_no_source_has_are_refused(address: str, why: str) -> None:
    assert why in (why_refused(address) or "")


def _forms(ip: IPv4Address, rest: int) -> dict[str, IPv6Address]:
    """All IPv6 addresses that embed `ip`, by the name of their form; `rest` fills what a form leaves open."""
    four, fill = ip.packed, rest.to_bytes(16, "big")
    local = bytes.fromhex("0064ff9b0001")
    packed = {
        "compatible": bytes(12) + four,
        "mapped": bytes(10) + b"\xff\xff" + four,
        "translated": bytes(8) + b"\xff\xff\0\0" + four,
        "nat64": bytes.fromhex("0064ff9b") + bytes(8) + four,
        "local_48": local + four[:2] + b"\0" + four[2:] + fill[:5],
        "local_56": local + fill[:1] + four[:1] + b"\0" + four[1:] + fill[:4],
        "local_64": local + fill[:2] + b"\0" + four + fill[:3],
        "local_96": local + fill[:6] + four,
        "sixtofour": b"\x20\x02" + four + fill[:10],
        "teredo_client": bytes.fromhex("20010000") + fill[:8] + bytes(0xFF ^ byte for byte in four),
        "teredo_server": bytes.fromhex("20010000") + four + fill[:8],
        "isatap": bytes.fromhex("20010db8") + fill[:4] + bytes.fromhex("00005efe") + four,
        "isatap_universal": bytes.fromhex("20010db8") + fill[:4] + bytes.fromhex("02005efe") + four,
    }
    return {name: IPv6Address(form) for name, form in packed.items()}


_ANY_REST = st.integers(0, 2**128 - 1)


@given(st.ip_addresses(network="169.254.0.0/16"), _ANY_REST)
def test_link_local_address_is_refused_in_every_embedding_form(address: IPv4Address, rest: int) -> None:
    assert why_refused(str(address))
    assert not {name for name, form in _forms(address, rest).items() if not why_refused(str(form))}


@given(st.sampled_from(["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "8.8.8.0/24"]), st.data())
def test_ordinary_address_is_fine_in_every_embedding_form(network: str, data: st.DataObject) -> None:
    address = data.draw(st.ip_addresses(network=network))
    assert isinstance(address, IPv4Address)
    forms = _forms(address, 0)
    del forms["teredo_client"], forms["teredo_server"]  # the other half of these is zero, which is refused
    assert not {name: str(form) for name, form in forms.items() if why_refused(str(form))}


@pytest.mark.parametrize("spelling", ["2852039166", "0xA9FEA9FE", "0251.0376.0251.0376", "169.254.43518"])
async def test_odd_spellings_resolve_to_the_checked_address(spelling: str) -> None:
    assert await system_resolve(spelling, 80) == ["169.254.169.254"]


def test_the_message_names_the_setting_and_the_address() -> None:
    error = AddressRefused("kubecost.example", address="169.254.169.254", why="the metadata service of a cloud")
    assert "kubecost.example resolves to 169.254.169.254" in str(error)
    assert "KUBETALLY_ALLOW_LINK_LOCAL" in str(error)
    assert not error.retryable
