"""Values of options, read without pydantic wherever they need no conversion."""

from enum import Enum
from typing import Any, get_args, get_origin

from typer._coercion import build_runtime_param  # typer has no other place for them


class PlainValues:
    """Reads texts, lists of texts and choices of one parameter itself, and leaves all else to typer.

    typer converts each value with pydantic, which takes longer to load than everything else of a short command.
    """

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The value as its function expects it. Raises BadParameter."""
        kind = param.type_descriptor.annotation
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        if kind is str and isinstance(value, str):
            return value
        if get_origin(kind) is list and get_args(kind) == (str,) and isinstance(value, (list, tuple)):
            return list(value)
        if isinstance(kind, type) and issubclass(kind, Enum) and value in kind.__members__.values():
            return kind(value)
        return build_runtime_param(param.type_descriptor).coerce(value, param=param, ctx=ctx)


def read_plainly(command: Any, parent: Any) -> None:
    """Read the values of a command, and of the commands in it, as `PlainValues`. parent: the context it runs in."""
    context = command.context_class(command, parent=parent, **command.context_settings)
    for param in command.get_params(context):
        param._runtime_param = PlainValues()  # where typer keeps its own, made at the first value
    for inner in getattr(command, "commands", {}).values():
        read_plainly(inner, context)
