"""What every command does first."""

import os
from typing import TYPE_CHECKING

from kubetally.cli.answer_file import warn
from kubetally.domain.nearest import did_you_mean
from kubetally.settings import unknown_variables

if TYPE_CHECKING:
    from kubetally.settings import Settings


def start(default_level: str | None = None, *, is_service: bool = False, quiet: bool = False) -> "Settings":
    """Read the settings of the environment, and set up the logs as they say. Raises as `read_settings`.

    default_level: of logs, where the environment states none. is_service: the logs have also what the output has; so
    they do if the environment states a level. quiet: errors only, and no warning of unknown variables.
    """
    # Arrow's own allocator keeps a third more memory than is in use, and saves next to no time.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    from kubetally.cli.logs import set_up_logs  # heavy: see the package
    from kubetally.wiring.environment import read_settings

    if not quiet:
        for name, similar in unknown_variables():
            meant = did_you_mean([similar] if similar else [])
            warn(f"{name} is not a setting and was ignored{meant}: see docs/settings.md")
    settings = read_settings()
    level = settings.log_level or ("error" if quiet else default_level)
    set_up_logs(level, whole=is_service or settings.log_level is not None)
    return settings
