"""Where accounts are stored. All calls block."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol

from kubetally.domain.access import OPERATOR_NAME
from kubetally.domain.account import (
    DEFAULT_ORGANIZATION,
    Account,
    AccountPlace,
    AccountType,
    ListedAccount,
    Organization,
    qualified_name,
)
from kubetally.domain.errors import NotFound, RequestError, SourceError
from kubetally.domain.nearest import did_you_mean, nearest

_MAX_NAMED = 3
_SIMILAR_IDS = 0.8  # ids are alike by chance: all have four dashes and the same sixteen figures


class AccountNotFound(NotFound):
    """No account has this name or id. `names`, `ids`: those of existing accounts, to suggest one; None if unknown.

    is_removed: one had it.
    """

    code = "account_not_found"

    def __init__(
        self, name: str, *, names: Sequence[str] | None = None, ids: Iterable[str] = (), is_removed: bool = False
    ) -> None:
        self.name, hint = name, "`kubetally accounts list` lists all"
        if is_removed:
            self.nearest: Sequence[str] = ()
            super().__init__(
                f"account {name!r} was removed: `kubetally accounts list --removed` shows its id and its stored days, "
                "`kubetally accounts add NAME --id ID` uses them again"
            )
            return
        if names is not None and not names:
            hint = "add it with `kubetally accounts add NAME --url URL`"
        self.nearest = (nearest(name, names or ()) or nearest(name, ids, similarity=_SIMILAR_IDS))[:_MAX_NAMED]
        meant = did_you_mean([repr(other) for other in self.nearest])
        super().__init__(f"there is no account {name!r}{meant}: {hint}")


class AmbiguousAccount(RequestError):
    """Accounts of several organizations have this name. organizations: the names of these, by id of the account."""

    code = "ambiguous_account"

    def __init__(self, name: str, organizations: Mapping[str, str]) -> None:
        self.name = name
        named = sorted(
            f"{qualified_name(organization=its, name=name)} (id {id_})" for id_, its in organizations.items()
        )
        super().__init__(f"several accounts are called {name!r}: give one of {', '.join(named)}")


def account_exists(name: str, *, organization: str) -> RequestError:
    """The organization has an account of this name already."""
    return RequestError(
        f"account {name!r} already exists in organization {organization!r}. Nothing was changed; choose another name, "
        f"or change it with `kubetally accounts update {name}`",
        code="account_exists",
    )


def account_id_taken(account_id: str, *, name: str) -> RequestError:
    """An account has this id already."""
    return RequestError(
        f"the id {account_id} is that of account {name!r}: give another, or omit --id", code="account_id_taken"
    )


SET_AGAIN = "`kubetally accounts update NAME` with `--token-file FILE`, `--header` or `--url http://USER:PASSWORD@HOST`"


def locked_words(account: str, *, origin: str) -> str:
    """That credentials can't be decrypted, and what to do; `origin` says where the keys are."""
    return (
        f"the credentials of account {account!r} can't be decrypted with the keys in {origin}. Restore their key from "
        "the backup of the keys, after the present one (KUBETALLY_KEYS, or a further line of the file). If it is lost, "
        f"set the credentials again ({SET_AGAIN}), or remove the account and add it again"
    )


def credentials_locked(account: str, *, origin: str) -> SourceError:
    """A source can't be asked, because its credentials can't be decrypted."""
    return SourceError(locked_words(account, origin=origin), code="credentials_locked")


class NotACluster(NotFound):
    """The account is not a Kubernetes cluster."""

    code = "not_a_cluster"

    def __init__(self, account_id: str, kind: AccountType) -> None:
        self.account_id, self.kind = account_id, kind
        super().__init__(f"account {account_id} is of type {kind}: only {AccountType.KUBERNETES_CNR} has costs here")


class Accounts(Protocol):
    """Accounts. Names are unique among those of an organization that are not removed. Raises StoreError.

    by: who makes a change, for the audit log.
    """

    def organization(self, name_or_id: str = DEFAULT_ORGANIZATION) -> Organization:
        """See `Organizations.find`."""

    def add(self, account: Account, *, by: str = OPERATOR_NAME) -> Account:
        """Store a new account, created now (in whole seconds) unless it has a time. Raises RequestError, NotFound."""

    def add_all(self, accounts: Sequence[Account], *, by: str = OPERATOR_NAME) -> list[Account]:
        """Store several new accounts, all or none. A removed one may be added again under its id. Raises as `add`."""

    def change(self, account_id: str, apply: Callable[[Account], Account], *, by: str = OPERATOR_NAME) -> Account:
        """Replace an account by the result of `apply`, atomically; otherwise as `update`."""

    def find(self, name_or_id: str) -> Account:
        """An account by its id, else by its name, else by `organization/name`.

        Raises: AccountNotFound, AmbiguousAccount.
        """

    def all(self, organization_id: str | None = None) -> list[Account]:
        """All accounts that are not removed, by name in the order of code points; their credentials are decrypted."""

    def find_all(self, ids: Collection[str]) -> list[Account]:
        """The accounts with these ids that are not removed, by name; only their credentials are decrypted."""

    def places(self) -> list[AccountPlace]:
        """All accounts that are not removed, by name, without credentials; nothing is decrypted."""

    def removed(self, name_or_id: str | None = None) -> list[Account]:
        """Removed accounts, all or those of an id or name, by name and time of removal."""

    def listed(self) -> list[ListedAccount]:
        """All accounts, removed ones too, by id."""

    def update(self, account: Account) -> Account:
        """Replace everything but the id, organization and time of creation. Raises AccountNotFound, RequestError."""

    def remove(self, name_or_id: str, *, by: str = OPERATOR_NAME) -> None:
        """Mark an account as deleted and forget its credentials; its history stays, its name is free.

        Works without the key of the credentials. Raises AccountNotFound, AmbiguousAccount.
        """
