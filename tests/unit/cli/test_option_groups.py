"""Options that a command has by way of a group."""

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from kubetally.cli.option_groups import with_option_groups


@dataclass(frozen=True)
class Place:
    """A group."""

    city: Annotated[str | None, typer.Option("--city", metavar="CITY", help="Where.")] = None
    floor: Annotated[int, typer.Option("--floor")] = 0


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()

    @app.command()
    @with_option_groups
    def show(*, first: Annotated[str, typer.Option("--first")] = "a", place: Place, last: bool = False) -> None:
        """Show a place."""
        print(first, place, last)

    return app


def test_fields_of_a_group_are_options(app: typer.Typer) -> None:
    shown = CliRunner().invoke(app, ["--city", "Bonn", "--floor", "3", "--last"]).output
    assert shown == f"a {Place('Bonn', 3)} True\n"
    assert CliRunner().invoke(app, []).output == f"a {Place()} False\n"


def test_help_lists_options_of_a_group_in_their_place(app: typer.Typer) -> None:
    shown = CliRunner().invoke(app, ["--help"]).output
    places = [shown.index(text) for text in ("Show a place.", "--first", "--city", "--floor", "--last")]
    assert places == sorted(places)
