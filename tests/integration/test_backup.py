"""Dumps of the metadata, from any kind of database into any."""

import hashlib
import json
import uuid
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from io import BytesIO
from pathlib import Path

import pytest

from kubetally.domain.access import Role
from kubetally.domain.account import Account, AccountType, Credentials
from kubetally.domain.errors import RequestError, StoreError
from kubetally.domain.money import CurrencyOrigin
from kubetally.domain.savings import SavingsDay, SavingsState
from kubetally.ledger.accounts.tokens import TokenDraft, add_token
from kubetally.ledger.ports.backups import DumpUnusable
from kubetally.ledger.ports.lake import LogFile
from kubetally.store.backup.dump import DumpIsNewer, dump, load
from kubetally.store.meta import schema
from kubetally.store.meta.schema import upgrade
from kubetally.store.meta.tables import METADATA, REVISION
from tests.errors import raises_code
from tests.integration.collected_days import DAY, NOW, collection, opener_of
from tests.integration.databases import PASSWORD, Database
from tests.served import FixedClock

END = DAY + timedelta(days=3)
TABLES = [
    "organization",
    "cloudaccount",
    "audit",
    "collection_facts",
    "collections",
    "coverage",
    "histories",
    "leases",
    "log_files",
    "reconciliations",
    "savings",
    "token",
]
COUNTS = {
    "organization": 1,
    "token": 1,
    "audit": 4,
    "cloudaccount": 2,
    "collection_facts": 4,
    "collections": 4,
    "coverage": 3,
    "histories": 1,
    "leases": 1,
    "log_files": 2,
    "reconciliations": 1,
    "savings": 2,
}
Lines = list[bytes]


def fill(database: Database) -> Account:
    """Put something into every table."""
    with contextmanager(opener_of)(database.url) as opens:
        meta = opens()
        made = Account(
            str(uuid.uuid4()), meta.accounts.organization().id, "Zürich 🚀", AccountType.KUBERNETES_CNR, tenant="t"
        )
        kept = meta.accounts.add(replace(made, credentials=Credentials(token="xoxb-secret")))
        meta.accounts.add(replace(made, id=str(uuid.uuid4()), name="gone"))
        meta.accounts.remove("gone")
        add_token(meta.tokens, meta.organizations, FixedClock(NOW), TokenDraft(Role.VIEWER), owner="jane")
        for number in range(3):
            meta.coverage.intend([collection(f"c{number}", day=DAY + timedelta(days=number // 2))])
            meta.coverage.confirm([f"c{number}"], number)
        meta.coverage.intend([collection("pending", "b")])
        meta.coverage.failed("b", END, NOW, code="code", message="what\nwent wrong: „ä“")
        meta.coverage.note_history("b", date(2024, 2, 29), NOW)
        meta.log_files.note([LogFile("assets", f"{number:020}.json", 2**32 - 1) for number in range(2)])
        meta.savings.note(
            [
                SavingsDay("a", DAY, SavingsState.COLLECTED, NOW, None, None, "s", "USD", CurrencyOrigin.SOURCE, 3, -7),
                SavingsDay("b", DAY, SavingsState.FAILED, NOW, "code", "what\nwent wrong: „ä“"),
            ]
        )
        meta.days.purge("c")
        lease = meta.leases.acquire("committer")
        assert lease is not None
    return kept


def everything(database: Database) -> dict[str, list[dict[str, object]]]:
    """All rows of all tables; days and truth values as one kind of database has them."""
    return {
        table.name: [
            {name: str(value) if name in {"day", "begins"} else value for name, value in row.items()}
            for row in database.rows(
                f"SELECT * FROM {table.name} ORDER BY {', '.join(item.name for item in table.primary_key)}"  # noqa: S608
            )
        ]
        for table in METADATA.sorted_tables
        if table is not REVISION
    }


def dumped(database: Database) -> Lines:
    stream = BytesIO()
    dump(database.url, stream)
    return stream.getvalue().splitlines(keepends=True)


def sealed(lines: Lines) -> Lines:
    """Lines with an end that fits them."""
    counts = dict.fromkeys(TABLES, 0)
    for line in lines[1:]:
        counts[json.loads(line)["table"]] += 1
    end = {"rows": counts, "sha256": hashlib.sha256(b"".join(lines)).hexdigest()}
    return [*lines, json.dumps(end).encode() + b"\n"]


def restore(database: Database, lines: Lines) -> dict[str, int]:
    return load(database.url, BytesIO(b"".join(lines)))


def is_untouched(database: Database) -> bool:
    """Whether there are no tables, or at most those without a row that MariaDB keeps."""
    try:
        found = everything(database)
    except StoreError as error:
        if error.code not in {"schema_mismatch", "tables_missing"}:
            raise
        return True
    rows = [row for table in found.values() for row in table]
    return database.kind == "mariadb" and [row.get("name") for row in rows] == ["default"]


@pytest.fixture
def sqlite(tmp_path: Path) -> Database:
    """A filled database."""
    (tmp_path / "filled").mkdir()
    made = Database("sqlite", f"sqlite:///{tmp_path}/filled/kubetally.db", tmp_path / "filled")
    fill(made)
    return made


def test_a_dump_of_any_database_makes_the_same_of_any_other(database: Database, other_database: Database) -> None:
    account = fill(database)
    stream = BytesIO()
    assert dump(database.url, stream) == COUNTS
    assert load(other_database.url, BytesIO(stream.getvalue())) == COUNTS
    assert everything(other_database) == everything(database)
    assert b"".join(dumped(other_database)) == stream.getvalue()
    with contextmanager(opener_of)(other_database.url) as opens, contextmanager(opener_of)(database.url) as before:
        new, old = opens(), before()
        assert new.accounts.all() == [account]
        assert new.coverage.collections("a", DAY, end=END) == old.coverage.collections("a", DAY, end=END)
        assert new.coverage.days(DAY, end=END + timedelta(days=1)) == old.coverage.days(
            DAY, end=END + timedelta(days=1)
        )
        assert new.coverage.pending() == old.coverage.pending()
        new.coverage.confirm(["pending"], 9)


def test_a_dump_holds_credentials_encrypted_and_no_key_or_password(database: Database) -> None:
    fill(database)
    whole = b"".join(dumped(database))
    assert b"xoxb-secret" not in whole
    assert PASSWORD.encode() not in whole
    assert json.loads(whole.splitlines()[0]) == {"kubetally_dump": 1, "revision": schema.NEWEST}


class Interrupted(BytesIO):
    """A stream on which something happens when the third line is written."""

    def __init__(self, happens: Callable[[], None]) -> None:
        super().__init__()
        self.happens, self.lines = happens, 0

    def write(self, line: object) -> int:
        self.lines += 1
        if self.lines == 3:
            self.happens()
        return super().write(line)  # type: ignore[arg-type]


def test_a_dump_is_of_one_instant_although_others_write_meanwhile(database: Database) -> None:
    fill(database)
    before = dumped(database)
    with contextmanager(opener_of)(database.url) as opens:
        meta = opens()
        stream = Interrupted(lambda: meta.coverage.failed("new", DAY, NOW, code="code", message="message"))
        dump(database.url, stream)
    assert stream.getvalue().splitlines(keepends=True) == before
    assert dumped(database) != before


def test_a_disk_that_is_full_ends_a_dump_and_holds_nothing_back(database: Database) -> None:
    fill(database)

    def full() -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        dump(database.url, Interrupted(full))
    assert len(dumped(database)) == sum(COUNTS.values()) + 2  # its head and its end


def test_a_database_that_was_only_set_up_is_empty(database: Database, sqlite: Database) -> None:
    upgrade(database.url)
    assert restore(database, dumped(sqlite)) == COUNTS
    assert everything(database) == everything(sqlite)
    assert [row["name"] for row in everything(database)["organization"]] == ["default"]


def test_older_dump_is_read_into_the_current_tables(database: Database, sqlite: Database) -> None:
    lines = dumped(sqlite)
    old = [line for line in lines[1:-1] if json.loads(line)["table"] in TABLES[:2]]
    older = sealed([lines[0].replace(schema.NEWEST.encode(), b"0001"), *old])
    counts = restore(database, older)
    assert counts == {"organization": 1, "cloudaccount": 2}
    assert upgrade(database.url) == schema.NEWEST
    assert dumped(database)[1:4] == old
    assert everything(database)["collections"] == []


def test_older_dump_is_restored_into_newer_tables(database: Database, sqlite: Database) -> None:
    upgrade(database.url)
    lines = dumped(sqlite)
    old = [line for line in lines[1:-1] if json.loads(line)["table"] in TABLES[:2]]
    restore(database, sealed([lines[0].replace(schema.NEWEST.encode(), b"0001"), *old]))
    assert dumped(database)[1:4] == old


def test_dump_without_facts_gets_them_from_its_heads(database: Database, sqlite: Database) -> None:
    head, *rows, _ = dumped(sqlite)
    old = [json.loads(row) for row in rows]
    for row in old:
        row["row"].pop("lake_version", None)
    later = {"audit", "collection_facts", "savings", "token"}
    kept = [json.dumps(row).encode() + b"\n" for row in old if row["table"] not in later]
    restore(database, sealed([head.replace(schema.NEWEST.encode(), b"0005"), *kept]))
    found, filled = everything(database), everything(sqlite)
    assert found["collection_facts"] == filled["collection_facts"]
    assert {row["lake_version"] for row in found["collections"]} == {1}


def test_a_database_that_is_in_use_is_left_as_it_is(database: Database, sqlite: Database) -> None:
    fill(database)
    before = everything(database)
    with pytest.raises(
        RequestError, match=r"not empty \(audit, cloudaccount, collection_facts, .*\).*into a new database"
    ) as caught:
        restore(database, dumped(sqlite))
    assert PASSWORD not in str(caught.value)
    assert everything(database) == before


def test_another_program_s_database_is_left_as_it_is(database: Database, sqlite: Database) -> None:
    database.execute("CREATE TABLE something_else (id char(36))")
    with pytest.raises(RequestError, match="something_else"):
        restore(database, dumped(sqlite))
    assert database.execute("SELECT * FROM something_else") == []


def test_a_dump_of_a_newer_version_is_refused(database: Database, sqlite: Database) -> None:
    lines = dumped(sqlite)
    for head in (
        lines[0].replace(schema.NEWEST.encode(), b"9999"),
        b'{"kubetally_dump": 2, "revision": "9999"}\n',
    ):
        with pytest.raises(DumpIsNewer, match=r"revision 9999.* restore it with the version that wrote it"):
            restore(database, [head, *lines[1:]])
    assert is_untouched(database)


DAMAGES: dict[str, Callable[[Lines], Lines]] = {
    "without its end": lambda lines: lines[:-1],
    "cut within a line": lambda lines: [*lines[:-1], lines[-1][:-9]],
    "cut within a row": lambda lines: [*lines[:4], lines[4][:20]],
    "only its head": lambda lines: lines[:1],
    "a row is missing": lambda lines: lines[:3] + lines[4:],
    "a row comes twice": lambda lines: [*lines[:-1], lines[-2].replace(b"jane", b"other"), lines[-1]],
    "a digit is another": lambda lines: [line.replace(b"7000000", b"8000000") for line in lines],
    "something after its end": lambda lines: [*lines, b'{"more": 1}\n'],
    "a line of something else": lambda lines: [*lines[:3], b"[1]\n", *lines[3:]],
    "bytes that are no text": lambda lines: [*lines[:3], b"\xff\xfe\n", *lines[3:]],
    "a table of nobody": lambda lines: sealed([*lines[:-1], b'{"table":"leases","row":{}}\n']),
    "a day that is none": lambda lines: sealed([line.replace(b'"2026-11-20"', b'"2026-13-20"') for line in lines[:-1]]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_of_a_damaged_dump_nothing_is_restored(database: Database, sqlite: Database, damage: str) -> None:
    sound = dumped(sqlite)
    damaged = DAMAGES[damage](sound)
    assert damaged != sound
    with pytest.raises(DumpUnusable, match=r"Nothing was restored; use another copy"):
        restore(database, damaged)
    assert is_untouched(database)
    assert restore(database, sound) == COUNTS


def test_rows_that_the_database_refuses_leave_nothing_behind(database: Database, sqlite: Database) -> None:
    lines = dumped(sqlite)
    with raises_code("store_refused"):
        restore(database, sealed([*lines[:-1], lines[-2]]))
    assert is_untouched(database)


@pytest.mark.parametrize("content", [b"", b"\n", b"\x1f\x8b\x08\x00", b"CREATE TABLE x;\n", b"{}\n", b"[]\n"])
def test_invalid_dump_is_refused_before_the_database_is_read(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "kubetally.db"
    with pytest.raises(DumpUnusable, match="give the file that was written as one") as caught:
        load(f"sqlite:///{file}", BytesIO(content))
    assert caught.value.code == "not_a_dump"
    assert not file.exists()
