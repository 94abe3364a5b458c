"""Use as a library, as the package and the README show it."""

import asyncio
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import kubetally
from kubetally import Cluster, DetailLevel, answer, get_cluster_costs, parse_window
from kubetally.domain.component import Component
from kubetally.samples.replay import ReplayServer
from tests.integration.commands import costs
from tests.served import NOON_AFTER, FixedClock

README = Path(__file__).parents[2] / "README.md"


def examples() -> dict[str, str]:
    """The code shown in the package's docstring and in the README."""
    shown = inspect.cleandoc(kubetally.__doc__ or "").split("\n\n")
    in_package = "\n\n".join(inspect.cleandoc(part) for part in shown if part.startswith("    "))
    in_readme = re.search(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    return {"package": in_package, "README": in_readme[1] if in_readme else ""}


@pytest.mark.parametrize("name", ["package", "README"])
def test_the_example_runs_as_it_stands(replay: ReplayServer, name: str) -> None:
    code = examples()[name].replace("http://localhost:9003", replay.url_of("aurora"))
    code = code.replace('"7d"', '"2026-11-20,2026-11-23"')
    assert "get_cluster_costs" in code
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102  (our own words)
    assert names["costs"].bill.total == 247_445_919


def test_the_library_writes_nothing_of_its_own(replay: ReplayServer) -> None:
    code = (
        "import asyncio, sys\n"
        "from kubetally import Cluster, get_cluster_costs, parse_window\n"
        "from datetime import UTC, datetime\n"
        "window = parse_window('2026-11-20,2026-11-21', datetime.now(UTC))\n"
        f"costs = get_cluster_costs(Cluster('{replay.url_of('aurora')}'), window)\n"
        "asyncio.run(costs)\n"
        "try:\n"
        "    asyncio.run(get_cluster_costs(Cluster('http://127.0.0.1:1'), window))\n"
        "except Exception as error:\n"
        "    assert error.code == 'source_unreachable', error\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_password_in_a_url_is_not_in_the_repr_of_a_cluster() -> None:
    assert "hush" not in repr(Cluster("http://scout:hush@opencost:9003"))


def test_the_answer_is_what_the_command_prints(replay: ReplayServer) -> None:
    url, window = replay.url_of("cygnus"), parse_window("2026-11-20,2026-11-23", NOON_AFTER)
    read = asyncio.run(get_cluster_costs(Cluster(url), window, clock=FixedClock()))
    for level in DetailLevel:
        assert answer(read, level) == costs(url, "--by", level.value)
    assert answer(read, DetailLevel.SUMMARY, cloud_account_id="5d8f")["cloud_account_id"] == "5d8f"
    assert read.summary[Component.MANAGEMENT] is None
    known = [amount for amount in read.summary.values() if amount is not None]
    assert sum(known) == read.bill.total


def test_what_the_package_offers_is_there_and_nothing_else() -> None:
    for name in kubetally.__all__:
        assert getattr(kubetally, name)
    with pytest.raises(AttributeError, match="get_costs"):
        kubetally.get_costs  # noqa: B018  (the access is what fails)
