"""Changes that a person enters for an account, checked and applied."""

import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from kubetally.domain.account import Account, Credentials
from kubetally.domain.errors import RequestError
from kubetally.domain.money import currency_code
from kubetally.domain.source_url import SourceUrl, without_password
from kubetally.ledger.ports.account_sources import AccountSources


@dataclass(frozen=True, slots=True)
class AccountDraft:
    """Fields that a person enters for an account. None: not entered; an empty text, in a change: cleared.

    id: of a new account that has one elsewhere already; it never changes.
    url, prometheus_url: a text is parsed at once, so that nothing holds its password as text. token, headers: for the
    source at `url`.

    Raises: InvalidSourceUrl.
    """

    name: str | None = None
    url: SourceUrl | str | None = None
    prometheus_url: SourceUrl | str | None = None
    cluster_id: str | None = None
    currency: str | None = None
    tenant: str | None = None
    context: str | None = None
    token: str | None = field(default=None, repr=False)
    headers: dict[str, str] | None = field(default=None, repr=False)
    prometheus_token: str | None = field(default=None, repr=False)
    prometheus_headers: dict[str, str] | None = field(default=None, repr=False)
    id: str | None = None

    def __post_init__(self) -> None:
        for name in ("url", "prometheus_url"):
            url = getattr(self, name)
            if isinstance(url, str):
                object.__setattr__(self, name, SourceUrl.parse(url) if url.strip() else "")


def apply_draft(account: Account, draft: AccountDraft, sources: AccountSources) -> Account:
    """The account with the fields that were entered. Raises RequestError."""
    entered = {name: getattr(draft, name) for name in ("cluster_id", "tenant", "context", "currency")}
    changes: dict[str, Any] = {name: text.strip() or None for name, text in entered.items() if text is not None}
    if changes.get("currency"):
        changes["currency"] = currency_code(changes["currency"])
    if draft.name is not None:
        changes["name"] = check_name(draft.name)
    changes["kubecost_url"], changes["credentials"] = _update_access(
        account.kubecost_url, account.credentials, url=draft.url, token=draft.token, headers=draft.headers
    )
    changes["prometheus_url"], changes["prometheus_credentials"] = _update_access(
        account.prometheus_url,
        account.prometheus_credentials,
        url=draft.prometheus_url,
        token=draft.prometheus_token,
        headers=draft.prometheus_headers,
    )
    new = replace(account, **changes)
    for credentials in (new.credentials, new.prometheus_credentials):
        sources.check_credentials(credentials)
    if new.credentials != account.credentials or new.prometheus_credentials != account.prometheus_credentials:
        return replace(new, locked=None)  # the locked credentials are replaced
    return new


def _update_access(
    old_url: SourceUrl | None,
    old: Credentials,
    *,
    url: SourceUrl | str | None,
    token: str | None,
    headers: Mapping[str, str] | None,
) -> tuple[SourceUrl | None, Credentials]:
    """A URL without a login and the credentials for it. A token replaces a user.

    url: a text is empty, and clears it. Changing the host clears stored credentials.
    """
    new_url, credentials = old_url, old
    if url is not None:
        new_url = SourceUrl(url.address) if isinstance(url, SourceUrl) else None
        if new_url is None or old_url is None or not _may_share_credentials(new_url, old_url):
            credentials = Credentials()
        if isinstance(url, SourceUrl) and url.has_login:
            credentials = replace(credentials, token=None, user=url.user, password=url.password)
    if token is not None:
        credentials = replace(credentials, token=token.strip() or None, user=None, password=None)
    if headers is not None:
        credentials = replace(credentials, headers=dict(headers))
    return new_url, credentials


def _may_share_credentials(new_url: SourceUrl, old_url: SourceUrl) -> bool:
    """Whether credentials for the old URL may be sent to the new one: the same host, with TLS if it had TLS."""
    new, old = new_url.parts, old_url.parts
    return new.hostname == old.hostname and new.scheme in {old.scheme, "https"}


def new_id() -> str:
    """An id for a new account."""
    return str(uuid.uuid4())


def check_id(text: str) -> str:
    """An id as the API takes it. Raises RequestError."""
    with suppress(ValueError):
        id_ = str(uuid.UUID(text.strip()))
        if id_ == text.strip().lower():
            return id_
    raise RequestError(
        f"{text!r} is not an id: give a UUID such as 7c0f6a5e-21cb-4c5d-8f0b-5a6a3f5d2b11, or omit --id",
        code="unusable_id",
    )


def check_name(name: str, *, of: str = "an account") -> str:
    """The name, without surrounding blanks. Raises RequestError."""
    name = name.strip()
    if not name or not name.isprintable():
        raise unusable_name(name, "use printable characters", of=of)
    if name.startswith("-") or "://" in name:
        raise unusable_name(name, "it would be read as an option or a URL", of=of)
    with suppress(ValueError):
        uuid.UUID(name)
        raise unusable_name(name, "it would be read as an id", of=of)
    return name


def unusable_name(name: str, why: str, *, of: str = "an account") -> RequestError:
    """An account, or what `of` says, can't have this name."""
    shown = without_password(name) if "://" in name else name
    return RequestError(f"{of} can't be called {shown!r}: {why}", code="unusable_name")
