"""`kubetally sample`: a made-up fleet, to try things at scale."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from kubetally.cli.start import start as start_up

Count = Annotated[int, typer.Option(min=1)]
Clusters = Annotated[int, typer.Option("--clusters", min=1, max=999, help="How many clusters.")]
Pods = Annotated[int, typer.Option("--pods", min=1, help="Pods of each.")]
Days = Annotated[int, typer.Option("--days", min=1, max=3660, help="Days until yesterday, or until --last.")]
Last = Annotated[str | None, typer.Option("--last", metavar="DATE", help="The last day, as 2026-11-20.")]
Seed = Annotated[int, typer.Option("--seed", help="Another seed makes another fleet.")]
Out = Annotated[Path, typer.Option("--out", metavar="FOLDER", help="A folder that is not there yet.")]


def sample(
    clusters: Clusters = 5,
    pods: Pods = 200,
    days: Days = 30,
    last: Last = None,
    seed: Seed = 0,
    out: Out = Path("sample-fleet"),
) -> None:
    """Make a fleet of clusters that never were.

    It has history, and a home folder of its own. The same options make the same
    fleet.

    \b
    Example:
      kubetally sample --clusters 50 --pods 1000 --days 365 --out /tmp/fleet
      KUBETALLY_HOME=/tmp/fleet kubetally costs --window lastmonth
    """
    from kubetally.cli.collect import a_date
    from kubetally.cli.progress import progress
    from kubetally.wiring.sample import Fleet, make_sample

    start_up()
    end = a_date("--last", last) if last else (datetime.now(UTC) - timedelta(days=1)).date()
    with progress(days, "Making days") as done:
        rows = make_sample(Fleet(clusters, pods, days, end, seed), out, done)
    print(f"{clusters} clusters, {days} days until {end}, {rows:,} rows: KUBETALLY_HOME={out} kubetally costs")
