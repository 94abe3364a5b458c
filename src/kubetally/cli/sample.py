"""`kubetally sample`: a synthetic fleet, to try things at scale."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from kubetally.cli.options import date_of
from kubetally.cli.start import start as start_up

Clusters = Annotated[int, typer.Option("--clusters", metavar="N", min=1, max=999, help="How many clusters.")]
Pods = Annotated[int, typer.Option("--pods", metavar="N", min=1, help="How many pods each has.")]
Days = Annotated[int, typer.Option("--days", metavar="N", min=1, max=3660, help="Days until --last.")]
Last = Annotated[str | None, typer.Option("--last", metavar="DATE", help="The last day; default: yesterday.")]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Another seed makes another fleet.")]
Out = Annotated[Path, typer.Option("--out", metavar="FOLDER", help="The new folder to write to.")]


def sample(
    clusters: Clusters = 5,
    pods: Pods = 200,
    days: Days = 30,
    last: Last = None,
    seed: Seed = 0,
    out: Out = Path("sample-fleet"),
) -> None:
    """Make a fleet of synthetic clusters.

    Its stored days are in a home folder of its own: --out, in the working
    directory unless it is an absolute path. KUBETALLY_HOME is not used. The same
    options make the same fleet. Its clusters have no running source.

    \b
    Example:
      kubetally sample --clusters 50 --pods 1000 --days 365 --out /tmp/fleet
      KUBETALLY_HOME=/tmp/fleet kubetally costs --window lastmonth
    """
    from kubetally.cli.progress import progress
    from kubetally.ledger.sample.make import SampleFleet
    from kubetally.present.sample import print_sample
    from kubetally.wiring.sample import make_sample

    start_up()
    end = date_of("--last", last) if last else (datetime.now(UTC) - timedelta(days=1)).date()
    with progress(days, "Making days") as done:
        rows = make_sample(SampleFleet(clusters, pods, days, end, seed), out, done)
    print_sample(clusters=clusters, days=days, last=end, rows=rows, home=out.absolute())
