"""Which clusters a command is about: accounts, and others that its options name."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from kubetally.cli.answer_file import warn
from kubetally.cli.options import ClusterOptions
from kubetally.domain.errors import RequestError
from kubetally.domain.money import currency_code
from kubetally.domain.source_url import SourceUrl
from kubetally.ledger.ports.accounts import AccountNotFound

if TYPE_CHECKING:
    from kubetally.ledger.ports.clusters import AnyCluster
    from kubetally.settings import Settings

_ADD_ACCOUNTS = (
    "add each with `kubetally accounts add NAME --url URL --prometheus-url URL`, and --tenant TENANT or "
    "--cluster-id ID if several share a Prometheus"
)


@dataclass(frozen=True, slots=True)
class ChosenClusters:
    """Clusters as options name them.

    is_one: a single one was asked for, whose answer is not in a list. are_all_accounts: no cluster was named.
    """

    clusters: "list[AnyCluster]"
    is_one: bool
    are_all_accounts: bool = False


def choose_clusters(options: ClusterOptions, settings: "Settings", *, quiet: bool = False) -> ChosenClusters:
    """The clusters that options name; without any, all accounts; without accounts, that of the environment.

    A URL among the accounts is one of the URLs. quiet: without warnings.
    Raises: RequestError, AccountNotFound, StoreError; InvalidSourceUrl for a URL that can't be one.
    """
    if options.currency is not None:
        options = replace(options, currency=currency_code(options.currency))
    names = [name for name in options.accounts or () if not _is_url(name)]
    urls = [*filter(_is_url, options.accounts or ()), *(options.url or ())]
    is_named = bool(names or urls or options.context)
    accounts = [] if is_named and not names else _load_accounts(names, settings)
    parsed = [SourceUrl.parse(url) for url in urls]
    if not (is_named or accounts) and settings.kubecost_api_url:
        parsed, is_named = [settings.kubecost_api_url], True
    others = list["AnyCluster"]()
    if parsed or options.context:
        others = _other_clusters(parsed, options, settings, beside_accounts=bool(accounts), quiet=quiet)
    elif accounts:
        _refuse_options_of_others(options)
    else:
        raise RequestError(
            "name a cluster: --url http://localhost:9003 (an OpenCost or Kubecost), --context NAME (of your "
            "kubeconfig), or add one with `kubetally accounts add NAME --url URL`",
            code="no_cluster",
        )
    clusters = [*accounts, *others]
    return ChosenClusters(
        clusters, is_one=len(clusters) == 1 and is_named, are_all_accounts=bool(accounts) and not is_named
    )


def _is_url(place: str) -> bool:
    """Whether it is a URL; no account's name has a scheme."""
    return "://" in place


def _is_host_and_port(place: str) -> bool:
    """Whether it may be a URL that lacks its scheme; an account may be called so, too."""
    _, colon, port = place.rpartition(":")
    return bool(colon and port.isdecimal())


def _load_accounts(names: Sequence[str], settings: "Settings") -> "list[AnyCluster]":
    from kubetally.wiring.store import load_clusters  # heavy: see the package

    try:
        return [*load_clusters(names, settings)]
    except AccountNotFound as error:
        if _is_host_and_port(error.name):
            SourceUrl.parse(error.name)  # says that a URL begins with http://
        raise


def _refuse_options_of_others(options: ClusterOptions) -> None:
    """Raises RequestError, if there are options about clusters that are no accounts."""
    for option in options.about_others():
        raise RequestError(
            f"{option} goes with --url or --context; accounts have their own: "
            f"`kubetally accounts update NAME {option} ...`",
            code="account_has_its_own",
        )


def _other_clusters(
    urls: Sequence[SourceUrl], options: ClusterOptions, settings: "Settings", *, beside_accounts: bool, quiet: bool
) -> "list[AnyCluster]":
    """The clusters of URLs and contexts, each address once, however it is written."""
    from kubetally.ledger.ports.clusters import Cluster

    url_by_address = dict[str, SourceUrl]()
    for url in urls:
        url_by_address.setdefault(url.address, url)
    contexts = dict.fromkeys(options.context or ())
    is_one = len(url_by_address) + len(contexts) == 1
    prometheus = _prometheus_of(options, settings, is_one=is_one, beside_accounts=beside_accounts, quiet=quiet)
    if prometheus is None and options.tenant is not None and not contexts:  # a context may have one of its own
        raise RequestError(
            "--tenant selects metrics of a Prometheus, and none is set: give --prometheus-url too, or set "
            "KUBETALLY_PROMETHEUS_URL",
            code="tenant_without_prometheus",
        )
    new_cluster = partial(
        Cluster,
        cluster_id=options.cluster_id,
        currency=options.currency,
        prometheus_url=prometheus,
        tenant=options.tenant,
    )
    return [
        *(new_cluster(url) for url in url_by_address.values()),
        *(new_cluster(context=context) for context in contexts),
    ]


def _prometheus_of(
    options: ClusterOptions, settings: "Settings", *, is_one: bool, beside_accounts: bool, quiet: bool
) -> SourceUrl | None:
    """The Prometheus of the options; else that of the settings, if there is only one cluster to attribute it to."""
    if not is_one:
        _refuse_metrics_of_several(options)
    if options.prometheus_url is not None:
        return SourceUrl.parse(options.prometheus_url, "the URL of --prometheus-url")
    if is_one and not beside_accounts:
        return settings.prometheus_url
    if settings.prometheus_url is not None and not quiet:
        warn(
            "KUBETALLY_PROMETHEUS_URL is ignored: with several --url or --context clusters its metrics cannot be "
            f"attributed; ask for one at a time, or {_ADD_ACCOUNTS}"
        )
    return None


def _refuse_metrics_of_several(options: ClusterOptions) -> None:
    """Raises RequestError, if an option names the Prometheus of several clusters."""
    for option, value in (("--prometheus-url", options.prometheus_url), ("--tenant", options.tenant)):
        if value is not None:
            raise RequestError(
                f"{option} is for one cluster, and several are named: ask for one at a time, or {_ADD_ACCOUNTS}",
                code="one_prometheus_for_several",
            )
