"""Names of arguments in help texts."""

from typing import Any


def name_arguments_plainly(command: Any) -> None:
    """List the arguments of a command, and of the commands in it, by their metavar alone, without a type of Python."""
    for param in command.params:
        if param.param_type_name == "argument":
            param.get_help_record = _PlainRecord(param)
    for inner in getattr(command, "commands", {}).values():
        name_arguments_plainly(inner)


class _PlainRecord:
    """The name and the help text of an argument."""

    def __init__(self, argument: Any) -> None:
        self._argument, self._typed_record = argument, argument.get_help_record

    def __call__(self, ctx: Any) -> tuple[str, str] | None:
        record = self._typed_record(ctx)
        if record is None:
            return None
        several = "..." if self._argument.nargs == -1 else ""
        return f"{self._argument.metavar or self._argument.name.upper()}{several}", record[1]
