"""`kubetally migrate`: the tables of databases."""

from collections.abc import Iterable
from typing import Annotated

import typer

from kubetally.cli.answer_file import warn
from kubetally.cli.start import start as start_up
from kubetally.domain.errors import RequestError
from kubetally.domain.source_url import SourceUrl

migrate = typer.Typer(name="migrate", invoke_without_command=True, rich_markup_mode=None)


@migrate.callback()
def migrate_own(
    context: typer.Context,
    to: Annotated[
        str, typer.Option("--to", metavar="REVISION", help="The revision; base drops all tables and their data.")
    ] = "head",
    yes: Annotated[
        bool,
        typer.Option("--yes", help="Confirm a downgrade, which deletes what the older revision has no columns for."),
    ] = False,
) -> None:
    """Migrate Kubetally's own database to this version.

    A database in a file needs no migration. May be run again; several at once wait for each other.

    \b
    Examples:
      KUBETALLY_DATABASE_URL=mariadb://user:password@host/kubetally kubetally migrate
      kubetally migrate optscale --help
    """
    if context.invoked_subcommand is not None:
        if to != "head":
            raise RequestError(
                "--to is a revision of Kubetally's own database; use it with `kubetally migrate` alone",
                code="revision_of_another",
            )
        return
    from kubetally.wiring import migrations

    if not yes and not migrations.is_newest(to):
        raise RequestError(f"downgrading to {to!r} deletes data; confirm with --yes", code="not_confirmed")
    database, revision = migrations.migrate(start_up(), to)
    print(f"{database} is at revision {revision or 'base'}")


@migrate.command()
def optscale(
    database: Annotated[
        str | None,
        typer.Option(
            "--database-url",
            metavar="URL",
            help="OptScale's database, the one of its restapi: mariadb://user:password@host/my-db. Prefer "
            "KUBETALLY_OPTSCALE_DATABASE_URL; command lines are visible to other users.",
        ),
    ] = None,
    urls: Annotated[
        list[str] | None, typer.Option("--set", metavar="ID=URL", help="The URL of an account; repeat for several.")
    ] = None,
    down: Annotated[bool, typer.Option("--down", help="Drop the column, with the URLs in it.")] = False,
) -> None:
    """Add the column kubecost_url to the cloud accounts of OptScale or CloudTuner.

    Nothing else in its table cloudaccount changes, and only Kubernetes accounts get a URL. May be run again.

    \b
    Example:
      kubetally migrate optscale --set 2e0a6a5c-...=http://kubecost-cost-analyzer.kubecost:9090
    """
    from kubetally.wiring.migrations import migrate_optscale

    settings = start_up()
    url_of_database = database or settings.optscale_database_url
    if not url_of_database:
        raise RequestError(
            "set KUBETALLY_OPTSCALE_DATABASE_URL=mariadb://user:password@host/my-db, the database of OptScale",
            code="no_database_named",
        )
    url_by_id = _read_assignments(urls or ())
    if down and url_by_id:
        raise RequestError("give --set or --down, not both", code="nothing_to_set")
    changed = migrate_optscale(url_of_database, None if down else url_by_id, settings)
    done = "dropped" if down else "added"
    print(f"column kubecost_url: {done}" if changed.column_changed else f"column kubecost_url: was {done} before")
    for account_id in changed.set_ids:
        print(f"{account_id}: {url_by_id[account_id]}")
    for account_id in changed.skipped_ids:
        warn(f"{account_id} is not a Kubernetes account of this database; it got no URL")


def _read_assignments(texts: Iterable[str]) -> dict[str, SourceUrl]:
    """URLs by the ids of their accounts. Raises RequestError."""
    url_by_id = {}
    for text in texts:
        account_id, _, url = (part.strip() for part in text.partition("="))
        if not account_id or not url or "/" in account_id:
            raise RequestError(  # the text may hold a password
                "write --set ID=URL: the id of a cloud account, =, and the URL of its Kubecost",
                code="not_an_assignment",
            )
        url_by_id[account_id] = SourceUrl.parse(url)
    return url_by_id
