"""What the audit log has of accounts, without their secrets."""

from typing import Any

from kubetally.domain.account import Account, Credentials


def fields_of(account: Account) -> dict[str, Any]:
    """What the audit log has of an account: of its credentials only whether there are any."""
    urls = {
        name: None if (url := getattr(account, name)) is None else str(url)
        for name in ("kubecost_url", "prometheus_url")
    }
    names = ("name", "tenant", "cluster_id", "currency", "context")
    return {
        "type": account.type.value,
        **{name: getattr(account, name) for name in names},
        **{name: None if url is None else str(url) for name, url in urls.items()},
        "credentials": _state_of(account.credentials),
        "prometheus_credentials": _state_of(account.prometheus_credentials),
    }


def fields_after(old: Account, new: Account) -> dict[str, Any]:
    """The fields of a changed account, which say so where credentials replaced others."""
    fields = fields_of(new)
    for name in ("credentials", "prometheus_credentials"):
        before, after = getattr(old, name), getattr(new, name)
        if not before.is_empty and not after.is_empty and before != after:
            fields[name] = "replaced"
    return fields


def _state_of(credentials: Credentials) -> str:
    return "none" if credentials.is_empty else "set"
