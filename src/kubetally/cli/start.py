"""What every command does first."""

import sys
from typing import TYPE_CHECKING

from kubetally.settings import unknown_variables

if TYPE_CHECKING:
    from kubetally.settings import Settings


def start(default_level: str | None = None, *, quiet: bool = False) -> "Settings":
    """The settings of the environment, with the logs set up as they say. Raises InvalidSetting and as `read_settings`.

    `default_level` of logs is that of a command which runs for long, where the environment states none. Variables that
    are no setting are named on standard error, unless `quiet`.
    """
    from kubetally.cli.logs import set_up_logs  # heavy: see the package
    from kubetally.wiring.environment import read_settings

    if not quiet:
        for name, meant in unknown_variables():
            instead = f"; did you mean {meant}?" if meant else ":"
            print(f"warning: {name} is not a setting and was ignored{instead} see docs/settings.md", file=sys.stderr)
    settings = read_settings()
    set_up_logs(settings.log_level or default_level)
    return settings
