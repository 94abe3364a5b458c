"""The design note's two statements, on a database as OptScale makes it."""

import uuid
from dataclasses import dataclass

import pytest

from kubetally.domain.source_url import SourceUrl
from kubetally.store.meta import optscale
from kubetally.store.meta.faults import InvalidDatabaseUrl
from kubetally.store.meta.optscale import Changed
from kubetally.store.meta.schema import upgrade
from tests.errors import raises_code
from tests.integration.databases import Database

URL = "http://kubecost-prod-01.example.com:9090"
PARSED = SourceUrl.parse(URL)
TYPES = (
    "aws_cnr",
    "alibaba_cnr",
    "azure_cnr",
    "azure_tenant",
    "kubernetes_cnr",
    "environment",
    "gcp_cnr",
    "nebius",
    "databricks",
)


@dataclass
class OptScale:
    """OptScale's database with a few accounts; `cluster` and `second` are Kubernetes accounts."""

    database: Database
    cluster: str
    second: str
    aws: str

    @property
    def url(self) -> str:
        return self.database.url

    def rows(self, *, without_url: bool = False) -> dict[object, dict[str, object]]:
        engine_rows = self.database.rows("SELECT * FROM cloudaccount")
        return {
            row["id"]: {name: value for name, value in row.items() if not (without_url and name == "kubecost_url")}
            for row in engine_rows
        }

    def urls(self) -> dict[object, object]:
        return {key: row["kubecost_url"] for key, row in self.rows().items()}


@pytest.fixture
def made(database: Database) -> OptScale:
    """The columns of contract.md, section 2."""
    kind = {
        "mariadb": f"ENUM({', '.join(repr(one) for one in TYPES)})",
        "sqlite": "VARCHAR(16)",
        "postgresql": "cloud_type",
    }[database.kind]
    if database.kind == "postgresql":
        database.execute(f"CREATE TYPE cloud_type AS ENUM ({', '.join(repr(one) for one in TYPES)})")
    database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    database.execute("INSERT INTO alembic_version VALUES ('5f0c3c7e1a2b')")
    database.execute(
        "CREATE TABLE organization (id CHAR(36) PRIMARY KEY, name VARCHAR(256) NOT NULL, pool_id CHAR(36), is_demo INT,"
        " currency CHAR(3) NOT NULL DEFAULT 'USD', created_at INT NOT NULL, deleted_at INT NOT NULL DEFAULT 0,"
        " cleaned_at INT NOT NULL DEFAULT 0)"
    )
    database.execute(
        f"CREATE TABLE cloudaccount (id CHAR(36) PRIMARY KEY, name VARCHAR(256) NOT NULL, type {kind} NOT NULL,"
        " config TEXT, organization_id CHAR(36) NOT NULL REFERENCES organization (id), account_id VARCHAR(256),"
        " parent_id CHAR(36), cost_model_id CHAR(36), auto_import INT NOT NULL DEFAULT 1,"
        " import_period INT NOT NULL DEFAULT 1, last_import_at INT NOT NULL DEFAULT 0,"
        " last_import_modified_at INT NOT NULL DEFAULT 0, last_import_attempt_at INT NOT NULL DEFAULT 0,"
        " last_import_attempt_error TEXT, last_getting_metrics_at INT NOT NULL DEFAULT 0,"
        " last_getting_metric_attempt_at INT NOT NULL DEFAULT 0, last_getting_metric_attempt_error TEXT,"
        " process_recommendations INT NOT NULL DEFAULT 1, cleaned_at INT NOT NULL DEFAULT 0,"
        " created_at INT NOT NULL DEFAULT 0, deleted_at INT NOT NULL DEFAULT 0,"
        " UNIQUE (organization_id, name, deleted_at), UNIQUE (account_id, type, organization_id, deleted_at))"
    )
    organization = str(uuid.uuid4())
    database.execute("INSERT INTO organization (id, name, created_at) VALUES (:id, 'Acme', 1)", id=organization)
    ids = []
    for name in ("prod", "stage ü", "aws"):
        ids.append(str(uuid.uuid4()))
        database.execute(
            "INSERT INTO cloudaccount (id, name, type, config, organization_id, account_id, last_import_at, created_at)"
            " VALUES (:id, :name, 'kubernetes_cnr', 'gAAAA', :organization, :name, 1700000000, 1600000000)",
            id=ids[-1],
            name=name,
            organization=organization,
        )
    database.execute("UPDATE cloudaccount SET type = 'aws_cnr' WHERE name = 'aws'")
    return OptScale(database, *ids)


def test_the_column_comes_with_the_urls_and_goes_again(made: OptScale) -> None:
    before = made.rows()
    assert optscale.up(made.url, {made.cluster: PARSED}) == Changed(True, (made.cluster,))
    assert made.urls() == {made.cluster: URL, made.second: None, made.aws: None}
    assert made.rows(without_url=True) == before
    assert optscale.down(made.url) == Changed(True)
    assert made.rows() == before


def test_both_ways_may_be_gone_twice(made: OptScale) -> None:
    before = made.rows()
    optscale.up(made.url, {made.cluster: PARSED})
    assert optscale.up(made.url, {made.cluster: PARSED}) == Changed(False, (made.cluster,))
    assert made.urls()[made.cluster] == URL
    optscale.down(made.url)
    assert optscale.down(made.url) == Changed(False)
    assert made.rows() == before


def test_an_account_that_is_not_named_keeps_its_url(made: OptScale) -> None:
    optscale.up(made.url, {made.cluster: PARSED})
    optscale.up(made.url, {made.second: SourceUrl.parse("https://two.example.com/model")})
    assert optscale.up(made.url, {}) == Changed(False)
    assert made.urls() == {made.cluster: URL, made.second: "https://two.example.com/model", made.aws: None}


def test_only_kubernetes_accounts_get_a_url(made: OptScale) -> None:
    missing = "prod-k8s-01-id"
    given = {made.aws: PARSED, made.cluster: PARSED, missing: PARSED}
    assert optscale.up(made.url, given) == Changed(True, (made.cluster,), (made.aws, missing))
    assert made.urls() == {made.cluster: URL, made.second: None, made.aws: None}


def test_a_column_that_somebody_added_by_hand_is_used_as_it_is(made: OptScale) -> None:
    made.database.execute("ALTER TABLE cloudaccount ADD COLUMN kubecost_url VARCHAR(255)")
    assert optscale.up(made.url, {made.cluster: PARSED}) == Changed(False, (made.cluster,))


def test_the_column_is_the_one_of_the_design_note(made: OptScale) -> None:
    optscale.up(made.url, {made.cluster: SourceUrl.parse("http://" + "h" * 248)})
    [column] = [one for one in made.database.columns("cloudaccount") if one["name"] == "kubecost_url"]
    assert (str(column["type"]).split()[0], column["nullable"], column["default"]) == ("VARCHAR(255)", True, None)


def test_a_database_without_the_table_is_refused_and_left_as_it_is(database: Database) -> None:
    for act in (lambda: optscale.up(database.url, {"id": PARSED}), lambda: optscale.down(database.url)):
        with raises_code("schema_mismatch", match="has no table cloudaccount. Give the URL of OptScale's"):
            act()
    database.execute("CREATE TABLE cloudaccount (number INT)")
    with raises_code("schema_mismatch", match="cloudaccount without id, organization_id, type"):
        optscale.up(database.url, {"id": PARSED})
    assert [column["name"] for column in database.columns("cloudaccount")] == ["number"]


def test_kubetally_s_own_database_is_not_taken_for_optscale_s(database: Database) -> None:
    upgrade(database.url)
    for act in (lambda: optscale.up(database.url, {}), lambda: optscale.down(database.url)):
        with raises_code("schema_mismatch", match="is Kubetally's own"):
            act()
    assert "kubecost_url" in {column["name"] for column in database.columns("cloudaccount")}


@pytest.mark.parametrize(
    "url",
    ["http://user:pass@host", "http://" + "h" * 249],
)
def test_invalid_url_of_a_source_changes_nothing(tmp_path_factory: pytest.TempPathFactory, url: str) -> None:
    file = tmp_path_factory.mktemp("optscale") / "not-made.db"
    with raises_code("value_does_not_fit", match="kubecost_url") as caught:
        optscale.up(f"sqlite:///{file}", {"id": PARSED, "other": SourceUrl.parse(url)})
    assert "pass" not in str(caught.value).replace("password", "")
    assert not file.exists()


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with raises_code("store_unavailable", match=r"mariadb\+pymysql://root:\*\*\*@127.0.0.1:1/my-db"):
        optscale.up("mariadb://root:s3cr3t@127.0.0.1:1/my-db", {"id": PARSED})
    with pytest.raises(InvalidDatabaseUrl, match="has no database"):
        optscale.down("mariadb://root:s3cr3t@127.0.0.1:1")
