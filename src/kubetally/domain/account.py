"""Organizations and the cloud accounts that belong to them."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Final

from kubetally.domain.money import DEFAULT_CURRENCY
from kubetally.domain.source_url import SourceUrl

DEFAULT_ORGANIZATION: Final = "default"
"""The name of the organization that always exists."""

_TENANT_HEADER = "x-scope-orgid"  # of Mimir, Cortex and proxies before them


class AccountType(StrEnum):
    """The kinds of cloud account that the existing API knows; only kubernetes_cnr has costs here."""

    AWS_CNR = "aws_cnr"
    ALIBABA_CNR = "alibaba_cnr"
    AZURE_CNR = "azure_cnr"
    AZURE_TENANT = "azure_tenant"
    KUBERNETES_CNR = "kubernetes_cnr"
    ENVIRONMENT = "environment"
    GCP_CNR = "gcp_cnr"
    NEBIUS = "nebius"
    DATABRICKS = "databricks"


@dataclass(frozen=True, slots=True)
class Organization:
    """Who accounts belong to. `id` is a lower-case UUID4."""

    id: str
    name: str
    currency: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Credentials:
    """The log-in for an account's source; encrypted where it is stored, and in no repr."""

    token: str | None = field(default=None, repr=False)
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def is_empty(self) -> bool:
        """Whether there are no credentials."""
        return not (self.token or self.user or self.password or self.headers)


@dataclass(frozen=True, slots=True)
class ListedAccount:
    """An account as other programs see it, also once removed; `removed_at` is None while it is in use.

    organization: its name; its id is no part of what other programs see.
    """

    id: str
    name: str
    organization: str
    removed_at: datetime | None = None
    organization_id: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Account:
    """A cluster with a name, stored in the database.

    id:              lower-case UUID4, also the `cloud_account_id` of the existing APIs.
    kubecost_url:    where its OpenCost or Kubecost is; None where it has to be discovered.
    prometheus_url:  its Prometheus or Thanos, if any. tenant: the value of its tenant label there.
    cluster_id:      which cluster of a source that answers for several.
    currency:        what the source counts in, where it does not say; None is the organization's.
    context:         a kubeconfig context through whose API server the source is reached.
    credentials:     for the source of costs; those for its Prometheus are its own.
    locked:          where the keys are, if none of them decrypts the credentials, which are missing here then.
    default_currency: of its organization, counted in where neither source nor account says.
    organization:    the name of its organization.
    """

    id: str
    organization_id: str
    name: str
    type: AccountType
    kubecost_url: SourceUrl | None = None
    prometheus_url: SourceUrl | None = None
    tenant: str | None = None
    cluster_id: str | None = None
    currency: str | None = None
    context: str | None = None
    credentials: Credentials = field(default_factory=Credentials, repr=False)
    prometheus_credentials: Credentials = field(default_factory=Credentials, repr=False)
    locked: str | None = None
    default_currency: str = DEFAULT_CURRENCY
    organization: str = DEFAULT_ORGANIZATION
    created_at: datetime | None = None
    deleted_at: datetime | None = None

    @property
    def prometheus_tenant(self) -> str | None:
        """The tenant that one of its headers chooses in its own Prometheus."""
        headers = self.prometheus_credentials.headers.items()
        return next((value for name, value in headers if name.lower() == _TENANT_HEADER), None)

    @property
    def place(self) -> str:
        """The URL of its source without credentials, else its name."""
        return str(self.kubecost_url or self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPlace:
    """An account and where its sources are, without credentials.

    prometheus_tenant: as `Account.prometheus_tenant`, which is encrypted; `read_places` finds it where it matters.
    """

    id: str
    organization_id: str
    name: str
    type: AccountType
    kubecost_url: SourceUrl | None = None
    context: str | None = None
    prometheus_url: SourceUrl | None = None
    tenant: str | None = None
    cluster_id: str | None = None
    prometheus_tenant: str | None = None
    organization: str = DEFAULT_ORGANIZATION

    @property
    def has_source(self) -> bool:
        """Whether it names a source of its own."""
        return bool(self.kubecost_url or self.context)


AnyAccount = Account | AccountPlace


def account_labels(accounts: Iterable[AnyAccount | ListedAccount]) -> dict[str, str]:
    """What accounts are called beside each other on screen, by id.

    By their names, those of one name as `organization/name`; removed ones are marked.
    """
    by_name = defaultdict[str, list[AnyAccount | ListedAccount]](list)
    for account in accounts:
        is_removed = isinstance(account, ListedAccount) and account.removed_at is not None
        by_name[f"{account.name} (removed)" if is_removed else account.name].append(account)
    return {
        account.id: name if len(same) == 1 else qualified_name(organization=account.organization, name=name)
        for name, same in by_name.items()
        for account in same
    }


def qualified_name(*, organization: str, name: str) -> str:
    """A name of an account with that of its organization, as commands understand it."""
    return f"{organization}/{name}"


@dataclass(frozen=True, slots=True)
class StoredDays:
    """How many days are stored, and which is the first and which the last."""

    count: int
    first: date | None
    last: date | None


@dataclass(frozen=True, slots=True)
class AccountWithDays:
    """An account, removed or not, and its stored days."""

    account: Account
    stored: StoredDays
