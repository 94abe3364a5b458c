"""`kubetally demo`: sample clusters, or one of yours, remembered and served as in earnest, until stopped."""

import shlex
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from kubetally.cli.serve import DEFAULT_HOST, DEFAULT_PORT, Port

if TYPE_CHECKING:
    from pathlib import Path

    from kubetally.domain.window import Clock, Window
    from kubetally.settings import Settings
    from kubetally.wiring.service import Started

_CURRENCY = "USD"  # of the samples' prices, which their sources do not state

Url = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="An OpenCost or Kubecost of yours in place of the samples.")
]
Once = Annotated[bool, typer.Option("--once", help="Print the costs and end, without a server.")]


def demo(url: Url = None, port: Port = DEFAULT_PORT, once: Once = False) -> None:
    """Show what three sample clusters cost, and serve it.

    They are recorded answers of a real OpenCost, served over HTTP on this machine, asked and booked as real ones are.
    What is remembered of them is in a folder that is removed at the end.

    \b
    Example:
      kubetally demo
    """
    from tempfile import TemporaryDirectory

    from kubetally.cli.asking import ask, exit_of
    from kubetally.cli.logs import set_up_logs
    from kubetally.cli.start import start
    from kubetally.domain.report import DetailLevel
    from kubetally.ledger.accounts.draft import AccountDraft
    from kubetally.present.screen import console, say
    from kubetally.present.tables import print_costs
    from kubetally.settings import Settings
    from kubetally.wiring.accounts import open_editor
    from kubetally.wiring.service import check_port
    from kubetally.wiring.store import load_clusters

    if not once and port != DEFAULT_PORT:
        check_port(DEFAULT_HOST, port)  # before anything is asked and printed
    out = console()
    with ExitStack() as stack:
        _end_on_sigterm(stack)
        home = stack.enter_context(TemporaryDirectory(prefix="kubetally-demo-"))
        if url is None:
            set_up_logs(None)
            settings, words = Settings(), "2026-11-20,2026-11-23"
            urls = _serve_samples(stack)
            say(out, "Sample clusters: answers that a real OpenCost v1.112 gave on synthetic metrics. Not your costs.")
            out.print()
        else:
            settings, words, urls = start(), "7d", {"my-cluster": url}
        settings = replace(settings, home=home, database_url=None, keys=None, secret=None)
        currency = _CURRENCY if url is None else None
        with open_editor(settings) as editor:
            for name, place in urls.items():
                editor.add(AccountDraft(name, place, currency=currency))
        window, clock = _when(words, is_sample=url is None)
        answers = ask([*load_clusters((), settings)], window, settings, clock)
        print_costs(answers, DetailLevel.SUMMARY)
        code = exit_of(answers)
        if not once and code == 0:  # else the message says what is wrong, and there is nothing to serve
            _serve(settings, port, window, words, clock, urls if url is None else {})
    raise typer.Exit(code)


def _end_on_sigterm(stack: ExitStack) -> None:
    """Take leave in order, so that nothing is left of the folder, whose secret and keys nobody would miss."""
    import signal
    import sys

    def leave(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    stack.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, leave))


def _serve_samples(stack: ExitStack) -> dict[str, str]:
    """The URLs of the sample clusters by name, served until the stack is closed."""
    from kubetally.samples import NAMES
    from kubetally.samples.demo import DemoServer

    server = stack.enter_context(DemoServer())
    return {name: server.url_of(name) for name in NAMES}


def _when(words: str, *, is_sample: bool) -> "tuple[Window, Clock]":
    """The window, and a clock which for the samples stands after them, whatever the machine's says."""
    from kubetally.domain.window import Window, parse_instant, parse_window
    from kubetally.wiring.clock import SystemClock

    if not is_sample:
        return parse_window(words, SystemClock().now()), SystemClock()
    start, _, end = words.partition(",")
    window = Window(parse_instant(start), parse_instant(end))  # in the future for a machine whose clock is wrong
    return window, _NotBefore(window.end)


class _NotBefore:
    """The machine's clock, or an instant while that is to come."""

    def __init__(self, instant: datetime) -> None:
        self._instant = instant

    def now(self) -> datetime:
        return max(self._instant, datetime.now(self._instant.tzinfo))


def _serve(
    settings: "Settings", port: int, window: "Window", words: str, clock: "Clock", samples: dict[str, str]
) -> None:
    """The page and the API, until stopped; on another port where this one is taken."""
    from kubetally.present.screen import console, say
    from kubetally.wiring.service import run_service
    from kubetally.wiring.store import load_clusters

    account_id = load_clusters((), settings)[0].account.id

    def tell(started: "Started") -> None:
        if port and not started.url.endswith(f":{port}"):
            say(console(), f"Port {port} is in use, so another one was taken; --port (make run PORT=...) chooses one.")
        _tell(started, account_id, window, settings.home_folder)
        for place in [*samples.values()][:1]:
            _tell_command(place, words)

    run_service(
        settings,
        DEFAULT_HOST,
        port,
        started=tell,
        clock=clock,
        page_window=words,
        or_free_port=port == DEFAULT_PORT,
    )


def _tell(started: "Started", account_id: str, window: "Window", home: "Path") -> None:
    import sys

    from kubetally.domain.window import to_unix
    from kubetally.present.screen import console, say

    out = console()
    query = f"cloud_account_id={account_id}&start_date={to_unix(window.start)}&end_date={to_unix(window.end)}"
    say(out, f"Serving {started.url}/ until stopped (Ctrl-C). Open in a browser, once, within 15 minutes:")
    print(f"""
  {started.link}
""")
    another = shlex.join([sys.argv[0], "link", "--url", started.url])
    print(f"Another link:  KUBETALLY_HOME={shlex.quote(str(home))} {another}")
    say(out, f"The API is documented at {started.url}/docs; try:")
    print(f"""
  curl -H "Secret: $(cat {shlex.quote(str(home / "secret"))})" \\
    "{started.url}/metroculus/v2/kubecost_cluster_costs?{query}&detail_level=namespace"
""")
    say(out, "Your own:  kubetally accounts add my-cluster --url http://localhost:9003  and  kubetally serve")
    out.file.flush()


def _tell_command(url: str, words: str) -> None:
    """A command that asks one of the sources from another terminal, whose accounts are not those of the demo."""
    import sys

    start, comma, end = words.partition(",")
    window = ["--start", start, "--end", end] if comma else ["--window", words]
    print("In another terminal:  " + shlex.join([sys.argv[0], "costs", "--url", url, *window]), flush=True)
