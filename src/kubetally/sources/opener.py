"""Opening the cost source of a cluster and its Prometheus."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from kubetally import logs
from kubetally.domain.account import Account, AccountType, AnyAccount, Credentials
from kubetally.domain.errors import KubetallyError, RequestError, SourceError
from kubetally.domain.infrastructure import Infrastructure
from kubetally.domain.money import currency_code
from kubetally.domain.series import MeasuredSeries
from kubetally.domain.source_url import SourceUrl
from kubetally.domain.survey import MetricsSurvey
from kubetally.domain.window import Window
from kubetally.ledger.ports.accounts import credentials_locked
from kubetally.ledger.ports.clusters import AccountCluster, AnyCluster, Cluster
from kubetally.ledger.ports.sources import MetricsSource
from kubetally.sources.access_settings import AccessSettings
from kubetally.sources.kept import AnswerFolder
from kubetally.sources.kubernetes.discoveries import Discoveries
from kubetally.sources.kubernetes.resolve import Option, Resolved, resolve_source
from kubetally.sources.opencost.client import CostModelClient
from kubetally.sources.opencost.source import CostModelSource
from kubetally.sources.prometheus.client import PrometheusClient, QueryOptions
from kubetally.sources.prometheus.promql import Selector
from kubetally.sources.prometheus.source import PrometheusSource
from kubetally.sources.transport import Limits, Transport
from kubetally.tasks import Calculate, calculate_here


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What settings say of all sources.

    limits: of every request. template, namespace, default_url: see `resolve_source`. cluster_id: of the default URL.
    currency: assumed if a source states none. profile: of savings. prometheus_url: of accounts that have none.
    answers: the folder in which answers are kept. version: of the program.
    """

    access: AccessSettings
    limits: Limits
    parallel_requests: int
    template: str | None
    namespace: str
    default_url: SourceUrl | None
    cluster_id: str | None
    currency: str | None
    profile: str | None
    prometheus_url: SourceUrl | None
    prometheus_resolution: str
    tenant_label: str
    replica_labels: str
    cluster_label: str
    answers: str | None
    version: str


@dataclass(frozen=True, slots=True)
class UnusablePrometheus:
    """Stands for a Prometheus that can't be asked, and raises why."""

    url: str
    why: KubetallyError

    async def introduce(self, now: datetime) -> None:
        """Raises why it can't be asked."""
        raise self.why

    async def read(self, window: Window) -> Infrastructure:
        """Raises why it can't be asked."""
        raise self.why

    async def points(self, window: Window, names: Sequence[str]) -> MeasuredSeries:
        """Raises why it can't be asked."""
        raise self.why

    async def survey(self, window: Window) -> MetricsSurvey:
        """Raises why it can't be asked."""
        raise self.why


AnyPrometheus = PrometheusSource | UnusablePrometheus


class SourceOpener:
    """Opens sources. discoveries: what contexts lead to. calculate: interprets answers."""

    def __init__(
        self, options: SourceOptions, discoveries: Discoveries | None = None, calculate: Calculate = calculate_here
    ) -> None:
        self._options, self._discoveries = options, discoveries or Discoveries()
        self._calculate = calculate

    def within(self, seconds: float) -> "SourceOpener":
        """The same with one attempt of at most `seconds`."""
        limits = self._options.limits
        quick = replace(
            limits,
            connect_seconds=min(limits.connect_seconds, seconds),
            read_seconds=min(limits.read_seconds, seconds),
            deadline_seconds=min(limits.deadline_seconds, seconds),
            attempts=1,
        )
        return SourceOpener(replace(self._options, limits=quick), self._discoveries, self._calculate)

    @property
    def limits(self) -> Limits:
        """Those of every request."""
        return self._options.limits

    @asynccontextmanager
    async def source(self, cluster: AnyCluster) -> AsyncIterator[CostModelSource]:
        """The cluster's cost source, closed afterwards; every event of the log meanwhile names the cluster.

        Raises: RequestError, SourceError (of discovery).
        """
        with logs.bound(account=cluster.log_name):
            async with self._opened_source(cluster) as source:
                yield source

    @asynccontextmanager
    async def _opened_source(self, cluster: AnyCluster) -> AsyncIterator[CostModelSource]:
        options = self._options
        found = await self._find_source(cluster)
        logs.debug("source_found", source=str(found.access.url), by=found.option.value)
        for reason in found.passed_over:
            logs.warning("source_passed_over", why=reason)
        # The cluster id of the settings belongs to their URL; it would choose the same cluster for every account.
        cluster_id = options.cluster_id if isinstance(cluster, Cluster) or found.option is Option.DEFAULT else None
        assumed = currency_code(options.currency) if options.currency else None
        facts = cluster.facts
        async with self._transport(found) as transport:
            source = CostModelSource(
                CostModelClient(transport, parallel=options.parallel_requests),
                cluster_id=facts.cluster_id or cluster_id,
                currency=facts.currency,
                default_currency=assumed or cluster.default_currency,
                default_is_stated=assumed is not None,
                profile=options.profile,
                calculate=self._calculate,
                folder=self._answer_folder(cluster),
            )
            try:
                yield source
            except SourceError:
                if found.option is Option.CONTEXT:
                    self._discoveries.forget(facts.context or "")
                raise

    @asynccontextmanager
    async def prometheus(self, cluster: AnyCluster) -> AsyncIterator[AnyPrometheus | None]:
        """The cluster's Prometheus, closed afterwards; None if it has none. Raises nothing: its methods do.

        Every event of the log meanwhile names the cluster.
        """
        with logs.bound(account=cluster.log_name):
            async with self._opened_prometheus(cluster) as prometheus:
                yield prometheus

    @asynccontextmanager
    async def _opened_prometheus(self, cluster: AnyCluster) -> AsyncIterator[AnyPrometheus | None]:
        options = self._options
        try:
            found = await self._find_prometheus(cluster)
            transport = self._transport(found) if found else None
            selector = self._selector(cluster)
        except KubetallyError as error:
            yield UnusablePrometheus(self._prometheus_place(cluster), error)
            return
        if transport is None:
            yield None
            return
        query = QueryOptions(max_source_resolution=options.prometheus_resolution)
        async with transport:
            client = PrometheusClient(
                transport, options=query, parallel=options.parallel_requests, calculate=self._calculate
            )
            yield PrometheusSource(client, selector, self._answer_folder(cluster))

    def prometheus_key(self, account: AnyAccount) -> tuple[str, str | None] | None:
        """The address of its Prometheus, and the tenant that a header chooses there; None without one."""
        if account.prometheus_url is not None:
            return account.prometheus_url.address, account.prometheus_tenant
        default = self._options.prometheus_url
        return None if default is None else (default.address, None)  # headers of the settings are the same for all

    async def _find_source(self, cluster: AnyCluster) -> Resolved:
        options = self._options
        match cluster:
            case AccountCluster(account, accounts):
                if account.locked is not None:
                    raise credentials_locked(account.name, origin=account.locked)
                return await resolve_source(
                    account,
                    accounts,
                    access_of=lambda url: options.access.for_source(url, account.credentials),
                    discover=lambda context: self._discoveries.costs(context, options.limits),
                    template=options.template,
                    namespace=options.namespace,
                    default_url=options.default_url,
                    connect_seconds=options.limits.connect_seconds,
                )
            case Cluster(context=str(context)):
                return await self._discoveries.costs(context, options.limits)
            case Cluster(SourceUrl() as url):
                return Resolved(Option.ACCOUNT_URL, options.access.for_source(url, Credentials()))
        raise AssertionError("a cluster has a URL or a context")

    async def _find_prometheus(self, cluster: AnyCluster) -> Resolved | None:
        """The Prometheus of the cluster, else that of the settings, else the one found through its context.

        Raises: RequestError, SourceError.
        """
        options, context = self._options, cluster.facts.context
        match cluster:
            case Cluster(prometheus_url=SourceUrl() as url):
                # It may be that of the settings, whose credentials go with it.
                own = None if url == options.prometheus_url else Credentials()
                return Resolved(Option.ACCOUNT_URL, options.access.for_prometheus(url, own))
            case AccountCluster(account):
                if account.locked is not None:
                    raise credentials_locked(account.name, origin=account.locked)
                if not (account.tenant or account.cluster_id) and self._is_shared(cluster):
                    raise _shared_prometheus(account.name)
                if account.prometheus_url is not None:
                    access = options.access.for_prometheus(account.prometheus_url, account.prometheus_credentials)
                    return Resolved(Option.ACCOUNT_URL, access)
                if options.prometheus_url is not None:
                    return Resolved(Option.DEFAULT, options.access.for_prometheus(options.prometheus_url, None))
                if account.kubecost_url:
                    return None  # its context may lead to another cluster
        return None if context is None else await self._discoveries.metrics(context, options.limits)

    def _is_shared(self, cluster: AnyCluster) -> bool:
        """Whether other accounts have the same Prometheus, and no other tenant distinguishes them."""
        if not isinstance(cluster, AccountCluster):
            return False
        key, tenant = self.prometheus_key(cluster.account), cluster.account.tenant
        return key is not None and any(
            account.id != cluster.account.id
            and account.type is AccountType.KUBERNETES_CNR
            and self.prometheus_key(account) == key
            and (tenant is None or account.tenant in {None, tenant})
            for account in cluster.accounts
        )

    def _prometheus_place(self, cluster: AnyCluster) -> str:
        """Where its Prometheus should be, fit to be shown."""
        default = self._options.prometheus_url if isinstance(cluster, AccountCluster) else None
        return str(cluster.facts.prometheus_url or default or f"the Prometheus of {cluster.place}")

    def _transport(self, found: Resolved) -> Transport:
        return Transport(found.access, self._options.limits, renew=found.renew)

    def _selector(self, cluster: AnyCluster) -> Selector:
        facts = cluster.facts
        labels = (label.strip() for label in self._options.replica_labels.split(","))
        return Selector(
            tenant=facts.tenant,
            cluster_id=facts.cluster_id,
            tenant_label=self._options.tenant_label,
            replica_labels=tuple(filter(None, labels)),
            cluster_label=self._options.cluster_label,
            is_shared=self._is_shared(cluster),
        )

    def _answer_folder(self, cluster: AnyCluster) -> AnswerFolder | None:
        if not self._options.answers:
            return None
        return AnswerFolder(Path(self._options.answers).expanduser(), cluster.log_name, self._options.version)


class AccountOpener:
    """Opens the sources of accounts.

    read_accounts: all accounts, as an account without a source depends on the others.
    """

    def __init__(self, read_accounts: Callable[[], Awaitable[tuple[AnyAccount, ...]]], opener: SourceOpener) -> None:
        self._read_accounts, self._opener = read_accounts, opener

    @asynccontextmanager
    async def source(self, account: Account) -> AsyncIterator[CostModelSource]:
        """The source of the account's costs and savings, closed afterwards.

        Raises: RequestError, SourceError, StoreError.
        """
        async with self._opener.source(AccountCluster(account, await self._read_accounts())) as source:
            yield source

    @asynccontextmanager
    async def metrics(self, account: Account) -> AsyncIterator[MetricsSource | None]:
        """The account's Prometheus, or None. Raises StoreError."""
        async with self._opener.prometheus(AccountCluster(account, await self._read_accounts())) as prometheus:
            yield prometheus


def _shared_prometheus(name: str) -> RequestError:
    return RequestError(
        f"account {name!r} shares a Prometheus (--prometheus-url or KUBETALLY_PROMETHEUS_URL) with others, and its "
        f"metrics can't be attributed: set `kubetally accounts update {name} --tenant TENANT` or --cluster-id, or give "
        "each account its own",
        code="metrics_serve_one",
    )
