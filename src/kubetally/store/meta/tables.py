"""The tables of the metadata. A change here needs a migration; a test holds the two together.

Instants are seconds since 1970 in UTC. Where `deleted_at` is 0, the row is alive.
"""

from sqlalchemy import CHAR, BigInteger, ForeignKey, String, Text, UniqueConstraint
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
