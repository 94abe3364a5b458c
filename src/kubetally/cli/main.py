"""The `kubetally` command."""

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer._click.exceptions import NoArgsIsHelpError, UsageError  # typer has no other name for them
from typer.core import TyperGroup

from kubetally.cli import exits
from kubetally.cli.help_names import name_arguments_plainly
from kubetally.cli.values import read_plainly
from kubetally.domain.errors import KubetallyError

_HELP = {"help_option_names": ["-h", "--help"]}
_COMMANDS = {
    "costs": "costs",
    "verify": "verify",
    "doctor": "doctor",
    "report": "report",
    "explain": "explain",
    "collect": "collect",
    "backfill": "collect",
    "coverage": "coverage",
    "maintain": "maintain",
    "backup": "backup",
    "restore": "backup",
    "replay": "replay",
    "serve": "serve",
    "link": "link",
    "demo": "demo",
    "sample": "sample",
    "accounts": "accounts",
    "organizations": "organizations",
    "tokens": "tokens",
    "audit": "audit",
    "migrate": "migrate",
}
"""The module of each command, in the order of `kubetally --help`. Only that of the command that runs is loaded."""


class _Commands(TyperGroup):
    """Runs a command; errors become one line on standard error and an exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the options before a command, those that typer adds included."""
        read_plainly(self, ctx.parent)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        """All commands, in the order of `_COMMANDS`."""
        return list(_COMMANDS)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Resolve a command; for an unknown one, suggest similar ones among all commands."""
        if args and args[0] not in _COMMANDS:
            for name in _COMMANDS:
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, loaded now; None where there is no such command."""
        if cmd_name not in self.commands and cmd_name in _COMMANDS:
            self.commands[cmd_name] = _load(cmd_name)
            read_plainly(self.commands[cmd_name], ctx)
            name_arguments_plainly(self.commands[cmd_name])
        return self.commands.get(cmd_name)

    def invoke(self, ctx: Any) -> Any:  # a context of the click that typer carries
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # a name that the terminal can't show must not stop the command
        try:
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()
        except KubetallyError as error:
            exits.complain(str(error))
            raise typer.Exit(exits.exit_code(error)) from error
        except NoArgsIsHelpError:  # its message is the help
            raise
        except UsageError as error:
            exits.complain(_in_one_line(error))
            raise typer.Exit(exits.USAGE) from error
        except BrokenPipeError as error:  # the reader closed our output
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            exit_ = error.__context__  # by which the command ended before its output was flushed
            raise typer.Exit(exit_.exit_code if isinstance(exit_, typer.Exit) else exits.OK) from None


def _in_one_line(error: UsageError) -> str:
    """The usage error in one line, with the command that lists the options."""
    words = error.format_message().replace("Value error, ", "").rstrip(".")
    path = error.ctx.command_path if error.ctx else "kubetally"
    return f"{words[:1].lower()}{words[1:]}{'' if words.endswith('?') else ':'} see `{path} --help`"


app = typer.Typer(
    name="kubetally",
    cls=_Commands,
    help="Kubernetes costs that tally: what each cluster cost, where, and how well it was used.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich help takes as long to load as everything else together
    context_settings=_HELP,
)


def _load(name: str) -> Any:
    """The click command for a function or a group of its own."""
    loaded = getattr(import_module(f"kubetally.cli.{_COMMANDS[name]}"), name)
    if isinstance(loaded, typer.Typer):
        command: Any = typer.main.get_group(loaded)
    else:
        single = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=_HELP)
        single.command()(loaded)
        command = typer.main.get_command(single)
    command.name = name
    return command


def _version(is_given: bool) -> None:
    if is_given:
        from kubetally import __version__

        print(f"kubetally {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="The version.")] = False,
) -> None:
    """Options before a command."""


def main(args: Sequence[str] | None = None) -> None:
    """Run a command with `args`, by default those of the process, and exit with its code."""
    try:
        app(args)
    except KeyboardInterrupt:
        sys.exit(exits.INTERRUPTED)
