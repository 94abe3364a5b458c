"""Ten clusters that take a second each, asked at once; then beside one that never answers."""

import asyncio
import time

from bench import fresh, slow_sources
from bench.table import Line
from kubetally.domain.fleet import Failed
from kubetally.domain.report import ClusterReport
from kubetally.domain.status import Status
from kubetally.domain.window import Window, parse_instant
from kubetally.ledger.ports.clusters import Cluster
from kubetally.settings import Settings
from kubetally.wiring.clusters import get_costs_of_all

_TIMES = 5
_SECONDS_ALLOWED = 1.5
_DEADLINE_SECONDS = 2.0
_DAY = Window(parse_instant("2026-11-20"), parse_instant("2026-11-21"))


def lines() -> list[Line]:
    """All in turns, each with servers in one process and the asking in another."""
    figures = fresh.in_turns({"money": money_slow, "all": all_slow, "hanging": beside_one_that_hangs}, times=_TIMES)
    seconds = {name: figure["seconds"] for name, figure in figures.items()}
    hanging = figures["hanging"]
    cut = hanging["failed"] == 1 and hanging["intact"] == len(slow_sources.NAMES)

    return [
        Line(
            "ten_clusters",
            "ten clusters, allocation and assets take 1 s each",
            f"{seconds['money']:.2f} s altogether",
            f"under {_SECONDS_ALLOWED:g} s",
            figures["money"]["intact"] == len(slow_sources.NAMES) and seconds["money"] < _SECONDS_ALLOWED,
        ),
        Line(
            "ten_clusters",
            "ten clusters, every answer takes 1 s",
            f"{seconds['all']:.2f} s altogether",
            f"under {_SECONDS_ALLOWED:g} s",
            figures["all"]["intact"] == len(slow_sources.NAMES) and seconds["all"] < _SECONDS_ALLOWED,
        ),
        Line(
            "ten_clusters",
            f"an eleventh that hangs, deadline {_DEADLINE_SECONDS:g} s",
            f"cut after {seconds['hanging']:.2f} s, {hanging['intact']:.0f} of 10 intact "
            f"(the last after {hanging['last_intact_seconds']:.2f} s)",
            "cut at the deadline and marked, the others intact",
            cut and seconds["hanging"] < _DEADLINE_SECONDS + 0.5,
        ),
    ]


def money_slow() -> dict[str, float]:
    """Only what is asked of money takes its time."""
    return _asked(slow_sources.MONEY, slow_sources.NAMES, Settings())


def all_slow() -> dict[str, float]:
    """Every question does, also those that tell what a source is."""
    return _asked(slow_sources.ALL, slow_sources.NAMES, Settings())


def beside_one_that_hangs() -> dict[str, float]:
    """Ten as in `money_slow`, and one that accepts every question and never answers."""
    settings = Settings(deadline_seconds=_DEADLINE_SECONDS)
    return _asked(slow_sources.MONEY, (*slow_sources.NAMES, slow_sources.HANGING), settings)


def _asked(slow: str, names: tuple[str, ...], settings: Settings) -> dict[str, float]:
    ended: list[float] = []
    with slow_sources.serving(slow) as url:
        clusters = [Cluster(f"{url}/{name}", name=name) for name in names]
        began = time.perf_counter()
        answers = asyncio.run(
            get_costs_of_all(clusters, _DAY, settings=settings, done=lambda: ended.append(time.perf_counter()))
        )
        seconds = time.perf_counter() - began
    intact = [one for one in answers if isinstance(one, ClusterReport) and one.status is Status.OK]
    failed = [one for one in answers if isinstance(one, Failed) and one.source.url.endswith(slow_sources.HANGING)]
    return {
        "seconds": seconds,
        "intact": len(intact),
        "failed": len(failed),
        "last_intact_seconds": sorted(ended)[len(slow_sources.NAMES) - 1] - began,
    }
