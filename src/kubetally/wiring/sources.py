"""What is asked about a cluster, opened and closed: its source of costs, and what measures beside it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from kubetally import __version__, logs
from kubetally.domain.account import Account, AccountType, Credentials
from kubetally.domain.errors import KubetallyError, RequestError, SourceError
from kubetally.domain.infrastructure import Infrastructure
from kubetally.domain.money import DEFAULT_CURRENCY, currency_code
from kubetally.domain.series import MeasuredSeries
from kubetally.domain.survey import MetricsSurvey
from kubetally.domain.window import Window
from kubetally.ledger.ports.accounts import credentials_locked
from kubetally.settings import Settings
from kubetally.sources.access import InvalidSourceUrl
from kubetally.sources.kept import AnswerFolder
from kubetally.sources.kubernetes.discoveries import Discoveries
from kubetally.sources.kubernetes.resolve import Option, Resolved, resolve_source
from kubetally.sources.opencost.client import CostModelClient
from kubetally.sources.opencost.source import CostModelSource
from kubetally.sources.prometheus.client import PrometheusClient, QueryOptions
from kubetally.sources.prometheus.promql import Selector
from kubetally.sources.prometheus.source import PrometheusSource
from kubetally.sources.transport import Transport
from kubetally.tasks import Calculate, calculate_here
from kubetally.wiring.access import access_of, check_url, mask_url, prometheus_access_of
from kubetally.wiring.cluster import AccountCluster, AnyCluster, Cluster, name_of, place_of
from kubetally.wiring.environment import read_settings
from kubetally.wiring.limits import limits_of

_TENANT_HEADER = "x-scope-orgid"  # of Mimir, Cortex and what stands before them


@asynccontextmanager
async def open_source(
    cluster: AnyCluster,
    settings: Settings | None = None,
    discoveries: Discoveries | None = None,
    calculate: Calculate = calculate_here,
) -> AsyncIterator[CostModelSource]:
    """The cluster's source, closed afterwards. How it was found, and what was passed over for it, is in the log.

    Raises: RequestError (URL, credential or setting), SourceError (of discovery).
    """
    settings = settings or read_settings()
    discoveries = discoveries or Discoveries()
    found = await _source_of(cluster, settings, discoveries)
    logs.debug("source_found", source=found.access.masked_url, by=found.option.value)
    for reason in found.passed_over:
        logs.warning("source_passed_over", account=name_of(cluster), why=reason)
    # What the environment says of the one source it names would choose the same cluster for every account.
    cluster_id = settings.cluster_id if isinstance(cluster, Cluster) or found.option is Option.DEFAULT else None
    assumed = currency_code(settings.currency) if settings.currency else None
    if isinstance(cluster, AccountCluster):
        stated: Account | Cluster = cluster.account
        currency, default_currency = cluster.account.currency, assumed or cluster.default_currency
    else:
        stated, currency, default_currency = cluster, cluster.currency, assumed or DEFAULT_CURRENCY
    async with _transport(found, cluster, settings) as transport:
        source = CostModelSource(
            CostModelClient(transport, parallel=settings.parallel_questions),
            cluster_id=stated.cluster_id or cluster_id,
            currency=currency,
            default_currency=default_currency,
            default_is_stated=assumed is not None,
            profile=settings.savings_profile,
            calculate=calculate,
            folder=_answer_folder(cluster, settings),
        )
        try:
            yield source
        except SourceError:
            if found.option is Option.CONTEXT:
                discoveries.forget(stated.context or "")
            raise


@asynccontextmanager
async def open_metrics(
    cluster: AnyCluster,
    settings: Settings,
    discoveries: Discoveries | None = None,
    calculate: Calculate = calculate_here,
) -> AsyncIterator["Metrics | None"]:
    """The server of metrics beside the cluster's source, closed afterwards; None where none is known.

    Costs are had without it: what is wrong with how it is stated is raised by whatever it is asked. Raises nothing.
    """
    try:
        found = await _metrics_of(cluster, settings, discoveries or Discoveries())
        transport = _transport(found, cluster, settings) if found else None
        selector = _selector(cluster, settings)
    except KubetallyError as error:
        yield _Unusable(_metrics_place(cluster, settings), name_of(cluster), error)
        return
    if transport is None:
        yield None
        return
    options = QueryOptions(max_source_resolution=settings.prometheus_resolution)
    async with transport:
        yield PrometheusSource(
            PrometheusClient(transport, options=options, parallel=settings.parallel_questions, calculate=calculate),
            selector,
            _answer_folder(cluster, settings),
        )


def _answer_folder(cluster: AnyCluster, settings: Settings) -> AnswerFolder | None:
    if not settings.keep_answers:
        return None
    return AnswerFolder(Path(settings.keep_answers).expanduser(), name_of(cluster), __version__)


def _metrics_place(cluster: AnyCluster, settings: Settings) -> str:
    """Where a cluster's metrics should be, fit to be shown."""
    own = cluster.account.prometheus_url if isinstance(cluster, AccountCluster) else cluster.prometheus_url
    url = own or (settings.prometheus_url if isinstance(cluster, AccountCluster) else None)
    return mask_url(url) if url else f"the server of metrics of {place_of(cluster)}"


class MetricsServeOne(RequestError):
    """One server of metrics is stated for several accounts, and nothing tells which metrics are of which."""

    code = "metrics_serve_one"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            "several accounts have the same server of metrics (--prometheus-url or KUBETALLY_PROMETHEUS_URL), and "
            f"nothing tells which metrics are of account {name!r}: state it with `kubetally accounts update {name} "
            "--tenant TENANT` or --cluster-id, or give each account a server of its own"
        )


@dataclass(frozen=True, slots=True)
class _Unusable:
    """Stands for a server of metrics that can't be asked, and says why to whoever asks."""

    url: str
    account: str | None
    why: KubetallyError

    async def introduce(self, now: datetime) -> None:
        raise self.why

    async def read(self, window: Window) -> Infrastructure:
        raise self.why

    async def points(self, window: Window, names: Sequence[str]) -> MeasuredSeries:
        raise self.why

    async def survey(self, window: Window) -> MetricsSurvey:
        raise self.why


Metrics = PrometheusSource | _Unusable


async def _source_of(cluster: AnyCluster, settings: Settings, discoveries: Discoveries) -> Resolved:
    limits = limits_of(settings)
    match cluster:
        case AccountCluster(account, accounts):
            if account.locked is not None:
                raise credentials_locked(account.name, account.locked)
            if account.context and not account.kubecost_url:
                return await discoveries.costs(account.context, limits)
            return await resolve_source(
                account,
                accounts,
                access_of=partial(access_of, settings=settings, own=account.credentials),
                template=settings.source_template,
                namespace=settings.source_namespace,
                default_url=settings.kubecost_api_url,
                limits=limits,
            )
        case Cluster(context=str(context)):
            return await discoveries.costs(context, limits)
        case Cluster(url):
            return Resolved(Option.ACCOUNT_URL, access_of(url, settings))


async def _metrics_of(cluster: AnyCluster, settings: Settings, discoveries: Discoveries) -> Resolved | None:
    """Where the cluster's metrics are: what it states, else the server of the settings, else what its context has.

    Raises: MetricsServeOne, SourceError (credentials locked), InvalidSourceUrl, InvalidCredential, and as `sign_in`.
    """
    if isinstance(cluster, AccountCluster):
        account = cluster.account
        if account.locked is not None:
            raise credentials_locked(account.name, account.locked)
        url, own, context = account.prometheus_url, account.prometheus_credentials, account.context
        if account.kubecost_url:
            context = None  # it may be another cluster's
        if not (account.tenant or account.cluster_id) and _shares_metrics(cluster, settings):
            raise MetricsServeOne(account.name)
    else:
        url, own, context = cluster.prometheus_url, Credentials(), cluster.context
    if url:
        # Of a cluster without an account the server of the settings is the one that was named; an account's own is not.
        of_settings = isinstance(cluster, Cluster) and url == settings.prometheus_url
        return Resolved(Option.ACCOUNT_URL, prometheus_access_of(url, settings, None if of_settings else own))
    if settings.prometheus_url and isinstance(cluster, AccountCluster):
        return Resolved(Option.DEFAULT, prometheus_access_of(settings.prometheus_url, settings, None))
    return None if context is None else await discoveries.metrics(context, limits_of(settings))


def _shares_metrics(cluster: AnyCluster, settings: Settings) -> bool:
    """Whether other accounts have the same server of metrics, and no other tenant tells theirs apart."""
    if not isinstance(cluster, AccountCluster):
        return False
    mine, tenant = metrics_server_of(cluster.account, settings), cluster.account.tenant
    return mine is not None and any(
        one.id != cluster.account.id
        and one.type is AccountType.KUBERNETES_CNR
        and metrics_server_of(one, settings) == mine
        and (tenant is None or one.tenant in {None, tenant})
        for one in cluster.accounts
    )


def metrics_server_of(account: Account, settings: Settings) -> tuple[str, str | None] | None:
    """Its server of metrics, however it is written, and the tenant that a header chooses there."""
    url, headers = account.prometheus_url, account.prometheus_credentials.headers
    if not url:
        url, headers = settings.prometheus_url, {}  # and those of the settings, which are the same for all
    if not url:
        return None
    tenant = next((value for name, value in headers.items() if name.lower() == _TENANT_HEADER), None)
    with suppress(InvalidSourceUrl):  # which is told where it is asked
        return check_url(url), tenant
    return url, tenant


def _transport(found: Resolved, cluster: AnyCluster, settings: Settings) -> Transport:
    return Transport(found.access, limits_of(settings), account=name_of(cluster), renew=found.renew)


def _selector(cluster: AnyCluster, settings: Settings) -> Selector:
    stated = cluster.account if isinstance(cluster, AccountCluster) else cluster
    return Selector(
        tenant=stated.tenant,
        cluster_id=stated.cluster_id,
        tenant_label=settings.tenant_label,
        replica_labels=tuple(label.strip() for label in settings.replica_labels.split(",") if label.strip()),
        cluster_label=settings.cluster_label,
        is_shared=_shares_metrics(cluster, settings),
    )
