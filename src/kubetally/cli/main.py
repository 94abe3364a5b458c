"""The `kubetally` command."""

import os
import sys
from typing import Annotated

import typer

from kubetally.cli import exits
from kubetally.cli.costs import costs
from kubetally.cli.demo import demo
from kubetally.cli.doctor import doctor
from kubetally.cli.report import report
from kubetally.cli.verify import verify
from kubetally.domain.errors import HubError

app = typer.Typer(
    name="kubetally",
    help="Kubernetes costs that tally: what each cluster cost, where, and how well it was used.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich help would take as long again as everything else together
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (costs, verify, doctor, report, demo):
    app.command()(command)


def _version(asked: bool) -> None:
    if asked:
        from kubetally import __version__

        print(f"kubetally {__version__}")
        raise typer.Exit


@app.callback()
def _start(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="The version.")] = False,
) -> None:
    from kubetally.cli.logs import set_up_logs

    set_up_logs(os.environ.get("KUBETALLY_LOG_LEVEL"))


def main() -> None:
    """Run a command; errors become one line on standard error and an exit code."""
    try:
        app()
    except HubError as error:
        exits.complain(str(error))
        sys.exit(exits.exit_code(error))
    except BrokenPipeError:  # whoever read our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(exits.OK)
    except KeyboardInterrupt:
        sys.exit(130)
