"""Values of options are those that typer reads."""

from enum import StrEnum
from typing import Annotated, Any

import pytest
import typer
from typer._click.exceptions import BadParameter  # typer has no other name for it

from kubetally.cli.values import read_plainly


class Choice(StrEnum):
    """Two words."""

    ONE = "one"
    TWO = "two"


_PORT = typer.Option(min=1)


def command_that_fills(values: dict[str, Any]) -> Any:
    def run(
        names: Annotated[list[str] | None, typer.Argument()] = None,
        text: str | None = None,
        choice: Choice = Choice.ONE,
        port: Annotated[int, _PORT] = 80,
        quiet: bool = False,
    ) -> None:
        values.update(names=names, text=text, choice=choice, port=port, quiet=quiet)

    app = typer.Typer(add_completion=False)
    app.command()(run)
    return typer.main.get_command(app)


@pytest.mark.parametrize(
    "args", [[], ["a", "b"], ["--text", ""], ["--choice", "two"], ["a", "--text", "t", "--port", "8", "--quiet"]]
)
def test_values_are_those_of_typer(args: list[str]) -> None:
    plain, own = dict[str, Any](), dict[str, Any]()
    command = command_that_fills(plain)
    read_plainly(command, None)
    command(args, standalone_mode=False)
    command_that_fills(own)(args, standalone_mode=False)
    assert plain == own
    assert {name: type(value) for name, value in plain.items()} == {name: type(value) for name, value in own.items()}


@pytest.mark.parametrize("args", [["--choice", "three"], ["--port", "0"], ["--port", "x"]])
def test_wrong_values_are_refused_in_the_same_words(args: list[str]) -> None:
    command = command_that_fills({})
    read_plainly(command, None)
    refusals = []
    for its in (command, command_that_fills({})):
        with pytest.raises(BadParameter) as refused:
            its(args, standalone_mode=False)
        refusals.append(refused.value.format_message())
    assert refusals[0] == refusals[1]
