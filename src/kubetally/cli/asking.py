"""Which clusters a command means, what they answer, and how that ends: the same for every command that asks."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kubetally.cli import exits
from kubetally.domain.cluster_costs import ClusterCosts
from kubetally.domain.errors import RequestError
from kubetally.domain.money import currency_code

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubetally.domain.window import Clock, Window
    from kubetally.settings import Settings
    from kubetally.wiring.cluster import AnyCluster
    from kubetally.wiring.clusters import Failed

    Answers = Sequence[ClusterCosts | Failed]


class NoCluster(RequestError):
    """No cluster was named, and none is remembered."""

    code = "no_cluster"

    def __init__(self) -> None:
        super().__init__(
            "name a cluster: --url http://localhost:9003 (an OpenCost or Kubecost), --context NAME (of your "
            "kubeconfig), or remember one with `kubetally accounts add NAME --url URL`"
        )


class AccountHasItsOwn(RequestError):
    """An option that says of a URL what an account says of itself."""

    code = "account_has_its_own"

    def __init__(self, option: str) -> None:
        self.option = option
        super().__init__(
            f"{option} goes with --url or --context, an account has its own: "
            f"`kubetally accounts update NAME {option} ...`"
        )


class OnePrometheusForSeveral(RequestError):
    """One server of metrics was given for several clusters, each of which would get the same fee."""

    code = "one_prometheus_for_several"

    def __init__(self) -> None:
        super().__init__(
            "--prometheus-url is of one cluster, and several are asked: ask for one at a time, or remember them with "
            "`kubetally accounts add NAME --url URL --prometheus-url URL`"
        )


@dataclass(frozen=True, slots=True)
class Named:
    """Clusters as options name them. `is_one`: a single one is meant, whose answer stands alone, not in a list."""

    clusters: "list[AnyCluster]"
    is_one: bool


def named(
    accounts: Sequence[str] | None,
    urls: Sequence[str] | None,
    contexts: Sequence[str] | None,
    cluster_id: str | None,
    currency: str | None,
    prometheus_url: str | None,
    settings: "Settings",
) -> Named:
    """The clusters that arguments and options name; without any all accounts, and without those the environment's.

    Raises: NoCluster, AccountHasItsOwn, OnePrometheusForSeveral, InvalidCurrency, AccountNotFound, StoreError;
    InvalidSourceUrl for a URL that can't be one.
    """
    from kubetally.wiring.access import checked_url  # heavy: see the package
    from kubetally.wiring.cluster import Cluster

    code = currency_code(currency) if currency is not None else None
    found: list[AnyCluster] = []
    if accounts or not (urls or contexts):
        from kubetally.wiring.accounts import remembered

        found += remembered(accounts or (), settings)
    if not (found or urls or contexts) and settings.kubecost_api_url:
        urls = [settings.kubecost_api_url]
    if not (urls or contexts):
        own = (("--cluster-id", cluster_id), ("--currency", code), ("--prometheus-url", prometheus_url))
        for option, value in own:
            if found and value is not None:
                raise AccountHasItsOwn(option)
    places: dict[str, str] = {}  # one address is one cluster, however it is written
    for url in urls or ():
        places.setdefault(checked_url(url), url)
    contexts = list(dict.fromkeys(contexts or ()))
    if len(places) + len(contexts) > 1:
        if prometheus_url is not None:
            raise OnePrometheusForSeveral
        if settings.prometheus_url:
            print("warning: KUBETALLY_PROMETHEUS_URL is of one cluster, and not asked for several", file=sys.stderr)
    elif prometheus_url is None and not found:  # accounts have it already
        prometheus_url = settings.prometheus_url
    if prometheus_url is not None:
        checked_url(prometheus_url)
    found += [Cluster(url, cluster_id, code, prometheus_url=prometheus_url) for url in places.values()]
    found += [Cluster("", cluster_id, code, context=context, prometheus_url=prometheus_url) for context in contexts]
    if not found:
        raise NoCluster
    return Named(found, is_one=len(found) == 1 and bool(accounts or urls or contexts))


def ask(
    clusters: "Sequence[AnyCluster]",
    window: "Window",
    settings: "Settings",
    clock: "Clock | None" = None,
    *,
    legacy: bool = False,
) -> "list[ClusterCosts | Failed]":
    """All clusters' answers, in order, with progress on a terminal; why one failed goes to standard error."""
    import asyncio

    from kubetally.cli.progress import progress
    from kubetally.wiring.clusters import get_costs_of_all

    with progress(len(clusters)) as done:
        asked = get_costs_of_all(clusters, window, settings=settings, clock=clock, done=done, legacy=legacy)
        answers = asyncio.run(asked)
    for answer in answers:
        if not isinstance(answer, ClusterCosts):
            name = answer.source.account_name
            exits.complain(f"{name}: {answer.error}" if name else str(answer.error))
    return answers


def print_json(answers: "Answers", body_of: "Callable[[ClusterCosts], dict[str, Any]]", *, is_one: bool) -> None:
    """One body where one cluster was named, else a list of them; a cluster that failed has its place in it."""
    from kubetally.ledger.answer import failure

    bodies = [
        body_of(answer) if isinstance(answer, ClusterCosts) else failure(answer.error, answer.source)
        for answer in answers
    ]
    print(json.dumps(bodies[0] if is_one else bodies, indent=2, allow_nan=False))


def exit_of(answers: "Answers") -> int:
    """0 while any source answered, else what the first failure is."""
    if any(isinstance(answer, ClusterCosts) for answer in answers):
        return exits.OK
    return next(exits.exit_code(answer.error) for answer in answers if not isinstance(answer, ClusterCosts))
