"""The service as wiring builds it."""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from kubetally.domain.window import Window, parse_instant
from kubetally.ledger.costs.service import CachedAnswer, CostService
from kubetally.samples.replay import ReplayServer
from kubetally.settings import Settings
from kubetally.wiring.service import open_service
from tests.integration.test_accounts_command import Home, home
from tests.integration.test_replay import RecordedPrometheus
from tests.served import FixedClock

__all__ = ["home"]
DAY = Window(parse_instant("2026-11-20"), parse_instant("2026-11-21"))
PER_ROW = {"interpret", "book", "book_request", "decode_booked", "decode_query", "read_allocations", "compare_days"}
"""Functions whose time grows with the rows of a cluster."""


@contextmanager
def called_here() -> Iterator[set[str]]:
    """The functions of Kubetally that this thread calls in the block."""
    names, package = set[str](), f"{os.sep}kubetally{os.sep}"

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and package in frame.f_code.co_filename:
            names.add(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        yield names
    finally:
        sys.setprofile(None)


def test_event_loop_interprets_and_books_nothing(
    home: Home, replay: ReplayServer, recorded_prometheus: RecordedPrometheus
) -> None:
    url = recorded_prometheus("cygnus").url
    account_id = home.add("prod", "--url", replay.url_of("cygnus"), "--prometheus-url", url)

    async def ask(service: CostService) -> tuple[CachedAnswer, set[str]]:
        with called_here() as names:
            answer = await service.costs(account_id, DAY)
        await service.close()
        return answer, names

    with open_service(Settings(home=str(home.folder)), FixedClock()) as (_, service, _):
        answer, names = asyncio.run(ask(service))
    assert answer.costs.bill.management > 0
    assert "get_cluster_costs" in names
    assert names.isdisjoint(PER_ROW)
