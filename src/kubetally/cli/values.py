"""Values of options, read without pydantic wherever they need no conversion."""

from enum import Enum
from typing import Any, get_args, get_origin

from typer._click.exceptions import BadParameter
from typer._coercion import build_runtime_param  # typer has no other place for them


class PlainValues:
    """Reads texts, lists of texts, choices and whole numbers of one parameter itself, and leaves all else to typer.

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
        if kind is int and isinstance(value, str):
            return _whole_number(value, param, ctx)
        return build_runtime_param(param.type_descriptor).coerce(value, param=param, ctx=ctx)


def _whole_number(text: str, param: Any, ctx: Any) -> int:
    """The number within the limits of its parameter. Raises BadParameter."""
    info = param.type_descriptor.parameter_info
    try:
        number = int(text)
        is_within = (info.min is None or number >= info.min) and (info.max is None or number <= info.max)
    except ValueError:
        is_within = False
    if not is_within:
        raise BadParameter(f"{text!r} is not a whole number{_range_words(info.min, info.max)}", ctx=ctx, param=param)
    return number


def _range_words(least: int | None, most: int | None) -> str:
    if least is None:
        return "" if most is None else f" of at most {most}"
    return f" of at least {least}" if most is None else f" from {least} to {most}"


def read_plainly(command: Any, parent: Any) -> None:
    """Read the values of a command, and of the commands in it, as `PlainValues`. parent: the context it runs in."""
    context = command.context_class(command, parent=parent, **command.context_settings)
    for param in command.get_params(context):
        param._runtime_param = PlainValues()  # where typer keeps its own, made at the first value
    for inner in getattr(command, "commands", {}).values():
        read_plainly(inner, context)
