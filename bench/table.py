"""The table of docs/benchmarks.md: what was measured, and whether it reaches what it should."""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

DOCUMENT = Path(__file__).parent.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


class Line(NamedTuple):
    """One figure. `target` is empty where it is only told; `reached` is None there."""

    bench: str
    what: str
    figure: str
    target: str = ""
    reached: bool | None = None


def markdown(lines: Sequence[Line]) -> str:
    """The lines as a table, under the machine they were measured on."""
    verdicts = {True: "yes", False: "**no**", None: ""}
    rows = [("bench", "what", "figure", "target", "reached")]
    rows += [(line.bench, line.what, line.figure, line.target, verdicts[line.reached]) for line in lines]
    table = ["| " + " | ".join(row) + " |" for row in rows]
    table.insert(1, "|" + "---|" * len(rows[0]))
    machine = f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}"
    return "\n".join([f"Measured {datetime.now(UTC):%Y-%m-%d} on {machine}.", "", *table])


def rewrite(text: str) -> None:
    """Put `text` between the marks of the document."""
    before, begin, rest = DOCUMENT.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin, f"{DOCUMENT} lacks {BEGIN}"
    assert end, f"{DOCUMENT} lacks {END}"
    DOCUMENT.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", "utf-8")
