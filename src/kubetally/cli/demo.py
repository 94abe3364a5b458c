"""`kubetally demo`: sample clusters, or one of yours, collected and served as usual, until stopped."""

import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from kubetally.cli.serve import DEFAULT_HOST, DEFAULT_PORT, Port

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from kubetally.domain.source_url import SourceUrl
    from kubetally.domain.window import Clock, Window
    from kubetally.settings import Settings
    from kubetally.wiring.service import Started

_SAMPLE_WINDOW = "2026-11-20,2026-11-23"
_SAMPLE_CURRENCY = "USD"  # of their prices, which their sources do not state
_COLLECT_DAYS = 7
"""Past days to collect of a cluster of the user's."""

Url = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="An OpenCost or Kubecost of yours in place of the samples.")
]
Once = Annotated[bool, typer.Option("--once", help="Print the costs and end, without a server.")]


@dataclass(frozen=True, slots=True)
class _Demo:
    """What is shown: URLs of clusters by name, and their costs in a window.

    currency:  None if the sources state it.
    collector: runs beside the service; None for samples, whose days are all collected before.
    """

    settings: "Settings"
    urls: "Mapping[str, SourceUrl]"
    window_text: str
    window: "Window"
    clock: "Clock"
    currency: str | None = None
    collector: "AbstractContextManager[None] | None" = field(default=None, repr=False)


def demo(url: Url = None, port: Port = DEFAULT_PORT, once: Once = False) -> None:
    """Show and serve the costs of three sample clusters.

    The samples are recorded answers of a real OpenCost, which are served over HTTP on this machine and read like any
    other source. Everything is stored in a folder that is removed at the end.

    \b
    Example:
      kubetally demo
    """
    from tempfile import TemporaryDirectory

    from kubetally.cli.asking import ask, exit_of
    from kubetally.domain.question.cost_question import DetailLevel
    from kubetally.present.tables import print_costs
    from kubetally.wiring.service import check_port
    from kubetally.wiring.store import load_clusters

    if not once and port != DEFAULT_PORT:
        check_port(DEFAULT_HOST, port)  # before anything is asked and printed
    with ExitStack() as stack:
        _exit_on_sigterm(stack)
        home = stack.enter_context(TemporaryDirectory(prefix="kubetally-demo-"))
        shown = _serve_samples(stack, home) if url is None else _own_cluster(url, home)
        _add_accounts(shown)
        answers = ask([*load_clusters((), shown.settings)], shown.window, shown.settings, shown.clock)
        print_costs(answers, DetailLevel.SUMMARY)
        code = exit_of(answers)
        if not once and code == 0:  # else the message says what is wrong, and there is nothing to serve
            _serve(shown, port)
    raise typer.Exit(code)


def _exit_on_sigterm(stack: ExitStack) -> None:
    """Exit in order, so that nothing is left of the folder, which has a secret and keys."""
    import signal

    def leave(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    stack.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, leave))


def _serve_samples(stack: ExitStack, home: str) -> _Demo:
    """The sample clusters, whose sources are served until the stack is closed."""
    from kubetally.cli.logs import set_up_logs
    from kubetally.domain.source_url import SourceUrl
    from kubetally.domain.window import Window, parse_instant
    from kubetally.present.screen import console, say
    from kubetally.samples import NAMES
    from kubetally.samples.demo import DemoServer
    from kubetally.settings import Settings

    set_up_logs(None)
    server = stack.enter_context(DemoServer())
    out = console()
    say(out, "Sample clusters: answers that a real OpenCost gave on synthetic metrics. Not your costs.")
    out.print()
    window = Window(*map(parse_instant, _SAMPLE_WINDOW.split(",")))  # in the future, if the machine's clock is wrong
    return _Demo(
        Settings(home=home),
        {name: SourceUrl.parse(server.url_of(name)) for name in NAMES},
        _SAMPLE_WINDOW,
        window,
        _ClockAfter(window.end),
        currency=_SAMPLE_CURRENCY,
    )


def _own_cluster(url: str, home: str) -> _Demo:
    """A cluster of the user's. Its process of the collector reads the same environment."""
    from kubetally.cli.start import start
    from kubetally.domain.source_url import SourceUrl
    from kubetally.domain.window import parse_window
    from kubetally.ledger.collect.supervisor import supervised_process
    from kubetally.settings import Settings
    from kubetally.wiring.clock import SystemClock
    from kubetally.wiring.environment import environment_apart

    start()
    environment, clock = environment_apart(home, collect_days=_COLLECT_DAYS), SystemClock()
    return _Demo(
        Settings.read(environment),
        {"my-cluster": SourceUrl.parse(url)},
        "7d",
        parse_window("7d", clock.now()),
        clock,
        collector=supervised_process(environment=environment),
    )


class _ClockAfter:
    """The machine's clock, but never before an instant."""

    def __init__(self, instant: datetime) -> None:
        self._instant = instant

    def now(self) -> datetime:
        return max(self._instant, datetime.now(self._instant.tzinfo))


def _add_accounts(shown: _Demo) -> None:
    from kubetally.ledger.accounts.draft import AccountDraft
    from kubetally.wiring.accounts import open_editor

    with open_editor(shown.settings) as editor:
        for name, url in shown.urls.items():
            editor.add(AccountDraft(name, url, currency=shown.currency))


def _serve(shown: _Demo, port: int) -> None:
    """Serve the page and the API until stopped; on another port if the default one is in use."""
    from kubetally.present.screen import console, say
    from kubetally.present.service import print_costs_command, print_coverage_command, print_demo
    from kubetally.wiring.collect import collect_days
    from kubetally.wiring.service import run_service
    from kubetally.wiring.store import load_clusters

    account_id = load_clusters((), shown.settings)[0].account.id
    if shown.collector is None:  # in half a second, while the figures are read
        collect_days(shown.settings, shown.window.dates(), shown.clock)

    def print_started(started: "Started") -> None:
        if port and not started.url.endswith(f":{port}"):
            say(console(), f"Port {port} is in use, so another one was taken; --port (make run PORT=...) chooses one.")
        home = shown.settings.home_folder
        print_demo(url=started.url, link=started.link, account_id=account_id, window=shown.window, home=home)
        if shown.collector is None:
            start, end = shown.window_text.split(",")
            print_costs_command(str(next(iter(shown.urls.values()))), ["--start", start, "--end", end])
        else:
            print_coverage_command(home, days=_COLLECT_DAYS)

    run_service(
        shown.settings,
        DEFAULT_HOST,
        port,
        started=print_started,
        clock=shown.clock,
        page_window=shown.window_text,
        or_free_port=port == DEFAULT_PORT,
        collector=shown.collector,
    )
