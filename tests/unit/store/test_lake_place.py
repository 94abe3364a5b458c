"""Where a lake is, and what of it may be shown."""

from pathlib import Path
from urllib.parse import quote

import pytest

from kubetally.store.lake.delta import DeltaLake
from kubetally.store.lake.faults import translated
from kubetally.store.lake.place import Place
from kubetally.store.lake.schema import TableName
from kubetally.store.lake.storage import ObjectStorage
from tests.errors import raises_code

KEY = "c2VjcmV0LXNlY3JldC1zZWNyZXQ="


@pytest.mark.parametrize("scheme", ["", "file://", "file://localhost"])
def test_a_folder_is_a_path_or_a_file_url(tmp_path: Path, scheme: str) -> None:
    place = Place.parse(f"{scheme}{tmp_path}/lake")
    assert place.folder == tmp_path / "lake"
    assert place.table("assets") == str(tmp_path / "lake" / "assets")


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/kt",
        "s3a://bucket/kt",
        "gs://bucket/kt",
        "az://container/kt",
        "abfss://box@acme.dfs.core.windows.net/kt",
    ],
)
def test_an_object_store_is_passed_on_as_it_is_written(url: str) -> None:
    options = {"aws_region": "eu-central-1", "TIMEOUT": "9s"}
    place = Place.parse(url + "/", options)
    assert (place.url, place.folder) == (url, None)
    assert place.table(TableName.RUNNING) == f"{url}/running"
    assert place.options == {
        "aws_region": "eu-central-1",
        "TIMEOUT": "9s",
        "connect_timeout": "5s",
        "max_retries": "4",
        "retry_timeout": "60s",
    }


@pytest.mark.parametrize(
    ("url", "options"),
    [
        (
            "s3://bucket/kt",
            {"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": KEY},
        ),
        ("gs://bucket/kt", {"google_application_credentials": "/nowhere.json"}),
        ("az://container/kt", {"azure_storage_account_name": "acme", "azure_storage_account_key": KEY}),
        ("az://container/kt", {"account_name": "acme", "sas_token": "sv=2024&sig=abcdef"}),
    ],
)
def test_the_names_of_options_are_those_of_each_store(url: str, options: dict[str, str]) -> None:
    if url.startswith("gs"):
        with raises_code("invalid_lake_url", match="credential"):  # it looks for the file at once
            Place.parse(url, options).storage("allocations")
    else:
        assert isinstance(Place.parse(url, options).storage("allocations"), ObjectStorage)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("hdfs://host/path", "unknown scheme"),
        ("http://host/path", "unknown scheme"),
        ("s3:///path", "no bucket"),
        ("file://other/path", "another machine"),
        ("s3://me:geheim@bucket/path", "port, query"),
        ("az://box/path?sig=geheim", "port, query"),
        ("", "no folder"),
    ],
)
def test_unusable_url_is_refused_without_its_secrets(url: str, why: str) -> None:
    with raises_code("invalid_lake_url", match=why) as caught:
        Place.parse(url)
    assert "geheim" not in str(caught.value) + repr(caught.value.__dict__)


def test_options_that_nobody_knows_are_refused_by_name() -> None:
    with raises_code("invalid_lake_url", match="aws_colour"):
        DeltaLake("s3://bucket/kt", storage_options={"aws_colour": "blue"})
    with raises_code("invalid_lake_url", match="not a duration"):
        DeltaLake("s3://bucket/kt", storage_options={"retry_timeout": "soon"})


def test_credentials_show_nowhere() -> None:
    options = {"aws_access_key_id": "someone", "aws_secret_access_key": KEY, "aws_region": "x"}
    lake = DeltaLake("s3://bucket/kt", storage_options=options)
    place = Place.parse("s3://bucket/kt", {"aws_secret_access_key": KEY})
    assert KEY not in repr(lake) + repr(place) + str(lake.__dict__)
    with raises_code("lake_unavailable") as caught, translated(lake.url, place.secrets):
        raise OSError(f"error sending request for https://host/path?X-Sig=abc with {KEY}")
    assert KEY not in str(caught.value)
    assert "X-Sig" not in str(caught.value)
    with raises_code("lake_unavailable") as caught, translated(lake.url, place.secrets):
        raise OSError(f"error sending request: <Key>{quote(KEY, safe='')}</Key>")
    assert quote(KEY, safe="") not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(28, "No space left on device"), "lake_full"),
        (OSError("Unable to copy data to file: No space left on device (os error 28)"), "lake_full"),
        (OSError(13, "Permission denied"), "lake_refused"),
        (OSError("Server returned non-2xx status code: 403 Forbidden"), "lake_refused"),
        (OSError("The specified bucket does not exist"), "lake_refused"),
        (OSError("error sending request: operation timed out"), "lake_unavailable"),
        (OSError("status code: 503 for allocations/_delta_log/00000000000000000403.json"), "lake_unavailable"),
        (OSError("allocations/_delta_log/00000000000000000500.json: no JSON"), "lake_damaged"),
        (OSError("Parquet magic bytes not found in footer"), "lake_damaged"),
    ],
)
def test_errors_of_libraries_have_one_meaning(error: Exception, code: str) -> None:
    with raises_code(code), translated("/lake"):
        raise error
