"""The port `LogFiles` on every database."""

from dataclasses import replace

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


def test_first_note_of_a_file_stays_until_it_is_forgotten(database: Database) -> None:
    with ready_engine(database.url) as engine:
        log_files, first = SqlLogFiles(engine), LogFile("assets", f"{0:020}.json", 1)
        assert (log_files.noted(), log_files.newest()) == ({}, {})
        log_files.note([first])
        log_files.note([replace(first, crc=2), replace(first, table="allocations", crc=3)])
        assert log_files.noted() == {("assets", first.name): 1, ("allocations", first.name): 3}
        log_files.forget("assets", name=first.name)
        assert log_files.noted() == {("allocations", first.name): 3}
        log_files.note([replace(first, crc=2)])
        assert log_files.noted()["assets", first.name] == 2


def test_tables_without_versions_are_forgotten(database: Database) -> None:
    with ready_engine(database.url) as engine:
        log_files = SqlLogFiles(engine)
        log_files.note([*_FILES, LogFile("running", f"{3:020}.json", 7)])
        log_files.keep({"running": (0, 3)})
        assert log_files.newest() == {"running": 3}
