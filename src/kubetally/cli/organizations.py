"""`kubetally organizations`: who accounts belong to, and who sees them."""

import json
from typing import Annotated

import typer

from kubetally.cli.options import ScreenOrJson, ScreenOrJsonFormat
from kubetally.cli.start import start as start_up
from kubetally.domain.access import OPERATOR_NAME
from kubetally.domain.money import DEFAULT_CURRENCY
from kubetally.present.organizations import organization_body, print_organizations

organizations = typer.Typer(
    name="organizations",
    help="Manage organizations: who accounts belong to.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

NameOrId = Annotated[str, typer.Argument(metavar="ORGANIZATION", help="Name or id of an organization.")]
NewName = Annotated[str, typer.Argument(metavar="NAME", help="What it is called from now on.")]


@organizations.command()
def add(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What you call the organization.")],
    currency: Annotated[
        str,
        typer.Option(
            "--currency",
            metavar="CODE",
            help="Currency of accounts where neither they nor their sources state one.",
        ),
    ] = DEFAULT_CURRENCY,
) -> None:
    """Add an organization.

    Prints its id. Accounts without an organization are in `default`.

    \b
    Example:
      kubetally organizations add shop --currency EUR
    """
    from kubetally.ledger.accounts.organizations import add_organization
    from kubetally.wiring.clock import SystemClock
    from kubetally.wiring.store import open_organizations

    with open_organizations(start_up()) as access:
        print(add_organization(access.organizations, SystemClock(), name, by=OPERATOR_NAME, currency=currency).id)


@organizations.command(name="list")
def list_(output: ScreenOrJsonFormat = ScreenOrJson.TABLE) -> None:
    """List organizations.

    \b
    Example:
      kubetally organizations list
    """
    from kubetally.wiring.store import open_organizations

    with open_organizations(start_up()) as access:
        all_of_them = access.organizations.all()
    if output is ScreenOrJson.JSON:
        print(json.dumps([organization_body(organization) for organization in all_of_them], indent=2))
    else:
        print_organizations(all_of_them)


@organizations.command()
def rename(*, organization: NameOrId, name: NewName) -> None:
    """Give an organization another name.

    \b
    Example:
      kubetally organizations rename shop store
    """
    from kubetally.ledger.accounts.organizations import rename_organization
    from kubetally.wiring.store import open_organizations

    with open_organizations(start_up()) as access:
        before = access.organizations.find(organization).name
        renamed = rename_organization(access.organizations, organization, name=name, by=OPERATOR_NAME)
    print(f"Renamed organization {before} to {renamed.name}.")


@organizations.command()
def remove(organization: NameOrId) -> None:
    """Remove an organization that has no account.

    \b
    Example:
      kubetally organizations remove shop
    """
    from kubetally.ledger.accounts.organizations import remove_organization
    from kubetally.wiring.store import open_organizations

    with open_organizations(start_up()) as access:
        removed = remove_organization(access.organizations, organization, by=OPERATOR_NAME)
    print(f"Removed organization {removed.name}.")
