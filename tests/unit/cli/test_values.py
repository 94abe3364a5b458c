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


def test_unknown_choice_is_refused_in_the_words_of_typer() -> None:
    args = ["--choice", "three"]
    command = command_that_fills({})
    read_plainly(command, None)
    refusals = []
    for its in (command, command_that_fills({})):
        with pytest.raises(BadParameter) as refused:
            its(args, standalone_mode=False)
        refusals.append(refused.value.format_message())
    assert refusals[0] == refusals[1]


@pytest.mark.parametrize(
    ("least", "most", "wrong", "words"),
    [
        (None, None, "x", ""),
        (None, None, "1.5", ""),
        (1, None, "0", " of at least 1"),
        (None, 9, "10", " of at most 9"),
        (1, 9, "10", " from 1 to 9"),
        (1, 9, "", " from 1 to 9"),
    ],
)
def test_wrong_number_is_refused_with_its_range(least: int | None, most: int | None, wrong: str, words: str) -> None:
    def run(count: int = 5) -> None:
        raise AssertionError(count)

    run.__annotations__["count"] = Annotated[int, typer.Option(min=least, max=most)]
    app = typer.Typer(add_completion=False)
    app.command()(run)
    command = typer.main.get_command(app)
    read_plainly(command, None)
    with pytest.raises(BadParameter) as refused:
        command(["--count", wrong], standalone_mode=False)
    assert refused.value.format_message().endswith(f"{wrong!r} is not a whole number{words}")
