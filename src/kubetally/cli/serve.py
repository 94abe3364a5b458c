"""`kubetally serve`: the HTTP service."""

from typing import TYPE_CHECKING, Annotated

import typer

from kubetally.cli.start import start as start_up

if TYPE_CHECKING:
    from kubetally.wiring.service import Started

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8080
Host = Annotated[
    str, typer.Option("--host", metavar="HOST", help="Address to listen on; 0.0.0.0 for all of this machine.")
]
Port = Annotated[
    int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="Port to listen on; 0 takes a free one.")
]


NoCollector = Annotated[
    bool,
    typer.Option("--no-collector", help="Only answer; `kubetally collect --forever` collects elsewhere."),
]


def serve(host: Host = DEFAULT_HOST, port: Port = DEFAULT_PORT, no_collector: NoCollector = False) -> None:
    """Serve costs by HTTP, and collect them, until stopped.

    The printed link signs a browser in to the page at /, once; the API needs the secret.

    \b
    Example:
      kubetally serve --port 8080
    """
    from kubetally.wiring.service import run_service

    run_service(start_up(default_level="info", is_service=True), host, port, started=_tell, collects=not no_collector)


def _tell(started: "Started") -> None:
    many = "1 cluster" if started.accounts == 1 else f"{started.accounts} clusters"
    print(f"Kubetally serves {many} at {started.url}/ (API: {started.url}/docs)")
    print(f"Open in a browser: {started.link}")
    print("  The link works once, within 15 minutes; `kubetally link` prints another.")
    print(f"Accounts: {started.database}")
    print(f"History: {started.lake}")
    print(f"Secret: {started.secret.file or 'that of KUBETALLY_SECRET'}", flush=True)
    if not started.accounts:
        print("No cluster yet: kubetally accounts add NAME --url URL", flush=True)
