"""`kubetally migrate`: the tables of databases."""

import sys
from typing import Annotated

import typer

from kubetally.cli.start import start as start_up
from kubetally.domain.errors import RequestError

migrate = typer.Typer(
    name="migrate", help="Bring databases up to date.", invoke_without_command=True, rich_markup_mode=None
)


class NotAnAssignment(RequestError):
    """What should say which account has which URL does not; it may hold a password, and is not shown."""

    code = "not_an_assignment"

    def __init__(self) -> None:
        super().__init__("write --set ID=URL: the id of a cloud account, =, and the URL of its Kubecost")


class NothingToSet(RequestError):
    """URLs were given for a column that is to be taken away."""

    code = "nothing_to_set"

    def __init__(self) -> None:
        super().__init__("give --set or --down, not both")


class RevisionOfAnother(RequestError):
    """A revision of Kubetally's own database was given to a command about another one."""

    code = "revision_of_another"

    def __init__(self) -> None:
        super().__init__("--to is of Kubetally's own database: give it to `kubetally migrate` alone")


class NotConfirmed(RequestError):
    """Tables would be taken away, and nobody has said that they may."""

    code = "not_confirmed"

    def __init__(self, revision: str) -> None:
        self.revision = revision
        super().__init__(f"at revision {revision!r} there is no place for some of what is kept: give --yes to lose it")


class NoDatabaseNamed(RequestError):
    """OptScale's database was not named."""

    code = "no_database_named"

    def __init__(self) -> None:
        super().__init__("name OptScale's database: KUBETALLY_OPTSCALE_DATABASE_URL=mariadb://user:password@host/my-db")


@migrate.callback()
def own(
    context: typer.Context,
    to: Annotated[
        str, typer.Option("--to", metavar="REVISION", help="The revision; base drops all tables and what is in them.")
    ] = "head",
    yes: Annotated[
        bool, typer.Option("--yes", help="Go back to an older revision, and lose what it has no place for.")
    ] = False,
) -> None:
    """Bring Kubetally's own database to the tables of this version.

    One in a file is brought there by itself. May be run again; several at once wait for each other.

    \b
    Examples:
      KUBETALLY_DATABASE_URL=mariadb://user:password@host/kubetally kubetally migrate
      kubetally migrate optscale --help
    """
    if context.invoked_subcommand is not None:
        if to != "head":
            raise RevisionOfAnother
        return
    from kubetally.wiring.migrations import is_newest
    from kubetally.wiring.migrations import migrate as bring

    if not yes and not is_newest(to):
        raise NotConfirmed(to)
    database, revision = bring(start_up(), to)
    print(f"{database} is at revision {revision or 'base'}")


@migrate.command()
def optscale(
    database: Annotated[
        str | None,
        typer.Option(
            "--database-url",
            metavar="URL",
            help="OptScale's database, the one of its restapi: mariadb://user:password@host/my-db. Better set "
            "KUBETALLY_OPTSCALE_DATABASE_URL: others see options.",
        ),
    ] = None,
    urls: Annotated[
        list[str] | None, typer.Option("--set", metavar="ID=URL", help="The URL of an account; repeat for several.")
    ] = None,
    down: Annotated[bool, typer.Option("--down", help="Take the column away, with the URLs in it.")] = False,
) -> None:
    """Add the column kubecost_url to the cloud accounts of OptScale or CloudTuner.

    Of its table cloudaccount nothing else changes, and only Kubernetes accounts get a URL. May be run again.

    \b
    Example:
      kubetally migrate optscale --set 2e0a6a5c-...=http://kubecost-cost-analyzer.kubecost:9090
    """
    from kubetally.wiring.migrations import migrate_optscale

    settings = start_up()
    url_of_database = database or settings.optscale_database_url
    if not url_of_database:
        raise NoDatabaseNamed
    assigned = {}
    for text in urls or ():
        account_id, equals, url = text.partition("=")
        if not (account_id.strip() and equals and url.strip()) or "/" in account_id:
            raise NotAnAssignment
        assigned[account_id.strip()] = url.strip()
    if down and assigned:
        raise NothingToSet
    changed = migrate_optscale(url_of_database, None if down else assigned, settings)
    done = "dropped" if down else "added"
    print(f"column kubecost_url: {done}" if changed.column_changed else f"column kubecost_url: was {done} before")
    for account_id in changed.set_ids:
        print(f"{account_id}: {assigned[account_id]}")
    for account_id in changed.skipped_ids:
        print(f"warning: {account_id} is no Kubernetes account of this database: nothing was set", file=sys.stderr)
