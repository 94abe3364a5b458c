"""Events of the log name the cluster whose source is open."""

import pytest
from structlog.testing import capture_logs

from kubetally import logs
from kubetally.ledger.ports.clusters import AccountCluster, AnyCluster, Cluster
from kubetally.settings import Settings
from kubetally.wiring.sources import source_opener
from tests.service import account

URL = "http://127.0.0.1:9003"
ACCOUNT = account(1, URL)


@pytest.mark.parametrize(
    ("cluster", "name"),
    [
        (Cluster(URL, name="prod", prometheus_url=URL), "prod"),
        (AccountCluster(ACCOUNT, (ACCOUNT,)), ACCOUNT.id),
    ],
)
@pytest.mark.parametrize("kind", ["source", "prometheus"])
async def test_events_name_the_cluster_while_it_is_open(cluster: AnyCluster, name: str, kind: str) -> None:
    opener = source_opener(Settings())
    with capture_logs() as logged:
        async with opener.source(cluster) if kind == "source" else opener.prometheus(cluster):
            logs.warning("open")
        logs.warning("closed")
    assert [event.get("account") for event in logged if event["event"] in {"open", "closed"}] == [name, None]
