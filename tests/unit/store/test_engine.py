"""URLs of databases, as people write them."""

from pathlib import Path

import pytest

from kubetally.store.meta.engine import default_url, open_engine, shown
from kubetally.store.meta.faults import InvalidDatabaseUrl


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ("mysql://kt:s3cr3t@db/costs", "mysql+pymysql://kt:***@db/costs"),
        ("mariadb://kt:s3cr3t@db:3307/costs?ssl_ca=/ca.pem", "mariadb+pymysql://kt:***@db:3307/costs"),
        ("mariadb+mariadbconnector://kt:s3cr3t@db/costs", "mariadb+pymysql://kt:***@db/costs"),
        (" postgres://kt:s3cr3t@db/costs ", "postgresql+psycopg://kt:***@db/costs"),
        ("postgresql+asyncpg://kt@db/costs?password=s3cr3t", "postgresql+psycopg://kt@db/costs"),
    ],
)
def test_a_url_gets_our_driver_and_is_shown_without_password(given: str, seen: str) -> None:
    engine = open_engine(given)
    assert shown(engine) == seen
    assert "s3cr3t" not in repr(engine).replace("?password=s3cr3t", "")
    engine.dispose()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "costs.db",
        "oracle://kt:s3cr3t@db/costs",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite://folder/file.db",
        "sqlite:///file.db",
        "sqlite:///./folder/file.db",
        "sqlite+pysqlite:///folder/file.db",
        "postgresql://kt:s3cr3t@db",
        "postgresql://kt:s3cr3t@db:port/costs",
        "://kt:s3cr3t@db/costs",
    ],
)
def test_what_is_no_url_of_a_database_is_refused_with_what_one_looks_like(url: str) -> None:
    with pytest.raises(InvalidDatabaseUrl, match=r"write sqlite:////folder/file\.db") as caught:
        open_engine(url)
    assert "s3cr3t" not in str(caught.value)


def test_the_default_is_the_same_file_wherever_a_relative_home_is_looked_at_from() -> None:
    assert default_url(Path("state")) == f"sqlite:///{Path.cwd()}/state/kubetally.db"


def test_the_default_is_a_file_in_the_folder_of_local_state(tmp_path: Path) -> None:
    home = tmp_path / "ä 100%?#"
    engine = open_engine(default_url(home))
    engine.dispose()
    assert [one.name for one in home.iterdir()] == ["kubetally.db"]
