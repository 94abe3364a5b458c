"""Questions about a lake in an S3: answered as those about a lake on a disk."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from kubetally.domain.damage import DayDamaged
from kubetally.domain.errors import StoreError
from kubetally.ledger.ports.lake import Scan, StoredRows
from kubetally.query.duck import DuckEngine
from kubetally.query.rollup_builder import RollUpBuilder
from kubetally.settings import Settings
from kubetally.store.lake.delta import DeltaLake
from kubetally.store.lake.file_cache import QueryCacheUnusable
from kubetally.wiring.ledger import lake_location
from tests.integration.object_stores import ObjectStore
from tests.integration.small_disk import fill
from tests.integration.test_serve_command import eventually
from tests.native import DAYS, ONE, Home, native_client

QUESTIONS = [
    ("costs", {"group": "namespace"}),
    ("costs", {"group": "cluster,component", "step": "day", "idle": "weighted"}),
    ("costs", {"group": "label:app", "filter": 'kind:"workload"'}),
    ("costs", {"group": "namespace", "as_of": "2026-11-23T12:00:00Z"}),
    ("costs", {"group": "controller", "share_namespaces": "team-00"}),
    ("compare", {"group": "namespace"}),
    ("explain", {"filter": 'namespace:"team-00"'}),
    ("clusters", {}),
    ("coverage", {}),
    ("assets", {}),
    ("balance", {}),
    ("labels", {}),
    ("labels", {"as_of": "2026-11-23T12:00:00Z"}),
    ("exports", {"group": "pod"}),
    ("exports", {}),
    ("exports", {"format": "parquet"}),
    ("exports", {"as_of": "2026-11-23T12:00:00Z"}),
]


class Bucket:
    """A home on a disk, and one with the same days in a bucket."""

    def __init__(self, folder: Path, store: ObjectStore, settings_home: Path) -> None:
        self.disk, self.home = Home(folder / "on-disk"), Home(folder / "in-bucket")
        self.url, self.cache = f"{store.bucket()}/kubetally", settings_home / "query-cache"
        options = "; ".join(f"{name}={value}" for name, value in store.options.items())
        self._settings = Settings(home=str(settings_home), lake_url=self.url, lake_options=options)
        self.home.lake = self.lake()
        self.home.lake.put(self.home.days)

    def lake(self) -> DeltaLake:
        """The lake as the service opens it."""
        lake = lake_location(self._settings).open()
        assert isinstance(lake, DeltaLake)
        return lake


@pytest.fixture
def bucket(tmp_path: Path, object_store: ObjectStore) -> Bucket:
    return Bucket(tmp_path, object_store, tmp_path)


@pytest.fixture
def clients(bucket: Bucket) -> Iterator[list[TestClient[Any]]]:
    with native_client(bucket.disk) as on_disk, native_client(bucket.home) as in_bucket:
        yield [on_disk, in_bucket]


def body(client: TestClient[Any], path: str, **parameters: str) -> bytes:
    response = client.get(f"/api/v1/{path}", params=DAYS | parameters)
    assert response.status_code == 200, response.text
    return response.content


def test_answers_are_those_of_a_lake_on_a_disk(clients: list[TestClient[Any]]) -> None:
    for path, parameters in QUESTIONS:
        on_disk, in_bucket = (body(client, path, **parameters) for client in clients)
        assert in_bucket == on_disk, (path, parameters)


def test_copies_serve_later_questions_and_are_released(
    bucket: Bucket, clients: list[TestClient[Any]], object_store: ObjectStore
) -> None:
    first = body(clients[1], "costs", group="namespace")
    eventually(lambda: not list((bucket.cache / "holds").iterdir()))  # a thread may still be letting go of it
    (path,) = [url for url in object_store.objects(f"{bucket.url}/allocations/day=") if url.endswith(".parquet")]
    object_store.damage(path)
    assert body(clients[1], "costs", group="namespace") == first


def test_roll_ups_in_a_bucket_have_the_same_figures(bucket: Bucket, clients: list[TestClient[Any]]) -> None:
    builder = RollUpBuilder(bucket.home.coverage, lambda: bucket.home.lake, lambda: DuckEngine(threads=1))
    assert builder.rebuild(bucket.home.clock.now())
    for group in ("namespace", "cluster,component", "kind"):
        on_disk, in_bucket = (body(client, "costs", group=group) for client in clients)
        assert in_bucket == on_disk
    assert list((bucket.cache / "files").rglob("rollups/**/*.parquet")), "they were read"


def scans(bucket: Bucket, lake: DeltaLake) -> list[Scan]:
    return lake.scans([StoredRows.of(bucket.home.days[0].collection)], frozenset([ONE]))


def test_damaged_object_is_a_damaged_day(bucket: Bucket, object_store: ObjectStore) -> None:
    lake = bucket.lake()
    planned = scans(bucket, lake)
    (path,) = [url for url in object_store.objects(f"{bucket.url}/allocations/day=") if url.endswith(".parquet")]
    object_store.damage(path)
    with pytest.raises(DayDamaged, match=r"2026-11-20 is damaged in s3://.*/kubetally/allocations"):
        lake.local(planned)


def test_store_that_is_away_is_named_without_its_secrets(bucket: Bucket, object_store: ObjectStore) -> None:
    lake = bucket.lake()
    planned = scans(bucket, lake)
    for url in object_store.objects(f"{bucket.url}/allocations/day="):
        object_store.remove(url)
    with pytest.raises(StoreError, match=bucket.url) as raised:
        lake.local(planned)
    assert object_store.options["aws_secret_access_key"] not in str(raised.value)


def test_full_disk_is_a_clear_error_and_leaves_no_draft(
    tmp_path: Path, object_store: ObjectStore, small_disk: Path
) -> None:
    bucket = Bucket(tmp_path, object_store, small_disk)
    lake = bucket.lake()
    planned = scans(bucket, lake)
    fill(small_disk / "filler", leaving=12_288)
    with pytest.raises(QueryCacheUnusable, match="No space left on device"):
        lake.local(planned)
    assert list(small_disk.rglob("*.parquet")) == []
    (small_disk / "filler").unlink()
    local = lake.local(planned)
    assert local.scans
    local.release()
