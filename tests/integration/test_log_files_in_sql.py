"""The port `LogFiles` on every database."""

from kubetally.ledger.ports.lake import LogFile
from kubetally.store.meta.log_files import SqlLogFiles
from kubetally.store.meta.schema import ready_engine
from tests.integration.databases import Database

_FILES = [LogFile("assets", f"{number:020}.json", number) for number in range(12)]
_COLLATION = "CREATE COLLATION without_punctuation (provider = icu, locale = 'und-u-ka-shifted')"


def test_files_of_versions_between_first_and_last_are_kept(database: Database) -> None:
    with ready_engine(database.url) as engine:
        if database.kind == "postgresql":  # sorts as the locales of a language do: letters after all other characters
            database.execute(_COLLATION)
            database.execute("ALTER TABLE log_files ALTER name TYPE varchar(128) COLLATE without_punctuation")
        log_files = SqlLogFiles(engine)
        checkpoint = LogFile("assets", f"{10:020}.checkpoint.parquet", 99)
        log_files.note([*_FILES, checkpoint, LogFile("running", f"{0:020}.json", 7)])
        log_files.keep({"assets": (2, 10)})
        kept = [*_FILES[2:11], checkpoint]
        assert log_files.noted() == {(file.table, file.name): file.crc for file in kept}
        assert log_files.newest() == {"assets": 10}
