"""Which clusters a command means, what they answer, and how that ends: the same for every command that asks."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from kubetally.cli import exits
from kubetally.cli.answer_file import warn
from kubetally.domain.errors import RequestError
from kubetally.domain.money import DEFAULT_CURRENCY, currency_code
from kubetally.domain.report import CostQuestion, CostReport
from kubetally.domain.source_identity import SourceIdentity
from kubetally.domain.source_url import SourceUrl
from kubetally.domain.status import DayState, Status
from kubetally.domain.window import DAY, EARLIEST, Window
from kubetally.ledger.ports.accounts import AccountNotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from kubetally.domain.fleet import Failed
    from kubetally.domain.window import Clock
    from kubetally.ledger.ports.clusters import AnyCluster
    from kubetally.settings import Settings

    Answers = Sequence[CostReport | Failed]

_REMEMBER = (
    "add each with `kubetally accounts add NAME --url URL --prometheus-url URL`, and --tenant TENANT or "
    "--cluster-id ID if several share a Prometheus"
)


@dataclass(frozen=True, slots=True)
class Said:
    """What options say of clusters that are no accounts; an account says it of itself. None: nothing is said."""

    cluster_id: str | None = None
    currency: str | None = None
    prometheus_url: str | None = field(default=None, repr=False)  # it may hold a password
    tenant: str | None = None

    def options(self) -> "Iterator[str]":
        """The options that were given."""
        for option in fields(self):
            if getattr(self, option.name) is not None:
                yield f"--{option.name.replace('_', '-')}"


@dataclass(frozen=True, slots=True)
class Named:
    """Clusters as options name them. `is_one`: a single one is meant, whose answer stands alone, not in a list."""

    clusters: "list[AnyCluster]"
    is_one: bool


def named(
    accounts: Sequence[str] | None,
    urls: Sequence[str] | None,
    contexts: Sequence[str] | None,
    said: Said,
    settings: "Settings",
    *,
    quiet: bool = False,
) -> Named:
    """The clusters that arguments and options name; without any all accounts, and without those the environment's.

    A URL among the `accounts` is one of the `urls`. `quiet`: without warnings.

    Raises: RequestError, AccountNotFound, StoreError; InvalidSourceUrl for a URL that can't be one.
    """
    urls = [*filter(_is_url, accounts or ()), *(urls or ())]
    accounts = [name for name in accounts or () if not _is_url(name)]
    said = replace(said, currency=None if said.currency is None else currency_code(said.currency))
    found: list[AnyCluster] = []
    if accounts or not (urls or contexts):
        from kubetally.wiring.store import load_clusters  # heavy: see the package

        try:
            found += load_clusters(accounts, settings)
        except AccountNotFound as error:
            if _is_host_and_port(error.name):
                SourceUrl.parse(error.name)  # says that a URL begins with http://
            raise
    parsed = [SourceUrl.parse(url) for url in urls]
    if not (found or parsed or contexts) and settings.kubecost_api_url:
        parsed = [settings.kubecost_api_url]
    if parsed or contexts:
        found += _unremembered(parsed, contexts or (), said, settings, beside_accounts=bool(found), quiet=quiet)
    elif found:
        for option in said.options():
            raise RequestError(
                f"{option} goes with --url or --context; accounts have their own: "
                f"`kubetally accounts update NAME {option} ...`",
                code="account_has_its_own",
            )
    if not found:
        raise RequestError(
            "name a cluster: --url http://localhost:9003 (an OpenCost or Kubecost), --context NAME (of your "
            "kubeconfig), or add one with `kubetally accounts add NAME --url URL`",
            code="no_cluster",
        )
    return Named(found, is_one=len(found) == 1 and bool(accounts or parsed or contexts))


def _is_url(place: str) -> bool:
    """Whether it is a URL; no account's name has a scheme."""
    return "://" in place


def _is_host_and_port(place: str) -> bool:
    """Whether it may be a URL that lacks its scheme; an account may be called so, too."""
    _, colon, port = place.rpartition(":")
    return bool(colon and port.isdecimal())


def _unremembered(
    urls: Sequence[SourceUrl],
    contexts: Sequence[str],
    said: Said,
    settings: "Settings",
    *,
    beside_accounts: bool,
    quiet: bool,
) -> "list[AnyCluster]":
    """The clusters of URLs and contexts, each address once, however it is written."""
    from kubetally.ledger.ports.clusters import Cluster

    places = dict[str, SourceUrl]()
    for url in urls:
        places.setdefault(url.address, url)
    named_contexts = dict.fromkeys(contexts)
    is_one = len(places) + len(named_contexts) == 1
    metrics = _metrics_of(said, settings, is_one, beside_accounts, quiet)
    if metrics is None and said.tenant is not None and not contexts:  # a context may have a Prometheus of its own
        raise RequestError(
            "--tenant selects metrics of a Prometheus, and none is set: give --prometheus-url too, or set "
            "KUBETALLY_PROMETHEUS_URL",
            code="tenant_without_prometheus",
        )
    of_any = partial(
        Cluster, cluster_id=said.cluster_id, currency=said.currency, prometheus_url=metrics, tenant=said.tenant
    )
    return [
        *(of_any(url) for url in places.values()),
        *(of_any(context=context) for context in named_contexts),
    ]


def _metrics_of(said: Said, settings: "Settings", is_one: bool, beside_accounts: bool, quiet: bool) -> SourceUrl | None:
    """The Prometheus of clusters that are no accounts: that of the option, else that of the settings."""
    if not is_one:
        for option, value in (("--prometheus-url", said.prometheus_url), ("--tenant", said.tenant)):
            if value is not None:
                raise RequestError(
                    f"{option} is for one cluster, and several are named: ask for one at a time, or {_REMEMBER}",
                    code="one_prometheus_for_several",
                )
    if said.prometheus_url is not None:
        return SourceUrl.parse(said.prometheus_url, "the URL of --prometheus-url")
    if settings.prometheus_url is None:
        return None
    if is_one and not beside_accounts:
        return settings.prometheus_url
    if not quiet:
        warn(
            "KUBETALLY_PROMETHEUS_URL is ignored: with several --url or --context clusters its metrics cannot be "
            f"attributed; ask for one at a time, or {_REMEMBER}"
        )
    return None


def ask(
    clusters: "Sequence[AnyCluster]",
    window: "Window",
    settings: "Settings",
    clock: "Clock | None" = None,
    *,
    legacy: bool = False,
    with_history: bool = True,
    as_of: "datetime | None" = None,
    quiet: bool = False,
) -> "list[CostReport | Failed]":
    """All clusters' answers, in order, with progress on a terminal unless `quiet`; why one failed goes to standard
    error.
    """
    from kubetally.cli.progress import progress
    from kubetally.tasks import run
    from kubetally.wiring.clusters import get_costs_of_all

    many = "1 cluster" if len(clusters) == 1 else f"{len(clusters)} clusters"
    with progress(len(clusters), f"Asking {many}", quiet=quiet) as done:
        asked = get_costs_of_all(
            clusters,
            window,
            settings=settings,
            clock=clock,
            done=done,
            legacy=legacy,
            with_history=with_history,
            as_of=as_of,
        )
        answers = run(asked)
    for answer in answers:
        if not isinstance(answer, CostReport):
            name = answer.source.account_name
            exits.complain(f"{name}: {answer.error}" if name else str(answer.error))
    return answers


def print_json(answers: "Answers", body_of: "Callable[[CostReport], dict[str, Any]]", *, is_one: bool) -> None:
    """One body where one cluster was named, else a list of them.

    A cluster that failed has its place in it, with every key that the others have.
    """
    from kubetally.present.answer import failure

    known = [body_of(answer) for answer in answers if isinstance(answer, CostReport)]
    keys, given = _keys(body_of, known), iter(known)
    whole = [
        next(given) if isinstance(answer, CostReport) else failure(answer.error, answer.source, keys)
        for answer in answers
    ]
    # Everything but ASCII is escaped, which leaves one character that a terminal might take for an order.
    print(json.dumps(whole[0] if is_one else whole, indent=2, allow_nan=False).replace("\x7f", "\\u007f"))


def _keys(body_of: "Callable[[CostReport], dict[str, Any]]", known: "Sequence[dict[str, Any]]") -> list[str]:
    """The keys of bodies, in order: those of one without data, and those that the known ones have besides."""
    from kubetally.domain.booked_report import report_bookings

    question, source = CostQuestion(Window(EARLIEST, EARLIEST + DAY)), SourceIdentity("")
    state = DayState.PROVISIONAL
    nothing = report_bookings(question, [], hours_asked=0, state=state, currency=DEFAULT_CURRENCY, source=source)
    return list(dict.fromkeys(key for body in (body_of(nothing), *known) for key in body))


def exit_of(answers: "Answers", *, strict: bool = False, each: bool = False) -> int:
    """0 while any source answered, else what the first failure is.

    each: 3 where any source could not be read. strict: that, and 3 where any answer is incomplete, with a message.
    """
    failed = [answer for answer in answers if not isinstance(answer, CostReport)]
    if failed and len(failed) == len(answers):
        return exits.exit_code(failed[0].error)
    from kubetally.present.text import hours_of

    incomplete = _incomplete(answers) if strict else []
    for costs in incomplete:
        exits.complain(
            f"{_name_of(costs)}: the answer is {costs.status.value}, "
            f"{hours_of(costs)} hours; --strict asks for complete ones{_why(costs)}"
        )
    return exits.NO_SOURCE if incomplete or (failed and (strict or each)) else exits.OK


def _why(costs: CostReport) -> str:
    """What is missing first, as the answer tells it; nothing where it tells nothing."""
    missing = [issue.message for issue in costs.issues if issue.is_missing_data]
    more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
    return f": {missing[0]}{more}" if missing else ""


def _incomplete(answers: "Answers") -> list[CostReport]:
    return [costs for costs in answers if isinstance(costs, CostReport) and costs.status is not Status.OK]


def _name_of(costs: CostReport) -> str:
    return costs.source.account_name or costs.source.url
