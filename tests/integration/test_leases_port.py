"""The port `Leases`: one suite for all that implement it, in memory and on every database."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kubetally.ledger.ports.leases import Leases
from tests.integration.collected_days import opener_of
from tests.integration.databases import KINDS, Server, new_database
from tests.kept import LeasesInMemory


@pytest.fixture(params=["memory", *KINDS])
def leases(request: pytest.FixtureRequest, server_of: Callable[[str], Server], tmp_path: Path) -> Iterator[Leases]:
    if request.param == "memory":
        yield LeasesInMemory()
    else:
        for opens in opener_of(new_database(request.param, server_of, tmp_path).url):
            yield opens().leases


def test_lease_has_one_holder_until_it_is_released(leases: Leases) -> None:
    lease = leases.acquire("committer")
    assert lease is not None
    assert leases.acquire("committer") is None
    assert leases.acquire("another") is not None
    assert lease.renew()
    lease.release()
    again = leases.acquire("committer")
    assert again is not None
    assert again.renew()


def test_released_lease_can_not_be_renewed(leases: Leases) -> None:
    lease = leases.acquire("committer")
    assert lease is not None
    lease.release()
    assert not lease.renew()


def test_release_of_a_former_holder_takes_nothing(leases: Leases) -> None:
    former = leases.acquire("committer")
    assert former is not None
    former.release()
    lease = leases.acquire("committer")
    assert lease is not None
    former.release()
    assert leases.acquire("committer") is None
    assert lease.renew()


def test_holder_is_named_while_it_holds(leases: Leases) -> None:
    assert leases.holder("committer") is None
    lease = leases.acquire("committer")
    assert lease is not None
    assert leases.holder("committer")
    lease.release()
    assert leases.holder("committer") is None
