"""`kubetally serve`: the HTTP service."""

from typing import TYPE_CHECKING, Annotated

import typer

from kubetally.cli.start import start as start_up

if TYPE_CHECKING:
    from kubetally.wiring.service import Started

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8080
Host = Annotated[
    str, typer.Option("--host", metavar="HOST", help="Address to listen on; 0.0.0.0 for all addresses of this machine.")
]
Port = Annotated[
    int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="Port to listen on; 0 takes a free one.")
]
NoCollector = Annotated[
    bool,
    typer.Option("--no-collector", help="Serve only; `kubetally collect --forever` collects elsewhere."),
]


def serve(host: Host = DEFAULT_HOST, port: Port = DEFAULT_PORT, no_collector: NoCollector = False) -> None:
    """Serve costs by HTTP, and collect them, until stopped.

    The printed link signs a browser in to the page at /, once; the API needs the secret.

    \b
    Example:
      kubetally serve --port 8080
    """
    from kubetally.ledger.collect.supervisor import supervised_process
    from kubetally.wiring.service import run_service

    settings = start_up(default_level="info", is_service=True)
    collector = None if no_collector else supervised_process()
    run_service(settings, host, port, started=_print_started, collector=collector)


def _print_started(started: "Started") -> None:
    from kubetally.present.service import print_started

    print_started(
        url=started.url,
        link=started.link,
        accounts=started.accounts,
        database=started.database,
        lake=started.lake,
        secret_file=started.secret.file,
    )
