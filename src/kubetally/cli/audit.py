"""`kubetally audit`: who changed what."""

import json
from typing import Annotated

import typer

from kubetally.cli.options import ScreenOrJson, ScreenOrJsonFormat
from kubetally.cli.start import start as start_up


def audit(
    organization: Annotated[
        str | None, typer.Option("--organization", metavar="ORGANIZATION", help="Only changes in an organization.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="Changes to show at most.")] = 50,
    output: ScreenOrJsonFormat = ScreenOrJson.TABLE,
) -> None:
    """Show who changed accounts, tokens and organizations, the newest change first.

    \b
    Example:
      kubetally audit --organization shop
    """
    from kubetally.present.audit import audit_body, print_audit
    from kubetally.wiring.store import open_organizations

    with open_organizations(start_up()) as access:
        chosen = access.organization_id(organization)
        entries = access.audit.newest(chosen, limit=limit)
    if output is ScreenOrJson.JSON:
        print(json.dumps([audit_body(entry) for entry in entries], indent=2))
    else:
        print_audit(entries)
