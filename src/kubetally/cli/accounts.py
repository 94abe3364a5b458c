"""`kubetally accounts`: clusters by name."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from kubetally.cli import exits
from kubetally.cli.account_options import AccountOptions
from kubetally.cli.answer_file import warn
from kubetally.cli.option_groups import with_option_groups
from kubetally.cli.options import OfOrganization, ScreenOrJson, ScreenOrJsonFormat
from kubetally.cli.start import start as start_up
from kubetally.domain.errors import RequestError
from kubetally.present.accounts import account_body, print_accounts, print_removed, removed_body, stored_days_words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kubetally.ledger.accounts.register import AccountChange

accounts = typer.Typer(
    name="accounts", help="Manage accounts: clusters by name.", no_args_is_help=True, rich_markup_mode=None
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="What you call the cluster.")]
NameOrId = Annotated[str, typer.Argument(metavar="ACCOUNT", help="Name or id of an account.")]
AllClusters = Annotated[
    bool, typer.Option("--all-clusters", help="An account for each cluster of the source, called NAME-ID.")
]
AccountId = Annotated[
    str | None, typer.Option("--id", metavar="UUID", help="Its id elsewhere, such as the cloud account id of OptScale.")
]
NewName = Annotated[str | None, typer.Option("--name", metavar="NAME", help="A new name.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
RemovedNameOrId = Annotated[str, typer.Argument(metavar="ACCOUNT", help="Name or id of a removed account.")]


@accounts.command()
@with_option_groups
def add(
    *,
    name: Name,
    options: AccountOptions,
    all_clusters: AllClusters = False,
    account_id: AccountId = None,
    organization: OfOrganization = None,
) -> None:
    """Add an account.

    Prints its id. The source need not be running: problems with it are warnings on standard error.

    \b
    Examples:
      kubetally accounts add prod --url http://opencost.prod.example:9003
      kubetally accounts add staging --context staging
    """
    from kubetally.wiring.accounts import open_editor

    if all_clusters and (options.cluster_id is not None or account_id is not None):
        raise RequestError(
            "--cluster-id and --id are of one cluster: give --all-clusters without them", code="one_cluster_or_all"
        )
    draft = options.draft(name, account_id=account_id)
    with open_editor(start_up()) as editor:
        change = editor.add(draft, organization=organization, all_clusters=all_clusters)
    _print_notes(change)
    for account in change.accounts:
        print(account.id)


@accounts.command(name="list")
def list_(
    removed: Annotated[
        bool, typer.Option("--removed", help="Removed accounts, and how many of their days are stored.")
    ] = False,
    output: ScreenOrJsonFormat = ScreenOrJson.TABLE,
) -> None:
    """List accounts.

    \b
    Example:
      kubetally accounts list
    """
    if removed:
        from kubetally.ledger.accounts.removal import list_removed
        from kubetally.wiring.ledger import open_ledger

        with open_ledger(start_up()) as ledger:
            removed_accounts = list_removed(ledger)
        if output is ScreenOrJson.JSON:
            print(json.dumps([removed_body(account) for account in removed_accounts], indent=2))
        else:
            print_removed(removed_accounts)
        return
    from kubetally.wiring.store import open_accounts

    with open_accounts(start_up()) as stored_accounts:
        all_accounts = stored_accounts.all()
    if output is ScreenOrJson.JSON:
        print(json.dumps([account_body(account) for account in all_accounts], indent=2))
    else:
        print_accounts(all_accounts)


@accounts.command()
def show(account: NameOrId) -> None:
    """Show one account as JSON, without its credentials.

    \b
    Example:
      kubetally accounts show prod
    """
    from kubetally.wiring.store import open_accounts

    with open_accounts(start_up()) as stored_accounts:
        print(json.dumps(account_body(stored_accounts.find(account)), indent=2))


@accounts.command()
@with_option_groups
def update(*, account: NameOrId, name: NewName = None, options: AccountOptions) -> None:
    """Change an account.

    Omitted options keep their value; an empty value clears it. Changing the host clears stored credentials.

    --currency also relabels stored days whose source states no currency; amounts are unchanged. Days whose source
    states another currency refuse the change.

    \b
    Examples:
      kubetally accounts update prod --prometheus-url http://prometheus.prod.example:9090
      kubetally accounts update prod --currency EUR
    """
    from kubetally.ledger.accounts.draft import AccountDraft
    from kubetally.wiring.accounts import open_editor

    draft = options.draft(name)
    if draft == AccountDraft():
        raise RequestError("nothing to change: see `kubetally accounts update --help`", code="nothing_to_update")
    with open_editor(start_up()) as editor:
        change = editor.update(account, draft)
    _print_notes(change)
    for changed in change.accounts:
        print(json.dumps(account_body(changed), indent=2))


@accounts.command()
def remove(account: NameOrId, yes: Yes = False) -> None:
    """Remove an account and its credentials.

    Its stored days stay until `kubetally accounts purge` deletes them. An account that is added with --id and the id of
    the removed one has them again.

    \b
    Example:
      kubetally accounts remove prod
    """
    from kubetally.ledger.accounts.removal import find_account, remove_account
    from kubetally.wiring.ledger import open_ledger

    settings = start_up()
    with open_ledger(settings) as ledger:
        known = find_account(ledger, account)
    name, id_, days = known.account.name, known.account.id, stored_days_words(known.stored)
    _confirm(f"Remove account {name} and its credentials? {days} will stay in the lake.", yes=yes)
    with open_ledger(settings) as ledger:
        warnings = remove_account(ledger, id_)
    _warn(warnings)
    stays = (
        f"{days} stay in the lake: `kubetally accounts purge {id_}` deletes them, "
        f"`kubetally accounts add NAME --id {id_}` uses them again."
        if known.stored.count
        else f"It had no stored days. `kubetally accounts add NAME --id {id_}` adds it again."
    )
    print(f"Removed {name} and its credentials. {stays}", file=sys.stderr)


@accounts.command()
def purge(account: RemovedNameOrId, yes: Yes = False) -> None:
    """Delete the stored days of a removed account.

    They are deleted from the database and from the lake. Earlier versions of the lake's tables keep them until
    KUBETALLY_HISTORY_DAYS have passed.

    \b
    Example:
      kubetally accounts purge prod
    """
    from kubetally.ledger.accounts.removal import find_removed, purge_account
    from kubetally.wiring.ledger import open_ledger

    settings = start_up()
    with open_ledger(settings) as ledger:
        known = find_removed(ledger, account)
    name, id_, days = known.account.name, known.account.id, stored_days_words(known.stored)
    _confirm(f"Delete {days} of the removed account {name} ({id_})? This can't be undone.", yes=yes)
    with open_ledger(settings) as ledger:
        count, warnings = purge_account(ledger, id_)
    _warn(warnings)
    purged = "1 stored day" if count == 1 else f"{count} stored days"
    earlier = (
        f" Earlier versions of the lake's tables keep them for {settings.history_days} days (KUBETALLY_HISTORY_DAYS)."
        if count
        else ""
    )
    print(f"Deleted {purged} of {name}.{earlier}", file=sys.stderr)


@accounts.command(name="rotate-keys")
def rotate_keys() -> None:
    """Encrypt all credentials anew.

    With a new key, which becomes the first in the file of keys; if KUBETALLY_KEYS is set, with its first key.
    The other keys can be removed once every service was restarted.

    \b
    Example:
      kubetally accounts rotate-keys
    """
    from kubetally.wiring.store import rotate_keys as rotate

    count, origin = rotate(start_up())
    many = "1 account is" if count == 1 else f"{count} accounts are"
    print(f"{many} encrypted with the first key of {origin}; the other keys can be removed.")


def _confirm(question: str, *, yes: bool) -> None:
    """Ask on a terminal, unless `yes`. Raises typer.Exit, if the answer is no."""
    if yes or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return
    if not typer.confirm(question, err=True):
        print("Nothing was changed.", file=sys.stderr)
        raise typer.Exit(exits.DECLINED)


def _print_notes(change: "AccountChange") -> None:
    """Print warnings, and how stored days were changed, on standard error."""
    _warn(change.warnings)
    if change.relabelled:
        print(change.relabelled, file=sys.stderr)


def _warn(warnings: "Iterable[str]") -> None:
    for warning in warnings:
        warn(warning)
