"""`kubetally replay`: kept answers interpreted again."""

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from kubetally.cli import exits
from kubetally.cli.answer_file import warn
from kubetally.cli.options import ScreenOrJson, ScreenOrJsonFormat
from kubetally.cli.start import start as start_up


def replay(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of KUBETALLY_KEEP_ANSWERS.")],
    output: ScreenOrJsonFormat = ScreenOrJson.TABLE,
) -> None:
    """Compare kept answers with the stored days.

    The answers are interpreted again. No source is asked, and no stored day is changed. Exits 1 if a day differs, if a
    file or a stored day can't be read, or if no day could be compared.
    """
    from kubetally.domain.replayed import COMPARED, FAILED, ReplayOutcome
    from kubetally.present.replay import counted_lines, replay_body, replay_lines
    from kubetally.wiring.diagnosis import open_replay

    counts, bodies = Counter[ReplayOutcome](), []
    with open_replay(start_up(), folder) as replayed:
        for result in replayed.files:
            counts[result.outcome] += 1
            if output is ScreenOrJson.JSON:
                bodies.append(replay_body(result))
            else:
                for line in replay_lines(result, replayed.account_names):
                    typer.echo(line)
    if output is ScreenOrJson.JSON:
        typer.echo(json.dumps(bodies, indent=2))
    else:
        for line in counted_lines(counts):
            typer.echo(line)
    has_failed, was_compared = not FAILED.isdisjoint(counts), not COMPARED.isdisjoint(counts)
    if not (has_failed or was_compared):
        warn("no day was compared: no file has the answer that a stored day of this database was made of")
    if has_failed or not was_compared:
        raise typer.Exit(exits.DIFFERENT)
