"""Which addresses are refused."""

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
    ],
)
def test_addresses_that_no_source_has_are_refused(address: str, why: str) -> None:
    assert why in (why_refused(address) or "")


@given(st.ip_addresses(network="169.254.0.0/16"))
def test_every_link_local_address_is_refused_in_its_mapped_form_too(address: object) -> None:
    assert why_refused(str(address))
    assert why_refused(f"::ffff:{address}")


@pytest.mark.parametrize("spelling", ["2852039166", "0xA9FEA9FE", "0251.0376.0251.0376", "169.254.43518"])
async def test_the_resolver_turns_odd_spellings_into_the_address_that_is_checked(spelling: str) -> None:
    assert await system_resolve(spelling, 80) == ["169.254.169.254"]


def test_the_message_names_the_setting_and_the_address() -> None:
    error = AddressRefused("kubecost.example", "169.254.169.254", "the metadata service of a cloud")
    assert "kubecost.example resolves to 169.254.169.254" in str(error)
    assert "KUBETALLY_ALLOW_LINK_LOCAL" in str(error)
    assert not error.retryable
