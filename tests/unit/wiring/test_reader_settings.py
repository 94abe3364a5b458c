"""What a reader process is started with."""

from dataclasses import replace

from kubetally.settings import Settings
from kubetally.wiring.collect import SettingsReaderBuilder
from tests.served import FixedClock

SECRETS = {
    "keys": "a-key-of-accounts",
    "secret": "swordfish-of-callers",
    "database_url": "mariadb://ada:hush@db/kubetally",
    "optscale_database_url": "mariadb://bob:hush@db/optscale",
}


def test_reader_process_gets_no_keys_secret_or_database() -> None:
    settings = Settings(home="/home", attempts=7, source_token="of-the-source", lake_url="s3://bucket")
    builder = SettingsReaderBuilder.of(replace(settings, **SECRETS), FixedClock())  # type: ignore[arg-type]
    assert builder.settings == settings
