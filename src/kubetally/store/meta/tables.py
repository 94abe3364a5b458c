"""The tables of the metadata. A change here needs a migration; a test holds the two together.

Instants of organizations and accounts are seconds since 1970 in UTC; those of what was collected, and of leases, are
microseconds, because there the order within a second decides. Where `deleted_at` is 0, the row is alive.
"""

from datetime import date
from typing import Any

from sqlalchemy import (
    CHAR,
    BigInteger,
    Boolean,
    Date,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# As in the other two, names that differ in case or accents differ.
_OPTIONS = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in {"engine": "InnoDB", "charset": "utf8mb4", "collate": "utf8mb4_bin"}.items()
}
NAME_LENGTH = 255
URL_LENGTH = 255
CREDENTIALS_BYTES = 65_535  # what TEXT of MariaDB holds
CODE_LENGTH = 64


class LongText(Text):
    """Text of more than 64 KiB on every database."""


@compiles(LongText, "mysql", "mariadb")
def _mediumtext(*_: Any, **__: Any) -> str:
    """Without the dialect's own type, which takes long to load."""
    return "MEDIUMTEXT"


class Base(DeclarativeBase):
    """All tables of the metadata."""


class OrganizationRow(Base):
    """Who accounts belong to. `currency` is ISO 4217."""

    __tablename__ = "organization"
    __table_args__ = (UniqueConstraint("name", "deleted_at", name="uq_organization_name"), _OPTIONS)

    id: Mapped[str] = mapped_column(CHAR(36), primary_key=True)
    name: Mapped[str] = mapped_column(String(NAME_LENGTH))
    currency: Mapped[str] = mapped_column(CHAR(3), server_default="USD")
    created_at: Mapped[int] = mapped_column(BigInteger)
    deleted_at: Mapped[int] = mapped_column(BigInteger, server_default="0")


class AccountRow(Base):
    """A cloud account. `credentials` is encrypted JSON, null where there are none; a deleted account has none."""

    __tablename__ = "cloudaccount"
    __table_args__ = (UniqueConstraint("organization_id", "name", "deleted_at", name="uq_cloudaccount_name"), _OPTIONS)

    id: Mapped[str] = mapped_column(CHAR(36), primary_key=True)
    name: Mapped[str] = mapped_column(String(NAME_LENGTH))
    type: Mapped[str] = mapped_column(String(32))
    organization_id: Mapped[str] = mapped_column(ForeignKey("organization.id", name="fk_cloudaccount_organization"))
    kubecost_url: Mapped[str | None] = mapped_column(String(URL_LENGTH))
    prometheus_url: Mapped[str | None] = mapped_column(String(URL_LENGTH))
    tenant: Mapped[str | None] = mapped_column(String(NAME_LENGTH))
    cluster_id: Mapped[str | None] = mapped_column(String(NAME_LENGTH))
    currency: Mapped[str | None] = mapped_column(CHAR(3))
    context: Mapped[str | None] = mapped_column(String(NAME_LENGTH))
    credentials: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[int] = mapped_column(BigInteger)
    deleted_at: Mapped[int] = mapped_column(BigInteger, server_default="0")


class CollectionRow(Base):
    """One collection of an (account, day). What its figures mean stands with `domain.collection.Collection`.

    phase:  pending until it is known to be in the lake, then confirmed; superseded once another one holds; missing once
            the lake lost its rows, with superseded_at once another one holds.
    state:  provisional or settled.
    version, last_version: of the lake's table, from which on and up to which it has the rows.
    total:  micros of the bill.
    head:   the source and the booking without its rows, as JSON; `balance`: of each component, as JSON.
    examined_by: version of the tests that it was examined with; 0 of none.
    lake_version: of the lake's columns that its rows were written with.
    currency, currency_origin: they hold, whatever the head says; where the origin is null, that of the head.
    There is no foreign key: an account that is gone keeps its history.
    """

    __tablename__ = "collections"
    __table_args__ = (
        Index("ix_collections_account_day", "account_id", "day"),
        Index("ix_collections_phase", "phase", "superseded_at"),
        Index("ix_collections_examined", "phase", "examined_by"),
        Index("ix_collections_lake_version", "phase", "lake_version", "account_id", "day"),
        _OPTIONS,
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[str] = mapped_column(String(36))
    day: Mapped[date] = mapped_column(Date)
    collected_at: Mapped[int] = mapped_column(BigInteger)
    confirmed_at: Mapped[int | None] = mapped_column(BigInteger)
    superseded_at: Mapped[int | None] = mapped_column(BigInteger)
    version: Mapped[int | None] = mapped_column(BigInteger)
    last_version: Mapped[int | None] = mapped_column(BigInteger)
    is_running: Mapped[bool] = mapped_column(Boolean)
    phase: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    row_count: Mapped[int] = mapped_column(BigInteger)
    hours_covered: Mapped[float] = mapped_column(Double)
    audited: Mapped[bool] = mapped_column(Boolean)
    currency: Mapped[str] = mapped_column(String(64))
    source: Mapped[str] = mapped_column(Text)
    total: Mapped[int] = mapped_column(BigInteger)
    currency_origin: Mapped[str | None] = mapped_column(String(16))
    balance: Mapped[str] = mapped_column(Text)
    head: Mapped[str] = mapped_column(LongText)
    examined_by: Mapped[int] = mapped_column(Integer, server_default="0")
    lake_version: Mapped[int] = mapped_column(Integer, server_default="1")


class CollectionFactRow(Base):
    """A fact of the collection that holds for an (account, day), as `domain.collection_facts.Fact` describes it.

    It is in the collection's head too, and here so that a year of a fleet is read without decoding heads.
    issue: as JSON, as in the head; null of a component that nobody measured.
    """

    __tablename__ = "collection_facts"
    # Sums are made from the index alone.
    __table_args__ = (Index("ix_collection_facts_what", "what", "account_id", "day", "hours"), _OPTIONS)

    account_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    ordinal: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    collection_id: Mapped[str] = mapped_column(String(64))
    what: Mapped[str] = mapped_column(String(64))
    hours: Mapped[float | None] = mapped_column(Double)
    issue: Mapped[str | None] = mapped_column(LongText)


class CoverageRow(Base):
    """What is known of an (account, day): the collection that holds, with its figures, and what was tried since.

    The columns of the collection are null if none is stored. `version` is the collection's.
    """

    __tablename__ = "coverage"
    __table_args__ = (Index("ix_coverage_day", "day"), _OPTIONS)

    account_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    collection_id: Mapped[str | None] = mapped_column(String(64))
    version: Mapped[int | None] = mapped_column(BigInteger)
    state: Mapped[str | None] = mapped_column(String(16))
    is_running: Mapped[bool | None] = mapped_column(Boolean)
    audited: Mapped[bool | None] = mapped_column(Boolean)
    source: Mapped[str | None] = mapped_column(Text)
    row_count: Mapped[int | None] = mapped_column(BigInteger)
    hours_covered: Mapped[float | None] = mapped_column(Double)
    total: Mapped[int | None] = mapped_column(BigInteger)
    currency: Mapped[str | None] = mapped_column(String(64))
    currency_origin: Mapped[str | None] = mapped_column(String(16))
    collected_at: Mapped[int | None] = mapped_column(BigInteger)
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    tried_at: Mapped[int | None] = mapped_column(BigInteger)
    error_code: Mapped[str | None] = mapped_column(String(CODE_LENGTH))
    error_message: Mapped[str | None] = mapped_column(Text)


class HistoryRow(Base):
    """The first day that an account's source holds, and when that was found out."""

    __tablename__ = "histories"
    __table_args__ = (_OPTIONS,)

    account_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    begins: Mapped[date] = mapped_column(Date)
    found_at: Mapped[int] = mapped_column(BigInteger)


class ReconciliationRow(Base):
    """An account whose rows in the lake may differ from its collections: of another currency, or deleted."""

    __tablename__ = "reconciliations"
    __table_args__ = (_OPTIONS,)

    account_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    requested_at: Mapped[int] = mapped_column(BigInteger)


class SavingsRow(Base):
    """What came of asking the source of an account for savings on a day; their rows are in the lake.

    state: as `domain.savings.SavingsState`. All from `collection_id` on is null, or 0, where nothing is stored.
    """

    __tablename__ = "savings"
    __table_args__ = (Index("ix_savings_day", "day"), _OPTIONS)

    account_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    asked_at: Mapped[int] = mapped_column(BigInteger)
    error_code: Mapped[str | None] = mapped_column(String(CODE_LENGTH))
    error_message: Mapped[str | None] = mapped_column(Text)
    collection_id: Mapped[str | None] = mapped_column(String(64))
    currency: Mapped[str | None] = mapped_column(String(64))
    currency_origin: Mapped[str | None] = mapped_column(String(16))
    row_count: Mapped[int] = mapped_column(BigInteger, server_default="0")
    total: Mapped[str] = mapped_column(String(64), server_default="0")


class LogFileRow(Base):
    """A file of the log of one of the lake's tables, with the CRC-32 that its bytes had when it was written."""

    __tablename__ = "log_files"
    __table_args__ = (_OPTIONS,)

    table_name: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    crc: Mapped[int] = mapped_column(BigInteger)


class LeaseRow(Base):
    """Who does what alone. Where `expires_at` is 0, nobody does.

    holder:  of one lease object, which distinguishes two of one process.
    boot:    the boot of a machine and the process namespace that `pid` belongs to.
    started: when the process began, as the system counts; it tells the process from a later one of that number.
    token:   how often it was taken so far.
    """

    __tablename__ = "leases"
    __table_args__ = (_OPTIONS,)

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    holder: Mapped[str | None] = mapped_column(String(36))
    host: Mapped[str | None] = mapped_column(String(NAME_LENGTH))
    boot: Mapped[str | None] = mapped_column(String(NAME_LENGTH))
    pid: Mapped[int | None] = mapped_column(BigInteger)
    started: Mapped[int | None] = mapped_column(BigInteger)
    token: Mapped[int] = mapped_column(BigInteger, server_default="0")
    expires_at: Mapped[int] = mapped_column(BigInteger, server_default="0")
