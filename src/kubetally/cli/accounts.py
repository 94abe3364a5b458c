"""`kubetally accounts`: clusters by name."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kubetally.cli import exits
from kubetally.cli.options import Currency, ScreenOrJson, ScreenOrJsonFormat
from kubetally.cli.start import start as start_up
from kubetally.domain.errors import RequestError
from kubetally.present.accounts import account_body, print_accounts, print_removed, removed_body
from kubetally.present.grid import escaped

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kubetally.domain.account import StoredDays

accounts = typer.Typer(
    name="accounts", help="Manage accounts: clusters by name.", no_args_is_help=True, rich_markup_mode=None
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="What you call the cluster.")]
NameOrId = Annotated[str, typer.Argument(metavar="ACCOUNT", help="Name or id of an account.")]
Url = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="URL of its OpenCost or Kubecost; user:password@ is kept encrypted."),
]
Context = Annotated[
    str | None,
    typer.Option(
        "--context", metavar="NAME", help="In place of a URL: a kubeconfig context to find it through, or in-cluster."
    ),
]
PrometheusUrl = Annotated[
    str | None, typer.Option("--prometheus-url", metavar="URL", help="URL of its Prometheus or Thanos.")
]
Tenant = Annotated[str | None, typer.Option("--tenant", metavar="TENANT", help="Its tenant label in that Prometheus.")]
ClusterId = Annotated[
    str | None, typer.Option("--cluster-id", metavar="ID", help="Which cluster of a source that answers for several.")
]
TokenFile = Annotated[
    str | None,
    typer.Option("--token-file", metavar="FILE", help="File with a bearer token for the URL; - is standard input."),
]
Headers = Annotated[
    list[str] | None,
    typer.Option("--header", metavar="'NAME: VALUE'", help="A header for the URL; repeat for several."),
]
PrometheusTokenFile = Annotated[
    str | None, typer.Option("--prometheus-token-file", metavar="FILE", help="The same for the Prometheus.")
]
PrometheusHeaders = Annotated[
    list[str] | None, typer.Option("--prometheus-header", metavar="'NAME: VALUE'", help="The same for the Prometheus.")
]


Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask on a terminal.")]
RemovedNameOrId = Annotated[str, typer.Argument(metavar="ACCOUNT", help="Name or id of a removed account.")]


@accounts.command()
def add(
    name: Name,
    url: Url = None,
    context: Context = None,
    cluster_id: ClusterId = None,
    all_clusters: Annotated[
        bool, typer.Option("--all-clusters", help="An account for each cluster of the source, called NAME-ID.")
    ] = False,
    currency: Currency = None,
    token_file: TokenFile = None,
    header: Headers = None,
    prometheus_url: PrometheusUrl = None,
    prometheus_token_file: PrometheusTokenFile = None,
    prometheus_header: PrometheusHeaders = None,
    tenant: Tenant = None,
    account_id: Annotated[
        str | None,
        typer.Option("--id", metavar="UUID", help="Its id elsewhere, such as the cloud account id of OptScale."),
    ] = None,
) -> None:
    """Add an account.

    Prints its id. The source need not be running: problems with it are warnings on standard error.

    \b
    Examples:
      kubetally accounts add prod --url http://opencost.prod.example:9003
      kubetally accounts add staging --context staging
    """
    from kubetally.ledger.accounts.draft import AccountDraft
    from kubetally.wiring.accounts import open_editor

    if all_clusters and (cluster_id is not None or account_id is not None):
        raise RequestError(
            "--cluster-id and --id are of one cluster: give --all-clusters without them", code="one_cluster_or_all"
        )
    draft = AccountDraft(
        name=name,
        id=account_id,
        url=url,
        prometheus_url=prometheus_url,
        cluster_id=cluster_id,
        currency=currency,
        tenant=tenant,
        context=context,
        token=_token(token_file),
        headers=_headers(header),
        prometheus_token=_token(prometheus_token_file),
        prometheus_headers=_headers(prometheus_header),
    )
    with open_editor(start_up()) as editor:
        change = editor.add(draft, all_clusters=all_clusters)
    _warn(change.warnings)
    if change.relabelled:
        print(change.relabelled, file=sys.stderr)
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

    with open_accounts(start_up()) as kept:
        found = kept.all()
    if output is ScreenOrJson.JSON:
        print(json.dumps([account_body(account) for account in found], indent=2))
    else:
        print_accounts(found)


@accounts.command()
def show(account: NameOrId) -> None:
    """Show one account as JSON, without its credentials.

    \b
    Example:
      kubetally accounts show prod
    """
    from kubetally.wiring.store import open_accounts

    with open_accounts(start_up()) as kept:
        print(json.dumps(account_body(kept.find(account)), indent=2))


@accounts.command()
def update(
    account: NameOrId,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="A new name.")] = None,
    url: Url = None,
    context: Context = None,
    cluster_id: ClusterId = None,
    currency: Currency = None,
    token_file: TokenFile = None,
    header: Headers = None,
    prometheus_url: PrometheusUrl = None,
    prometheus_token_file: PrometheusTokenFile = None,
    prometheus_header: PrometheusHeaders = None,
    tenant: Tenant = None,
) -> None:
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

    draft = AccountDraft(
        name=name,
        url=url,
        prometheus_url=prometheus_url,
        cluster_id=cluster_id,
        currency=currency,
        tenant=tenant,
        context=context,
        token=_token(token_file),
        headers=_headers(header),
        prometheus_token=_token(prometheus_token_file),
        prometheus_headers=_headers(prometheus_header),
    )
    if draft == AccountDraft():
        raise RequestError("nothing to change: see `kubetally accounts update --help`", code="nothing_to_update")
    with open_editor(start_up()) as editor:
        change = editor.update(account, draft)
    _warn(change.warnings)
    if change.relabelled:
        print(change.relabelled, file=sys.stderr)
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
        found = find_account(ledger, account)
    name, id_ = found.account.name, found.account.id
    _confirm(f"Remove account {name} and its credentials? {_stored(found.stored)} will stay in the lake.", yes=yes)
    with open_ledger(settings) as ledger:
        warnings = remove_account(ledger, id_)
    _warn(warnings)
    stays = (
        f"{_stored(found.stored)} stay in the lake: `kubetally accounts purge {id_}` deletes them, "
        f"`kubetally accounts add NAME --id {id_}` uses them again."
        if found.stored.count
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
        found = find_removed(ledger, account)
    name, id_ = found.account.name, found.account.id
    _confirm(f"Delete {_stored(found.stored)} of the removed account {name} ({id_})? This can't be undone.", yes=yes)
    with open_ledger(settings) as ledger:
        days, warnings = purge_account(ledger, id_)
    _warn(warnings)
    many = "1 stored day" if days == 1 else f"{days} stored days"
    earlier = (
        f" Earlier versions of the lake's tables keep them for {settings.history_days} days (KUBETALLY_HISTORY_DAYS)."
        if days
        else ""
    )
    print(f"Deleted {many} of {name}.{earlier}", file=sys.stderr)


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
    """Ask on a terminal, unless told not to; a script is not asked. Raises typer.Exit, where the answer is no."""
    if yes or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return
    if not typer.confirm(question, err=True):
        print("Nothing was changed.", file=sys.stderr)
        raise typer.Exit(exits.DECLINED)


def _stored(stored: "StoredDays") -> str:
    if not stored.count:
        return "No stored days"
    return (
        f"1 stored day ({stored.first})"
        if stored.count == 1
        else f"{stored.count} stored days ({stored.first} to {stored.last})"
    )


def _warn(warnings: "Iterable[str]") -> None:
    for warning in warnings:
        print(f"warning: {escaped(warning)}", file=sys.stderr)


def _token(file: str | None) -> str | None:
    """The token in a file; an empty name clears it. Raises RequestError."""
    if not file:
        return file
    try:
        text = sys.stdin.read() if file == "-" else Path(file).expanduser().read_text("utf-8")
    except OSError as error:
        raise _unreadable_token(file, error.strerror or "unreadable") from error
    except UnicodeDecodeError:
        raise _unreadable_token(file, "it is not text") from None
    if not text.strip():
        raise _unreadable_token(file, "it is empty")
    return text


def _unreadable_token(file: str, why: str) -> RequestError:
    return RequestError(f"the token file {file!r} can't be read: {why}", code="unreadable_token_file")


def _headers(texts: list[str] | None) -> dict[str, str] | None:
    """Headers by name; a single empty one clears them. Raises RequestError."""
    if not texts:
        return None
    pairs = [text.partition(":") for text in texts if text]
    if not all(name.strip() and colon for name, colon, _ in pairs):
        raise RequestError("write a header as 'Name: value'", code="not_a_header")
    return {name.strip(): value.strip() for name, _, value in pairs}
