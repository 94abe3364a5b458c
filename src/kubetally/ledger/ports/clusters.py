"""A cluster by where its sources are, or as an account."""

from dataclasses import dataclass

from kubetally.domain.account import Account
from kubetally.domain.money import DEFAULT_CURRENCY
from kubetally.domain.source_url import SourceUrl
from kubetally.ledger.ports.accounts import AnyAccount


@dataclass(frozen=True, slots=True, init=False)
class Cluster:
    """A cluster, by where its OpenCost or Kubecost is: a URL, or a kubeconfig context to find it through.

    `cluster_id` chooses one of several behind that source; `currency` is what it counts in, where it does not say.
    `prometheus_url` is where its metrics are, in Prometheus, Thanos, Mimir or VictoriaMetrics; `tenant` is the value of
    its tenant label there.
    `name` stands for it in logs. `context` may be `in-cluster`: the cluster that this program runs in.
    """

    url: SourceUrl | None
    cluster_id: str | None
    currency: str | None
    name: str | None
    context: str | None
    prometheus_url: SourceUrl | None
    tenant: str | None

    def __init__(
        self,
        url: SourceUrl | str = "",
        cluster_id: str | None = None,
        currency: str | None = None,
        name: str | None = None,
        context: str | None = None,
        prometheus_url: SourceUrl | str | None = None,
        tenant: str | None = None,
    ) -> None:
        """A URL as text is parsed at once, so that nothing holds its password as text. Raises InvalidSourceUrl."""
        facts = {
            "url": None if context is not None and not url else SourceUrl.of(url),
            "cluster_id": cluster_id,
            "currency": currency,
            "name": name,
            "context": context,
            "prometheus_url": SourceUrl.of(prometheus_url) if prometheus_url else None,
            "tenant": tenant,
        }
        for fact, value in facts.items():
            object.__setattr__(self, fact, value)


@dataclass(frozen=True, slots=True)
class AccountCluster:
    """A cluster that is an account.

    accounts:         all that exist, as `read_places` returns them, because a source that serves any account may serve
                      only one.
    default_currency: that of its organization.
    """

    account: Account
    accounts: tuple[AnyAccount, ...] = ()
    default_currency: str = DEFAULT_CURRENCY


AnyCluster = Cluster | AccountCluster


def name_of(cluster: AnyCluster) -> str | None:
    """Its name in logs."""
    return cluster.account.id if isinstance(cluster, AccountCluster) else cluster.name or cluster.context
