"""Help lists arguments by their metavar."""

from typing import Annotated

import pytest
import typer

from kubetally.cli.help_names import name_arguments_plainly

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def show(
    places: Annotated[list[str] | None, typer.Argument(metavar="ACCOUNT|URL", help="What to show.")] = None,
    hidden: Annotated[int, typer.Argument(hidden=True)] = 0,
) -> None:
    """Show."""


@app.command()
def write(file: Annotated[str, typer.Argument(help="What to write.")]) -> None:
    """Write."""


@pytest.mark.parametrize(
    ("command", "arguments"),
    [("show", "  ACCOUNT|URL...  What to show.\n"), ("write", "  FILE  What to write.  [required]\n")],
)
def test_arguments_are_listed_without_types(command: str, arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    group = typer.main.get_command(app)
    name_arguments_plainly(group)
    with pytest.raises(SystemExit):
        group([command, "--help"])
    assert f"Arguments:\n{arguments}\nOptions:" in capsys.readouterr().out
