"""The engine of queries has the memory and the folder of the settings."""

from pathlib import Path

import pytest

from kubetally.settings import Settings
from kubetally.wiring.queries import query_engine
from tests.errors import raises_code


@pytest.mark.parametrize("size", ["1KB", "99MB"])
def test_memory_that_no_query_fits_into_is_refused(size: str) -> None:
    with raises_code("unusable_setting", match="KUBETALLY_QUERY_MEMORY"):
        query_engine(Settings(query_memory=size))


def test_opening_an_engine_writes_nothing(tmp_path: Path) -> None:
    query_engine(Settings(home=str(tmp_path / "home"), query_memory="512MiB"))().close()
    assert not list(tmp_path.iterdir())
