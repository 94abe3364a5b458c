"""Adding and changing accounts; problems of their sources are warnings."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from kubetally.domain.account import Account, AccountType, AnyAccount, Organization
from kubetally.domain.errors import NotFound, RequestError
from kubetally.domain.source_url import SourceUrl
from kubetally.ledger.accounts.currency import change_currency
from kubetally.ledger.accounts.draft import AccountDraft, apply_draft, check_id, check_name, new_id, unusable_name
from kubetally.ledger.accounts.probe import probe_sources
from kubetally.ledger.accounts.reconcile import reconcile_after_change
from kubetally.ledger.accounts.same_cluster import find_cluster_ids, warn_of_same_cluster, warn_of_shared_prometheus
from kubetally.ledger.accounts.snapshot import read_places
from kubetally.ledger.ports.account_days import CurrencyConflict
from kubetally.ledger.ports.account_sources import AccountSources
from kubetally.ledger.ports.accounts import account_exists
from kubetally.ledger.ports.clusters import AccountCluster
from kubetally.ledger.ports.sources import About
from kubetally.ledger.stores import Ledger
from kubetally.tasks import run


@dataclass(frozen=True, slots=True)
class AccountChange:
    """The accounts as stored now, and warnings. relabelled: how stored days were changed."""

    accounts: list[Account]
    warnings: list[str]
    relabelled: str | None = None


@dataclass(frozen=True, slots=True)
class AccountEditor:
    """Adds and changes accounts. default_currency, default_prometheus: of settings, for accounts that have none."""

    ledger: Ledger
    sources: AccountSources
    default_currency: str | None = None
    default_prometheus: SourceUrl | None = None

    def add(self, draft: AccountDraft, *, organization: str | None = None, all_clusters: bool = False) -> AccountChange:
        """Store a new account; all_clusters: one for each cluster of its source, called NAME-ID.

        organization: its name or id; by default that of the removed account whose id it has, else the default one.
        The source need not run, unless it has to list its clusters.
        Raises: NotFound; RequestError, StoreError; SourceError with the code `address_refused`.
        """
        accounts = self.ledger.accounts
        id_ = new_id() if draft.id is None else check_id(draft.id)
        removed = next((account for account in accounts.removed(id_) if account.id == id_), None)
        owner = self._find_owner(organization, removed)
        empty = Account(
            id_, owner.id, "", AccountType.KUBERNETES_CNR, default_currency=owner.currency, organization=owner.name
        )
        new = apply_draft(empty, draft, self.sources)
        existing = read_places(accounts, [self.default_prometheus, new.prometheus_url])
        if not all_clusters and _is_taken(new, existing):
            raise account_exists(new.name, organization=owner.name)  # before waiting for a source
        about, warnings = run(probe_sources(self.sources, AccountCluster(new, existing), self.ledger.clock.now()))
        wanted = _split_by_cluster(new, about, warnings) if all_clusters else [new]
        warnings += _find_contradictions(wanted[0], about)
        warnings += self._warn_of_others(wanted, about, existing)
        if removed is not None:
            warnings += self._warn_of_move(removed, owner)
            if new.currency is None:
                wanted = [replace(new, currency=removed.currency)]  # that of its stored days
        added = accounts.add_all(wanted)
        relabelled = None
        if removed is not None and _currency_of(added[0]) != _currency_of(removed):
            try:
                relabelled = change_currency(
                    self.ledger, added[0], currency=added[0].currency, default=self.default_currency
                )
            except CurrencyConflict as error:  # the account was added all the same
                warnings.append(str(error))
        warnings += reconcile_after_change(self.ledger)
        return AccountChange(added, list(dict.fromkeys(warnings)), relabelled)

    def _find_owner(self, organization: str | None, removed: Account | None) -> Organization:
        """The organization that was chosen, else that of a removed account that is added again, if it still exists."""
        accounts = self.ledger.accounts
        if organization is not None:
            return accounts.organization(organization)
        if removed is not None:
            with suppress(NotFound):
                return accounts.organization(removed.organization_id)
        return accounts.organization()

    def _warn_of_move(self, removed: Account, owner: Organization) -> Iterator[str]:
        """A warning, if a removed account that is added again changes its organization."""
        if removed.organization_id != owner.id:
            before = next(account.organization for account in self.ledger.accounts.listed() if account.id == removed.id)
            yield f"the stored days of the account move from organization {before!r} to {owner.name!r}"

    def update(self, name_or_id: str, draft: AccountDraft) -> AccountChange:
        """Change the fields that were entered, and nothing else.

        Changing the host of `url` clears stored credentials.
        Raises: AccountNotFound, RequestError, CurrencyConflict, StoreError; SourceError with the code
        `address_refused`.
        """
        accounts, relabelled = self.ledger.accounts, None
        old, warnings = accounts.find(name_or_id), list[str]()
        new = apply_draft(old, draft, self.sources)
        existing = read_places(accounts, [self.default_prometheus, new.prometheus_url])
        if replace(new, name=old.name) != old:
            about, warnings = run(probe_sources(self.sources, AccountCluster(new, existing), self.ledger.clock.now()))
            warnings += _find_contradictions(new, about)
            warnings += self._warn_of_others([new], about, existing)
        if new.name != old.name and _is_taken(new, existing):
            raise account_exists(new.name, organization=accounts.organization(new.organization_id).name)
        if draft.currency is not None:
            relabelled = change_currency(self.ledger, old, currency=new.currency, default=self.default_currency)
        # Somebody may have changed something else while its source was asked.
        changed = accounts.change(old.id, lambda stored: apply_draft(stored, draft, self.sources))
        if relabelled is not None or new.name != old.name:
            warnings += reconcile_after_change(self.ledger)
        return AccountChange([changed], warnings, relabelled)

    def _warn_of_others(
        self, new: Sequence[Account], about: About | None, existing: tuple[AnyAccount, ...]
    ) -> list[str]:
        ids = find_cluster_ids(self.sources, new, about=about, accounts=self.ledger.accounts, existing=existing)
        warnings = list[str]()
        for account in new:
            warnings += warn_of_shared_prometheus(account, existing, self.sources)
            warnings += warn_of_same_cluster(account, about, existing, ids)
        return warnings


def _currency_of(account: Account) -> str:
    """What it counts in, unless its source or the settings say otherwise."""
    return account.currency or account.default_currency


def _is_taken(new: Account, existing: Sequence[AnyAccount]) -> bool:
    """Whether another account of its organization has its name."""
    return any(other.name == new.name and other.organization_id == new.organization_id for other in existing)


def _split_by_cluster(account: Account, about: About | None, warnings: Sequence[str]) -> list[Account]:
    """An account for each cluster that the source answers for. Raises RequestError."""
    ids = () if about is None else about.cluster_ids or tuple(filter(None, (about.cluster_id,)))
    if not ids:
        why = "; ".join(warnings) or "it does not list them"
        raise RequestError(
            f"the clusters of the source are unknown: {why}; name one with --cluster-id", code="clusters_not_told"
        )
    accounts = [
        replace(account, id=new_id(), name=check_name(f"{account.name}-{cluster_id}"), cluster_id=cluster_id)
        for cluster_id in ids
    ]
    for name, count in Counter(account.name for account in accounts).items():
        if count > 1:
            raise unusable_name(name, "two clusters of the source would be; add them one by one with --cluster-id")
    return accounts


def _find_contradictions(account: Account, about: About | None) -> Iterator[str]:
    """Warnings about contradictions within the account, and between it and its source."""
    if account.kubecost_url and account.context:
        yield "the account has a URL and a context: the URL is used"
    if about is None:
        return
    if about.product is None:
        yield "its source does not identify itself: see `kubetally doctor`"
    ids = about.cluster_ids
    if account.cluster_id is None and len(ids) > 1:
        yield f"its source answers for {', '.join(ids)}: choose one with --cluster-id, or add them with --all-clusters"
    if account.cluster_id is not None and ids and account.cluster_id not in ids:
        yield f"its source has no cluster {account.cluster_id!r}, only {', '.join(ids)}"
    if account.currency and about.currency and account.currency != about.currency:
        yield f"its source counts in {about.currency}, the account in {account.currency}; amounts are not converted"
