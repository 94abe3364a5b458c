"""What every command that asks a source does first."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kubetally.settings import Settings


def start() -> "Settings":
    """The settings of the environment, with the logs set up as they say. Raises InvalidSetting."""
    from kubetally.cli.logs import set_up_logs  # heavy: see the package
    from kubetally.settings import Settings

    settings = Settings.read()
    set_up_logs(settings.log_level)
    return settings
