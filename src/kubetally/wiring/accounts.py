"""Accounts as they are added and changed, their sources looked at, and as clusters that are asked."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from kubetally.domain.account import Account, AccountType, Credentials
from kubetally.domain.errors import KubetallyError, RequestError
from kubetally.domain.money import currency_code
from kubetally.domain.window import HOUR, Window, whole_hour
from kubetally.ledger.collect.reconcile import reconcile_after_change
from kubetally.ledger.ports.account_days import CurrencyIsTold
from kubetally.ledger.ports.accounts import AccountExists, NotACluster
from kubetally.ledger.ports.sources import About
from kubetally.masking import without_password
from kubetally.settings import Settings
from kubetally.sources.access import Access
from kubetally.sources.address import AddressRefused
from kubetally.sources.faults import SourceTimeout
from kubetally.sources.opencost.source import CostModelSource
from kubetally.store.reach import is_there
from kubetally.wiring.access import shown_url
from kubetally.wiring.account_days import change_currency
from kubetally.wiring.clock import SystemClock
from kubetally.wiring.cluster import AccountCluster
from kubetally.wiring.duplicates import same_clusters, told_ids
from kubetally.wiring.ledger import open_ledger
from kubetally.wiring.limits import PATIENCE_SECONDS, refuse_forbidden
from kubetally.wiring.sources import MetricsServeOne, metrics_server_of, open_metrics, open_source
from kubetally.wiring.store import open_accounts


class UnusableName(RequestError):
    """An account can't be called so."""

    code = "unusable_name"

    def __init__(self, name: str, why: str) -> None:
        name = without_password(name) if "://" in name else name
        self.name, self.why = name, why
        super().__init__(f"an account can't be called {name!r}: {why}")


class UnusableId(RequestError):
    """What was given is no id that an account can have."""

    code = "unusable_id"

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(f"{text!r} is no id: give a UUID such as 7c0f6a5e-21cb-4c5d-8f0b-5a6a3f5d2b11, or none")


class ClustersNotTold(RequestError):
    """The source does not say which clusters it answers for; `why` is what it said instead."""

    code = "clusters_not_told"

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"which clusters the source answers for is not known: {why}; name one with --cluster-id")


@dataclass(frozen=True, slots=True)
class Stated:
    """What a person states of an account. None: nothing; an empty text, in a change: none from now on.

    id: of a new account, where it has one elsewhere already; it never changes.
    url, prometheus_url: with user and password in them, if any. token, headers: for the source at `url`.
    """

    name: str | None = None
    url: str | None = field(default=None, repr=False)
    prometheus_url: str | None = field(default=None, repr=False)
    cluster_id: str | None = None
    currency: str | None = None
    tenant: str | None = None
    context: str | None = None
    token: str | None = field(default=None, repr=False)
    headers: dict[str, str] | None = field(default=None, repr=False)
    prometheus_token: str | None = field(default=None, repr=False)
    prometheus_headers: dict[str, str] | None = field(default=None, repr=False)
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """The accounts as they are kept now, and what a person should know of them. `done`: what else was changed."""

    accounts: list[Account]
    warnings: list[str]
    done: str | None = None


def remembered(names: Sequence[str], settings: Settings) -> list[AccountCluster]:
    """The accounts of these names or ids as clusters, each once; without names, all that are Kubernetes clusters.

    Raises: AccountNotFound, AmbiguousAccount, NotACluster, StoreError.
    """
    if not names and not settings.database_url and not is_there(settings.home_folder / "kubetally.db"):
        return []  # who never added an account has no database, and needs none
    with open_accounts(settings) as accounts:
        living = tuple(accounts.all())
        found = [accounts.find(name) for name in names] if names else living
        currency = accounts.organization().currency
    chosen = {account.id: account for account in found if names or account.type is AccountType.KUBERNETES_CNR}
    for account in chosen.values():
        if account.type is not AccountType.KUBERNETES_CNR:
            raise NotACluster(account.id, account.type)
    return [AccountCluster(account, living, currency) for account in chosen.values()]


def add_accounts(stated: Stated, settings: Settings, *, all_clusters: bool = False) -> Change:
    """Keep a new account, or one for each cluster of its source, NAME-ID.

    The source need not be alive, but to tell its clusters.
    Raises: RequestError, AddressRefused, ClustersNotTold, AccountExists, StoreError.
    """
    with open_ledger(settings) as ledger:
        accounts = ledger.accounts
        organization, living = accounts.organization(), accounts.all()
        account_id = _new_id() if stated.id is None else _checked_id(stated.id)
        new = _applied(Account(account_id, organization.id, "", AccountType.KUBERNETES_CNR), stated)
        if not all_clusters and any(account.name == new.name for account in living):
            raise AccountExists(new.name, organization.name)  # before anybody waits for a source
        about, warnings = asyncio.run(_look_at(new, living, settings))
        wanted = _one_each(new, about, warnings) if all_clusters else [new]
        warnings += _doubts(wanted[0], about)
        ids = told_ids(wanted, about, living, settings)
        for account in wanted:
            warnings += [*_same_metrics(account, living, settings), *same_clusters(account, about, living, ids)]
        before = [account for new in wanted for account in accounts.removed(new.id) if account.id == new.id]
        if before and wanted[0].currency is None:
            wanted = [replace(wanted[0], currency=before[0].currency)]  # its days are in it
        added = accounts.add_all(wanted)
        done = None
        if before and added[0].currency != before[0].currency:
            try:
                done = change_currency(ledger, added[0], added[0].currency, settings)
            except CurrencyIsTold as error:  # it is added all the same
                warnings.append(str(error))
        return Change(added, list(dict.fromkeys([*warnings, *reconcile_after_change(ledger)])), done)


def update_account(name_or_id: str, stated: Stated, settings: Settings) -> Change:
    """Change what is stated of an account, and nothing else; its source is looked at where that may be another now.

    Another host in `url` is sent nothing of the log-in that the account had for the old one.
    Raises: AccountNotFound, RequestError, AddressRefused, AccountExists, CurrencyIsTold, StoreError.
    """
    with open_ledger(settings) as ledger:
        accounts, done = ledger.accounts, None
        old, living = accounts.find(name_or_id), accounts.all()
        new, warnings = _applied(old, stated), list[str]()
        if replace(new, name=old.name) != old:
            about, warnings = asyncio.run(_look_at(new, living, settings))
            ids = told_ids([new], about, living, settings)
            warnings += [*_doubts(new, about), *_same_metrics(new, living, settings)]
            warnings += same_clusters(new, about, living, ids)
        if new.name != old.name and any(account.name == new.name for account in living):
            raise AccountExists(new.name, accounts.organization().name)
        if stated.currency is not None:
            done = change_currency(ledger, old, new.currency, settings)
        # Looking took its time, and somebody may have changed something else meanwhile.
        changed = accounts.change(old.id, lambda kept: _applied(kept, stated))
        if done is not None or new.name != old.name:
            warnings += reconcile_after_change(ledger)
        return Change([changed], warnings, done)


async def _look_at(account: Account, living: Sequence[Account], settings: Settings) -> tuple[About | None, list[str]]:
    """What its source tells, and why it may tell nothing. Raises AddressRefused."""
    for url in filter(None, (account.kubecost_url, account.prometheus_url)):
        await refuse_forbidden(url, settings)
    quick = replace(
        settings,
        connect_seconds=min(settings.connect_seconds, PATIENCE_SECONDS),
        read_seconds=min(settings.read_seconds, PATIENCE_SECONDS),
        deadline_seconds=min(settings.deadline_seconds, PATIENCE_SECONDS),
        attempts=1,
    )
    cluster, about, warnings = AccountCluster(account, tuple(living)), None, []
    try:
        async with open_source(cluster, quick) as source:
            about = await source.introduce()
            if about.product is None:
                await _see_why(source)
    except AddressRefused:
        raise
    except SourceTimeout as error:
        warnings.append(f"{shown_url(account.kubecost_url or error.url)} did not answer within {error.seconds:g} s")
    except KubetallyError as error:  # it may be mended later, and until then `costs` says the same
        warnings.append(str(error))
    if account.prometheus_url is not None:
        try:
            async with open_metrics(cluster, quick) as metrics:
                if metrics is not None:
                    await metrics.introduce(SystemClock().now())
        except MetricsServeOne:
            pass  # `_same_metrics` tells it of all accounts at once
        except KubetallyError as error:
            warnings.append(str(error))
    return about, warnings


async def _see_why(source: CostModelSource) -> None:
    """Ask what costs are asked by, of a source that told nothing of itself. Raises SourceError, as that would."""
    hour = whole_hour(SystemClock().now())
    await source.client.allocations(Window(hour - HOUR, hour))


def _applied(account: Account, stated: Stated) -> Account:
    """The account with what is stated. Raises UnusableName, InvalidSourceUrl, InvalidCredential, InvalidCurrency."""
    given = {name: getattr(stated, name) for name in ("cluster_id", "tenant", "context", "currency")}
    changes: dict[str, Any] = {name: text.strip() or None for name, text in given.items() if text is not None}
    if changes.get("currency"):
        changes["currency"] = currency_code(changes["currency"])
    if stated.name is not None:
        changes["name"] = _checked_name(stated.name)
    changes["kubecost_url"], changes["credentials"] = _place(
        account.kubecost_url, account.credentials, stated.url, stated.token, stated.headers
    )
    changes["prometheus_url"], changes["prometheus_credentials"] = _place(
        account.prometheus_url,
        account.prometheus_credentials,
        stated.prometheus_url,
        stated.prometheus_token,
        stated.prometheus_headers,
    )
    new = replace(account, **changes)
    if new.credentials != account.credentials or new.prometheus_credentials != account.prometheus_credentials:
        return replace(new, locked=None)  # what nobody could read is replaced
    return new


def _place(
    old_url: str | None, old: Credentials, url: str | None, token: str | None, headers: Mapping[str, str] | None
) -> tuple[str | None, Credentials]:
    """A URL without userinfo, and the credentials that go with it: of two log-ins, the token.

    Raises: InvalidSourceUrl, InvalidCredential.
    """
    place, own = old_url, old
    if url is not None:
        access = Access.parse(url) if url.strip() else None
        place = access.url if access else None
        if access is None or old_url is None or not _may_have_the_same_log_in(access.url, old_url):
            own = Credentials()
        if access is not None and access.credentials_in_url:
            own = replace(own, token=None, user=access.user, password=access.password)
    if token is not None:
        own = replace(own, token=token.strip() or None, user=None, password=None)
    if headers is not None:
        own = replace(own, headers=dict(headers))
    Access.parse(place or "http://unstated", token=own.token, headers=own.headers)
    return place, own


def _may_have_the_same_log_in(url: str, old_url: str) -> bool:
    """Whether what was given for the old URL may be sent to the new one: to the same host, and never in plain now."""
    new, old = httpx.URL(url), httpx.URL(old_url)
    return new.host == old.host and new.scheme in {old.scheme, "https"}


def _new_id() -> str:
    return str(uuid.uuid4())


def _checked_id(text: str) -> str:
    """An id as the API takes it. Raises UnusableId."""
    try:
        found = uuid.UUID(text.strip())
    except ValueError:
        raise UnusableId(text) from None
    if str(found) != text.strip().lower():
        raise UnusableId(text)
    return str(found)


def _checked_name(name: str) -> str:
    name = name.strip()
    if not name or not name.isprintable():
        raise UnusableName(name, "write letters, and no control characters")
    if name.startswith("-") or "://" in name:
        raise UnusableName(name, "it would be taken for an option or a URL")
    with suppress(ValueError):
        uuid.UUID(name)
        raise UnusableName(name, "it would be taken for an id; give an id with --id")
    return name


def _one_each(account: Account, about: About | None, warnings: Sequence[str]) -> list[Account]:
    """An account for each cluster that the source answers for. Raises ClustersNotTold."""
    ids = () if about is None else about.cluster_ids or tuple(filter(None, (about.cluster_id,)))
    if not ids:
        raise ClustersNotTold("; ".join(warnings) or "it does not list them")
    found = [replace(account, id=_new_id(), name=_checked_name(f"{account.name}-{one}"), cluster_id=one) for one in ids]
    for name, count in Counter(one.name for one in found).items():
        if count > 1:
            raise UnusableName(name, "two clusters of the source would be; add them one by one with --cluster-id")
    return found


def _doubts(account: Account, about: About | None) -> Iterator[str]:
    """What does not go together, in the account or between it and what its source tells."""
    if account.kubecost_url and account.context:
        yield "the account has a URL and a context: the URL comes first"
    if about is None:
        return
    if about.product is None:
        yield "its source does not tell what it is: see `kubetally doctor`"
    ids = about.cluster_ids
    if account.cluster_id is None and len(ids) > 1:
        yield f"its source answers for {', '.join(ids)}: choose one with --cluster-id, or add them with --all-clusters"
    if account.cluster_id is not None and ids and account.cluster_id not in ids:
        yield f"its source knows no cluster {account.cluster_id!r}, only {', '.join(ids)}"
    if account.currency and about.currency and account.currency != about.currency:
        yield f"its source counts in {about.currency}, not in {account.currency} as stated, and nothing is converted"


def _same_metrics(account: Account, living: Iterable[Account], settings: Settings) -> Iterator[str]:
    """The accounts that would count the same metrics once more, or lose theirs to the doubt whose they are."""
    mine = metrics_server_of(account, settings)
    beside = [
        other
        for other in living
        if mine is not None
        and other.id != account.id
        and other.type is AccountType.KUBERNETES_CNR
        and metrics_server_of(other, settings) == mine
    ]
    unchosen = [one for one in (account, *beside) if not (one.tenant or one.cluster_id)]
    if beside and unchosen:
        names = ", ".join(repr(one.name) for one in unchosen)
        yield (
            f"{len(beside) + 1} accounts have the same server of metrics, and nothing tells which are of {names}: from "
            "now on no fee is known of these until each states --tenant or --cluster-id"
        )
    for other in beside:
        both = (account, other)
        if not any(one in unchosen for one in both) and len({(one.tenant, one.cluster_id) for one in both}) == 1:
            yield (
                f"accounts {account.name!r} and {other.name!r} read the same metrics, of the same server, tenant and "
                "cluster id: what only metrics tell, such as the management fee, counts twice in a sum of both"
            )
