"""A password in a URL is in no text of what holds the URL, of what fails with it, or of the log."""

from dataclasses import replace
from typing import Any
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from kubetally.cli.options import ClusterOptions
from kubetally.domain.account import AccountPlace, Credentials
from kubetally.domain.fleet import Failed
from kubetally.domain.source_url import SourceUrl
from kubetally.domain.window import parse_window
from kubetally.ledger.accounts.draft import AccountDraft
from kubetally.ledger.ports.clusters import AccountCluster, Cluster
from kubetally.settings import Settings
from kubetally.wiring.clusters import get_costs_of_all, subjects_of
from kubetally.wiring.environment import access_settings
from tests.served import NOON_AFTER, FixedClock
from tests.service import account

NOBODY = "127.0.0.1:1"
DAY = parse_window("2026-11-20,2026-11-21", NOON_AFTER)
HASTY = Settings(attempts=1)


def texts(*holders: Any) -> str:
    return "".join(f"{holder}{holder!r}{holder!s}" for holder in holders)


@given(st.text(min_size=1))
def test_no_text_of_what_holds_a_url_shows_its_password(word: str) -> None:
    password = f"<<{word}>>"
    shown = quote(password, safe="")
    url = f"http://scout:{shown}@host:9003"
    parsed = SourceUrl.parse(url)
    assert parsed.password == password
    prod = replace(account(1, url), prometheus_url=parsed)
    clusters = (Cluster(url, prometheus_url=url), Cluster(parsed), AccountCluster(prod, (prod,)))
    settings = Settings(kubecost_api_url=parsed, prometheus_url=parsed)
    text = texts(
        *clusters,
        prod,
        AccountPlace(
            id=prod.id,
            organization_id=prod.organization_id,
            name=prod.name,
            type=prod.type,
            kubecost_url=parsed,
            prometheus_url=parsed,
        ),
        AccountDraft("prod", url, prometheus_url=url),
        ClusterOptions(url=[url], prometheus_url=url),
        settings,
        Settings.read({"KUBECOST_API_URL": url, "KUBETALLY_PROMETHEUS_URL": url}),
        access_settings(settings).for_source(parsed, Credentials()),
        access_settings(settings).for_prometheus(parsed, None),
        *subjects_of(clusters, settings),
    )
    for secret in (password, shown, "scout"):  # no hex digits, which addresses in memory have
        assert secret not in text


async def test_failure_of_a_cluster_names_it_without_its_password() -> None:
    password = "hunter2-of-ada"
    places = [f"http://ada:{password}@{NOBODY}/{name}" for name in ("a", "b")]
    clusters = [Cluster(place, name=f"cluster {place[-1]}", prometheus_url=place) for place in places]
    with capture_logs() as lines:
        answers = await get_costs_of_all(clusters, DAY, settings=HASTY, clock=FixedClock())
    for answer, place in zip(answers, places, strict=True):
        assert isinstance(answer, Failed)
        assert str(answer.error).startswith(f"http://***@{NOBODY}/{place[-1]}")
    assert password not in texts(*answers, *(answer.error for answer in answers if isinstance(answer, Failed)), lines)
    failed = [line for line in lines if line["event"] == "source_request_failed"]
    assert {(line["account"], line["source"]) for line in failed} == {
        (f"cluster {name}", f"http://***@{NOBODY}/{name}") for name in "ab"
    }
