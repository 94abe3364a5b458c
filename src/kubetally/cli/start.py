"""What every command does first."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kubetally.settings import Settings


def start(default_level: str | None = None) -> "Settings":
    """The settings of the environment, with the logs set up as they say. Raises InvalidSetting and as `read_settings`.

    `default_level` of logs is that of a command which runs for long, where the environment states none.
    """
    from kubetally.cli.logs import set_up_logs  # heavy: see the package
    from kubetally.wiring.environment import read_settings

    settings = read_settings()
    set_up_logs(settings.log_level or default_level)
    return settings
