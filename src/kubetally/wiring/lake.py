"""The lake of the settings."""

from datetime import timedelta

from kubetally.settings import Settings
from kubetally.store.lake.location import LakeLocation


def lake_location(settings: Settings) -> LakeLocation:
    """Where the lake of the settings is."""
    place = settings.lake_url or str(settings.home_folder.absolute() / "lake")
    return LakeLocation(place, settings.lake_options, timedelta(days=settings.history_days))
