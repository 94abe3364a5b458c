"""The `kubetally` command."""

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer._click.exceptions import NoArgsIsHelpError, UsageError  # typer has no other name for them
from typer.core import TyperGroup

from kubetally.cli import exits
from kubetally.cli.accounts import accounts
from kubetally.cli.collect import backfill, collect
from kubetally.cli.costs import costs
from kubetally.cli.coverage import coverage
from kubetally.cli.demo import demo
from kubetally.cli.doctor import doctor
from kubetally.cli.keep import backup, maintain, restore
from kubetally.cli.link import link
from kubetally.cli.migrate import migrate
from kubetally.cli.replay import replay
from kubetally.cli.report import report
from kubetally.cli.sample import sample
from kubetally.cli.serve import serve
from kubetally.cli.verify import verify
from kubetally.domain.errors import HubError


class _Commands(TyperGroup):
    """Runs a command; what stops it becomes one line on standard error and an exit code."""

    def invoke(self, ctx: Any) -> Any:  # a context of the click that typer carries
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # a name that the terminal can't show is no reason to stop
        try:
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()
        except HubError as error:
            exits.complain(str(error))
            raise typer.Exit(exits.exit_code(error)) from error
        except NoArgsIsHelpError:  # its words are the help
            raise
        except UsageError as error:
            exits.complain(_in_one_line(error))
            raise typer.Exit(exits.USAGE) from error
        except BrokenPipeError as error:  # whoever read our output has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ended = error.__context__
            raise typer.Exit(ended.exit_code if isinstance(ended, typer.Exit) else exits.OK) from None


def _in_one_line(error: UsageError) -> str:
    """What is wrong with how a command was called, and where its options are told."""
    words = error.format_message().replace("Value error, ", "").rstrip(".")
    path = error.ctx.command_path if error.ctx else "kubetally"
    return f"{words[:1].lower()}{words[1:]}: see `{path} --help`"


app = typer.Typer(
    name="kubetally",
    cls=_Commands,
    help="Kubernetes costs that tally: what each cluster cost, where, and how well it was used.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich help would take as long again as everything else together
    context_settings={"help_option_names": ["-h", "--help"]},
)
_COMMANDS = (
    *(costs, verify, doctor, report),
    *(collect, backfill, coverage, maintain, backup, restore, replay),
    *(serve, link, demo, sample),
)
for command in _COMMANDS:
    app.command()(command)
for group in (accounts, migrate):
    app.add_typer(group)


def _version(asked: bool) -> None:
    if asked:
        from kubetally import __version__

        print(f"kubetally {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="The version.")] = False,
) -> None:
    """What comes before a command."""


def main(args: Sequence[str] | None = None) -> None:
    """Run the command that `args` are, by default those of the process, and exit with its code."""
    try:
        app(args)
    except KeyboardInterrupt:
        sys.exit(exits.INTERRUPTED)
