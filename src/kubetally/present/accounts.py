"""Accounts as tables and as JSON, without credentials."""

from collections.abc import Sequence

from kubetally.domain.account import Account, AccountWithDays, StoredDays

Json = dict[str, object]


def print_accounts(accounts: Sequence[Account]) -> None:
    """Print names, ids and sources of accounts, and their organizations if there are several."""
    from kubetally.present.grid import Grid
    from kubetally.present.screen import console, print_grid, say  # bodies need no screen

    out = console()
    if not accounts:
        say(out, "No account yet: kubetally accounts add NAME --url URL")
        return
    is_one = len({account.organization_id for account in accounts}) == 1
    grid = Grid(["name", "id", *([] if is_one else ["organization"]), "source"], [])
    for account in accounts:
        organization = [] if is_one else [account.organization]
        grid.add([account.name, account.id, *organization, _source(account)])
    print_grid(out, grid)


def print_removed(accounts: Sequence[AccountWithDays]) -> None:
    """Print removed accounts, and how many of their days are stored."""
    from kubetally.present.grid import Grid
    from kubetally.present.screen import console, print_grid, say

    out = console()
    if not accounts:
        say(out, "No account was removed.")
        return
    grid = Grid(["name", "id", "removed"], ["stored days"])
    for removed in accounts:
        account = removed.account
        grid.add([account.name, account.id, f"{account.deleted_at:%Y-%m-%d %H:%M} UTC"], [str(removed.stored.count)])
    print_grid(out, grid)


def _source(account: Account) -> str:
    place = str(account.kubecost_url or "") or (f"context {account.context}" if account.context else "to be discovered")
    notes = [f"cluster {account.cluster_id}"] if account.cluster_id else []
    notes += [f"metrics {account.prometheus_url}"] if account.prometheus_url else []
    notes += [f"tenant {account.tenant}"] if account.tenant else []
    notes += ["credentials can't be decrypted"] if account.locked else []
    return ", ".join([place, *notes])


def stored_days_words(stored: StoredDays) -> str:
    """`3 stored days (2026-11-20 to 2026-11-22)`."""
    if not stored.count:
        return "No stored days"
    if stored.count == 1:
        return f"1 stored day ({stored.first})"
    return f"{stored.count} stored days ({stored.first} to {stored.last})"


def account_body(account: Account) -> Json:
    """The body of an account; of its credentials only whether there are any."""
    return {
        "id": account.id,
        "name": account.name,
        "type": account.type.value,
        "organization_id": account.organization_id,
        "kubecost_url": str(account.kubecost_url) if account.kubecost_url else None,
        "has_credentials": not account.credentials.is_empty or account.locked is not None,
        "credentials_readable": account.locked is None,
        "prometheus_url": str(account.prometheus_url) if account.prometheus_url else None,
        "prometheus_has_credentials": not account.prometheus_credentials.is_empty,
        "tenant": account.tenant,
        "cluster_id": account.cluster_id,
        "currency": account.currency,
        "context": account.context,
        "created_at": account.created_at.isoformat() if account.created_at else None,
    }


def removed_body(removed: AccountWithDays) -> Json:
    """The body of a removed account, with its stored days."""
    account, stored = removed.account, removed.stored
    return {
        "id": account.id,
        "name": account.name,
        "organization_id": account.organization_id,
        "removed_at": account.deleted_at.isoformat() if account.deleted_at else None,
        "stored_days": stored.count,
        "first_day": stored.first.isoformat() if stored.first else None,
        "last_day": stored.last.isoformat() if stored.last else None,
    }
