"""`kubetally tokens`: what programs open the API with."""

import json
from typing import Annotated

import typer

from kubetally.cli.options import ScreenOrJson, ScreenOrJsonFormat
from kubetally.cli.start import start as start_up
from kubetally.domain.access import OPERATOR_NAME, Role
from kubetally.domain.account import DEFAULT_ORGANIZATION

tokens = typer.Typer(
    name="tokens", help="Manage tokens, which open the API.", no_args_is_help=True, rich_markup_mode=None
)

AnyOrganization = Annotated[
    str | None, typer.Option("--organization", metavar="ORGANIZATION", help="Only those of an organization.")
]


@tokens.command()
def create(
    *,
    role: Annotated[Role, typer.Option("--role", help="What it may do: admin may do all, ingest only send days.")],
    organization: Annotated[
        str,
        typer.Option("--organization", metavar="ORGANIZATION", help="Name or id of the organization that it opens."),
    ] = DEFAULT_ORGANIZATION,
    condition: Annotated[
        str, typer.Option("--filter", metavar="FILTER", help="""Only these rows, such as 'namespace:"shop"'.""")
    ] = "",
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="LENGTH", help="Lifetime, such as 24h or 30d; default: for ever.")
    ] = None,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="What you call it; default: its role.")] = "",
) -> None:
    """Create a token of an organization.

    Prints the token, which is shown only now: its digest is stored. Clients send it as `Authorization: Bearer TOKEN`.

    \b
    Examples:
      kubetally tokens create --role viewer --name grafana
      kubetally tokens create --role viewer --filter 'namespace:"shop"|label[team]:"web"' --expires 90d
    """
    from kubetally.ledger.accounts.tokens import TokenDraft, add_token, parse_lifetime
    from kubetally.wiring.clock import SystemClock
    from kubetally.wiring.store import open_organizations

    expires_in = None if expires is None else parse_lifetime(expires)
    draft = TokenDraft(role, organization, condition, expires_in, name)
    with open_organizations(start_up()) as access:
        print(add_token(access.tokens, access.organizations, SystemClock(), draft, owner=OPERATOR_NAME).text)


@tokens.command(name="list")
def list_(organization: AnyOrganization = None, output: ScreenOrJsonFormat = ScreenOrJson.TABLE) -> None:
    """List tokens that are not revoked, without their texts.

    \b
    Example:
      kubetally tokens list
    """
    from kubetally.present.tokens import print_tokens, token_body
    from kubetally.wiring.clock import SystemClock
    from kubetally.wiring.store import open_organizations

    with open_organizations(start_up()) as access:
        chosen = access.organization_id(organization)
        found, names = access.tokens.all(chosen), {its.id: its.name for its in access.organizations.all()}
    if output is ScreenOrJson.JSON:
        print(json.dumps([token_body(token) for token in found], indent=2))
    else:
        print_tokens(found, names, SystemClock().now())


@tokens.command()
def revoke(
    id_or_text: Annotated[str, typer.Argument(metavar="TOKEN", help="Id or text of a token; - is standard input.")],
) -> None:
    """Revoke a token: within seconds it opens nothing any more.

    \b
    Example:
      kubetally tokens revoke 7c0f6a5e-21cb-4c5d-8f0b-5a6a3f5d2b11
    """
    import sys

    from kubetally.ledger.accounts.tokens import revoke_token
    from kubetally.wiring.store import open_organizations

    with open_organizations(start_up()) as access:
        revoked = revoke_token(access.tokens, sys.stdin.read() if id_or_text == "-" else id_or_text, by=OPERATOR_NAME)
    print(f"Revoked token {revoked.name} ({revoked.id}).")
