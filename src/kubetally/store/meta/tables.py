"""The tables of the metadata. A change here needs a migration; a test compares the two.

Engine and collation of MariaDB are in the migrations alone: here they would load its dialect for every database.

Instants of organizations and accounts are seconds since 1970 in UTC; those of what was collected, and of leases, are
microseconds, because there the order within a second decides. Where `deleted_at` is 0, the row is alive.
"""

from typing import Any

from sqlalchemy import (
    CHAR,
    BigInteger,
    Boolean,
    Column,
    Date,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.ext.compiler import compiles

NAME_LENGTH = 255
URL_LENGTH = 255
CREDENTIALS_BYTES = 65_535  # the limit of TEXT on MariaDB
CODE_LENGTH = 64


class LongText(Text):
    """Text of more than 64 KiB on every database."""


@compiles(LongText, "mysql", "mariadb")
def _mediumtext(*_: Any, **__: Any) -> str:
    """Without the dialect's own type, which takes long to load."""
    return "MEDIUMTEXT"


METADATA = MetaData()
"""All tables of the metadata."""

ORGANIZATIONS = Table(
    "organization",
    METADATA,
    Column("id", CHAR(36), primary_key=True),
    Column("name", String(NAME_LENGTH), nullable=False),
    Column("currency", CHAR(3), server_default="USD", nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("deleted_at", BigInteger, server_default="0", nullable=False),
    UniqueConstraint("name", "deleted_at", name="uq_organization_name"),
)
"""Who accounts belong to. `currency` is ISO 4217."""

ACCOUNTS = Table(
    "cloudaccount",
    METADATA,
    Column("id", CHAR(36), primary_key=True),
    Column("name", String(NAME_LENGTH), nullable=False),
    Column("type", String(32), nullable=False),
    Column(
        "organization_id", CHAR(36), ForeignKey("organization.id", name="fk_cloudaccount_organization"), nullable=False
    ),
    Column("kubecost_url", String(URL_LENGTH)),
    Column("prometheus_url", String(URL_LENGTH)),
    Column("tenant", String(NAME_LENGTH)),
    Column("cluster_id", String(NAME_LENGTH)),
    Column("currency", CHAR(3)),
    Column("context", String(NAME_LENGTH)),
    Column("credentials", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("deleted_at", BigInteger, server_default="0", nullable=False),
    UniqueConstraint("organization_id", "name", "deleted_at", name="uq_cloudaccount_name"),
)
"""A cloud account. `credentials` is encrypted JSON, null where there are none; a deleted account has none."""

TOKENS = Table(
    "token",
    METADATA,
    Column("id", CHAR(36), primary_key=True),
    Column("organization_id", CHAR(36), ForeignKey("organization.id", name="fk_token_organization"), nullable=False),
    Column("digest", CHAR(64), nullable=False),
    Column("name", String(NAME_LENGTH), nullable=False),
    Column("role", String(16), nullable=False),
    Column("filter", Text, nullable=False),
    Column("owner", String(NAME_LENGTH), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("last_used_at", BigInteger),
    Column("revoked_at", BigInteger),
    UniqueConstraint("digest", name="uq_token_digest"),
)
"""A token of an organization. `digest`: the SHA-256 of its text, in hexadecimal digits. Instants are microseconds."""

AUDIT = Table(
    "audit",
    METADATA,
    Column("id", CHAR(36), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("organization_id", CHAR(36), nullable=False),
    Column("who", String(NAME_LENGTH), nullable=False),
    Column("action", String(16), nullable=False),
    Column("subject", String(16), nullable=False),
    Column("subject_id", CHAR(36), nullable=False),
    Column("before_text", Text, nullable=False),
    Column("after_text", Text, nullable=False),
    Index("ix_audit_organization", "organization_id", "at"),
    Index("ix_audit_at", "at"),
)
"""A change, as `domain.audit.AuditEntry` describes it; `before_text` and `after_text` are JSON, `at` microseconds."""

COLLECTIONS = Table(
    "collections",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("account_id", String(36), nullable=False),
    Column("day", Date, nullable=False),
    Column("collected_at", BigInteger, nullable=False),
    Column("confirmed_at", BigInteger),
    Column("superseded_at", BigInteger),
    Column("version", BigInteger),
    Column("last_version", BigInteger),
    Column("is_running", Boolean, nullable=False),
    Column("phase", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("row_count", BigInteger, nullable=False),
    Column("hours_covered", Double, nullable=False),
    Column("audited", Boolean, nullable=False),
    Column("currency", String(64), nullable=False),
    Column("source", Text, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("currency_origin", String(16)),
    Column("balance", Text, nullable=False),
    Column("head", LongText, nullable=False),
    Column("examined_by", Integer, server_default="0", nullable=False),
    Column("lake_version", Integer, server_default="1", nullable=False),
    Index("ix_collections_account_day", "account_id", "day"),
    Index("ix_collections_phase", "phase", "superseded_at"),
    Index("ix_collections_examined", "phase", "examined_by"),
    Index("ix_collections_lake_version", "phase", "lake_version", "account_id", "day"),
)
"""One collection of an (account, day). What its figures mean stands with `domain.collection.Collection`.

phase:  pending until its commit to the lake is confirmed, then confirmed; superseded once another is current; missing
        once the lake lost its rows, with superseded_at once another one is current.
state:  provisional or settled.
version, last_version: of the lake's table, from which on and up to which it has the rows.
total:  micros of the bill.
head:   the source and the booking without its rows, as JSON; `balance`: of each component, as JSON.
examined_by: version of the tests that it was examined with; 0 of none.
lake_version: of the lake's columns that its rows were written with.
currency, currency_origin: they apply, whatever the head says; where the origin is null, that of the head.
There is no foreign key: an account that is gone keeps its history.
"""

COLLECTION_FACTS = Table(
    "collection_facts",
    METADATA,
    Column("account_id", String(36), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("collection_id", String(64), nullable=False),
    Column("what", String(64), nullable=False),
    Column("hours", Double),
    Column("issue", LongText),
    # Sums are made from the index alone.
    Index("ix_collection_facts_what", "what", "account_id", "day", "hours"),
)
"""A fact of the current collection of an (account, day), as `domain.collection_facts.Fact` describes it.

It is in the collection's head too, and here so that a year of a fleet is read without decoding heads.
issue: as JSON, as in the head; null for a component that was not measured.
"""

COVERAGE = Table(
    "coverage",
    METADATA,
    Column("account_id", String(36), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("collection_id", String(64)),
    Column("version", BigInteger),
    Column("state", String(16)),
    Column("is_running", Boolean),
    Column("audited", Boolean),
    Column("source", Text),
    Column("row_count", BigInteger),
    Column("hours_covered", Double),
    Column("total", BigInteger),
    Column("currency", String(64)),
    Column("currency_origin", String(16)),
    Column("collected_at", BigInteger),
    Column("attempts", Integer, server_default="0", nullable=False),
    Column("tried_at", BigInteger),
    Column("error_code", String(CODE_LENGTH)),
    Column("error_message", Text),
    Index("ix_coverage_day", "day"),
)
"""What is known of an (account, day): the current collection with its figures, and the attempts since.

The columns of the collection are null if none is stored. `version` is the collection's.
"""

HISTORIES = Table(
    "histories",
    METADATA,
    Column("account_id", String(36), primary_key=True),
    Column("begins", Date, nullable=False),
    Column("found_at", BigInteger, nullable=False),
)
"""The first day that an account's source has, and when that was found."""

RECONCILIATIONS = Table(
    "reconciliations",
    METADATA,
    Column("account_id", String(36), primary_key=True),
    Column("requested_at", BigInteger, nullable=False),
)
"""An account whose rows in the lake may differ from its collections: of another currency, or deleted."""

SAVINGS = Table(
    "savings",
    METADATA,
    Column("account_id", String(36), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("asked_at", BigInteger, nullable=False),
    Column("error_code", String(CODE_LENGTH)),
    Column("error_message", Text),
    Column("collection_id", String(64)),
    Column("currency", String(64)),
    Column("currency_origin", String(16)),
    Column("row_count", BigInteger, server_default="0", nullable=False),
    Column("total", String(64), server_default="0", nullable=False),
    Index("ix_savings_day", "day"),
)
"""The result of requesting savings of an account for a day; their rows are in the lake.

state: as `domain.savings.SavingsState`. All from `collection_id` on is null, or 0, where nothing is stored.
"""

LOG_FILES = Table(
    "log_files",
    METADATA,
    Column("table_name", String(32), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("crc", BigInteger, nullable=False),
)
"""A file of the log of one of the lake's tables, with the CRC-32 that its bytes had when it was written."""

REVISION = Table(
    "revision",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("value", String(32), nullable=False),
)
"""One row, whose value every commit changes that may change an answer; without a row, nobody knows."""

LEASES = Table(
    "leases",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("holder", String(36)),
    Column("host", String(NAME_LENGTH)),
    Column("boot", String(NAME_LENGTH)),
    Column("pid", BigInteger),
    Column("started", BigInteger),
    Column("token", BigInteger, server_default="0", nullable=False),
    Column("expires_at", BigInteger, server_default="0", nullable=False),
)
"""Who holds a lease. Where `expires_at` is 0, nobody does.

holder:  of one lease object, which distinguishes two of one process.
boot:    the boot of a machine and the process namespace that `pid` belongs to.
started: when the process began, as the system counts; it distinguishes a later process of that number.
token:   how often it was acquired so far.
"""
