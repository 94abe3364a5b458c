"""The lines that a service prints once it listens."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from kubetally.domain.window import DAY, Window, to_unix
from kubetally.present.commands import own_command


def print_started(*, url: str, link: str, accounts: int, database: str, lake: str, secret_file: str | None) -> None:
    """Print URLs, sign-in link and stores. accounts: their number. secret_file: None if KUBETALLY_SECRET is set."""
    clusters = "1 cluster" if accounts == 1 else f"{accounts} clusters"
    lines = [
        f"Kubetally serves {clusters} at {url}/ (API: {url}/docs)",
        f"Open in a browser: {link}",
        "  The link works once, within 15 minutes; `kubetally link` prints another.",
        f"Accounts: {database}",
        f"History: {lake}",
        f"Secret: {secret_file or 'that of KUBETALLY_SECRET'}",
    ]
    if not accounts:
        lines.append("No cluster yet: kubetally accounts add NAME --url URL")
    print("\n".join(lines), flush=True)


def print_demo(*, url: str, link: str, account_id: str, window: Window, home: Path) -> None:
    """Print how to use a demo. account_id: of a cluster with costs in the window. home: its folder."""
    from kubetally.present.screen import console, say

    out = console()
    query = f"cloud_account_id={account_id}&start_date={to_unix(window.start)}&end_date={to_unix(window.end)}"
    secret = f"$(cat {shlex.quote(str(home / 'secret'))})"
    say(out, f"Serving {url}/ until stopped (Ctrl-C). Open in a browser, once, within 15 minutes:")
    print(f"\n  {link}\n")
    print(f"Another link:  {own_command('link', '--url', url, home=home)}")
    say(out, f"The API is documented at {url}/docs; try:")
    print(f"""
  curl -H "Secret: {secret}" \\
    "{url}/metroculus/v2/kubecost_cluster_costs?{query}&detail_level=namespace"

  curl -H "Secret: {secret}" \\
    "{url}/api/v1/costs?{_days_query(window)}&group=cluster,namespace"

For the examples of docs/api.md, in another terminal:

  export URL={url}
  export SECRET="{secret}"
""")
    add = own_command("accounts", "add", "my-cluster", "--url", "http://localhost:9003")
    print(f"Your own:  {add}  and  {own_command('serve')}")
    out.file.flush()


def print_costs_command(url: str, window_options: Sequence[str]) -> None:
    """Print the command for the costs of a demo's source in another terminal."""
    print(f"In another terminal:  {own_command('costs', '--url', url, *window_options)}", flush=True)


def print_coverage_command(home: Path, *, days: int) -> None:
    """Print how to see which days of a demo's cluster are stored. days: how many are collected, beside today."""
    from kubetally.present.screen import console, say

    say(console(), f"/api/v1 answers from stored days. Today and the {days} days before are being collected; progress:")
    print(f"\n  {own_command('coverage', home=home)}\n", flush=True)


def _days_query(window: Window) -> str:
    """The whole days of a window as parameters of the native API."""
    days = window.dates()
    return f"start={days[0]}&end={days[-1] + DAY}"
