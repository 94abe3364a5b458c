"""What is missing of a day whose source lost samples: told alike by every command, of live and of stored days."""

from collections.abc import Iterator

import pytest

from kubetally.samples.replay import ReplayServer
from tests.integration.commands import call
from tests.integration.test_accounts_command import Home
from tests.recordings import folders, lossy_folders

LOST = ("--start", "2026-11-21", "--end", "2026-11-22")
THREE_DAYS = ("--from", "2026-11-20", "--to", "2026-11-23")
CAUSES = {
    "cygnus-half": ("no node and no pod was seen", 12),
    "cygnus-opencost-day": ("OpenCost's own metrics", 0),
    "cygnus-ksm-day": ("kube-state-metrics", 0),
    "cygnus-cadvisor-day": ("cAdvisor", 24),
}


@pytest.fixture(scope="module")
def source() -> Iterator[ReplayServer]:
    with ReplayServer({**folders(), **lossy_folders()}) as server:
        yield server


@pytest.mark.parametrize("name", CAUSES)
def test_doctor_and_costs_tell_the_same(source: ReplayServer, name: str) -> None:
    cause, hours = CAUSES[name]
    url = source.url_of(name)
    costs = call("costs", "--url", url, *LOST, "--format", "json").json
    findings = call("doctor", url, *LOST, "--format", "json").json["findings"]
    (error,) = costs["errors"]
    assert cause in error["message"]
    told = [finding["seen"] for finding in findings if cause in finding["seen"] and finding["level"] == "warning"]
    assert len(told) == 1
    assert told[0].startswith(error["message"])
    assert costs["coverage"]["hours_covered"] == pytest.approx(hours, abs=0.1)
    (of_costs,) = [finding for finding in findings if finding["subject"] == "costs"]
    assert (of_costs["level"] == "ok") == (hours == 24)


@pytest.mark.parametrize("name", CAUSES)
def test_verify_fails_on_a_day_without_evidence(source: ReplayServer, name: str) -> None:
    done = call("verify", "--url", source.url_of(name), *LOST)
    assert done.code == 1
    assert "NOT VERIFIED" in done.out
    body = call("verify", "--url", source.url_of(name), *LOST, "--format", "json").json
    assert body["lacks_evidence"]
    assert call("verify", "--url", source.url_of("cygnus"), *LOST).code == 0


def test_table_says_which_hours_are_missing(source: ReplayServer) -> None:
    out = call("costs", "--url", source.url_of("cygnus-half"), *LOST).out
    assert "12 of 24 h, partial" in out
    assert "21 Nov 2026 12:00-24:00 UTC" in " ".join(out.split())


@pytest.mark.parametrize("name", CAUSES)
def test_coverage_says_which_hours_are_missing(home: Home, source: ReplayServer, name: str) -> None:
    cause, hours = CAUSES[name]
    assert home.call("accounts", "add", "lossy", "--url", source.url_of(name)).code == 0
    home.call("backfill", "lossy", *THREE_DAYS)
    (calendar,) = home.call("coverage", "lossy", *LOST, "--format", "json").json
    (day,) = calendar["days"]
    assert (day["is"], day["state"]) == ("partial", "provisional")
    assert day["hours_covered"] == pytest.approx(hours, abs=0.1)
    assert cause in day["missing"][0]["message"]
    words = " ".join(home.call("coverage", "lossy", "--start", "2026-11-20", "--end", "2026-11-23").out.split())
    assert cause in words
    assert ("12:00 to 24:00" in words) == (name == "cygnus-half")
