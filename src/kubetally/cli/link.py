"""`kubetally link`: a link that signs a browser in."""

from typing import Annotated

import typer

from kubetally.cli.serve import DEFAULT_HOST, DEFAULT_PORT

Url = Annotated[str, typer.Option("--url", metavar="URL", help="Where the browser reaches the service.")]


def link(url: Url = f"http://{DEFAULT_HOST}:{DEFAULT_PORT}") -> None:
    """Print a link that signs a browser in.

    The link opens the page of the service, works once, and expires after 15 minutes. This command needs the secret of
    the service: run it on the same machine, with the same KUBETALLY_HOME or KUBETALLY_SECRET.

    \b
    Example:
      kubetally link --url https://kubetally.example
    """
    from kubetally.cli.start import start
    from kubetally.wiring.service import new_link

    print(new_link(start(), url))
