"""A cluster by where its sources are, or as an account."""

from collections.abc import Iterable
from dataclasses import dataclass

from kubetally.domain.account import Account, AnyAccount, account_labels
from kubetally.domain.money import DEFAULT_CURRENCY
from kubetally.domain.source_url import SourceUrl


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
        *,
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

    @property
    def facts(self) -> "Cluster":
        """What states cluster id, currency, tenant, context and Prometheus of it."""
        return self

    @property
    def default_currency(self) -> str:
        """What is assumed where nobody states a currency."""
        return DEFAULT_CURRENCY

    @property
    def place(self) -> str:
        """Where it is, before anything was asked, fit to be shown."""
        return str(self.url or f"context {self.context}")

    @property
    def log_name(self) -> str | None:
        """Its name in logs."""
        return self.name or self.context


@dataclass(frozen=True, slots=True)
class AccountCluster:
    """A cluster that is an account.

    accounts: all that exist, as `read_places` returns them, as a source that serves any account may serve just one.
    """

    account: Account
    accounts: tuple[AnyAccount, ...] = ()

    @property
    def default_currency(self) -> str:
        """What is assumed where nobody states a currency."""
        return self.account.default_currency

    @property
    def facts(self) -> Account:
        """What states cluster id, currency, tenant, context and Prometheus of it."""
        return self.account

    @property
    def place(self) -> str:
        """Where it is, before anything was asked, fit to be shown."""
        url, context = self.account.kubecost_url, self.account.context
        return str(url or (f"context {context}" if context else f"account {self.account.name}"))

    @property
    def log_name(self) -> str:
        """Its name in logs."""
        return self.account.id


AnyCluster = Cluster | AccountCluster


def labels_of(clusters: Iterable[AnyCluster]) -> dict[str, str]:
    """See `account_labels`, of those clusters that are accounts."""
    return account_labels(cluster.account for cluster in clusters if isinstance(cluster, AccountCluster))
