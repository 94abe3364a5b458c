"""docs/lake.md says what is so."""

import re
import textwrap
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from kubetally.domain.account import ListedAccount
from kubetally.store.lake.delta import DeltaLake
from kubetally.store.lake.open_table import ATTEMPTS
from kubetally.store.lake.schema import ACCOUNTS, ALLOCATIONS, ASSETS, SAVINGS, TableName
from tests.cluster_days import DAY, cluster_day

TEXT = (Path(__file__).parents[2] / "docs" / "lake.md").read_text("utf-8")

_TYPES = {
    "string": "text", "decimal128(18, 6)": "DECIMAL(18,6)", "double": "double",
    "timestamp[us, tz=UTC]": "timestamp, UTC", "int32": "integer", "date32[day]": "date", "bool": "boolean",
}  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "title"),
    [
        (ALLOCATIONS, "`allocations` and `running`"),
        (ASSETS, "`assets` and `running_assets`"),
        (SAVINGS, "`savings`"),
        (ACCOUNTS, "`accounts`"),
    ],
)
def test_every_column_is_documented_with_its_comment(schema: pa.Schema, title: str) -> None:
    section = TEXT.partition(f"## Columns of {title}\n")[2].partition("\n## ")[0]
    told = re.findall(r"^\| `(\w+)` \| ([^|]+) \| (.+) \|$", section, re.MULTILINE)
    assert told == [(field.name, type_in_words(field.type), field.metadata[b"comment"].decode()) for field in schema]


def type_in_words(kind: pa.DataType) -> str:
    """A type as docs/lake.md writes it."""
    if pa.types.is_list(kind):
        return f"list of {type_in_words(kind.value_type)}"
    if pa.types.is_map(kind):
        return f"map of {type_in_words(kind.item_type)}"
    if pa.types.is_struct(kind):
        types = [type_in_words(field.type) for field in kind]
        if len(set(types)) == 1:
            return f"({', '.join(field.name for field in kind)} {types[0]})"
        return f"({', '.join(f'{field.name} {words}' for field, words in zip(kind, types, strict=True))})"
    return _TYPES[str(kind)]


def test_every_table_is_documented() -> None:
    assert re.findall(r"^\| `(\w+)` \| (?:rows|what|assets|all) ", TEXT, re.MULTILINE)[:6] == [
        name.value
        for name in (
            TableName.ALLOCATIONS,
            TableName.ASSETS,
            TableName.RUNNING,
            TableName.RUNNING_ASSETS,
            TableName.SAVINGS,
            TableName.ACCOUNTS,
        )
    ]
    assert f"after {ATTEMPTS} attempts" in TEXT


def test_tables_exist_after_their_first_commit(tmp_path: Path) -> None:
    lake = DeltaLake(str(tmp_path))

    def missing() -> set[str]:
        return {name.value for name in TableName if not DeltaTable.is_deltatable(str(tmp_path / name))}

    lake.make()
    assert {"allocations", "assets", "running", "running_assets", "savings"} <= missing()
    lake.put([cluster_day("a", is_running=True)])
    assert missing() >= {"allocations", "assets", "savings"}
    assert not missing() & {"running", "running_assets"}
    lake.put([cluster_day("a")])
    assert "savings" in missing()
    assert not missing() & {"allocations", "assets"}
    with pytest.raises(TableNotFoundError):
        DeltaTable(str(tmp_path / "savings"))
    assert f"raises `{TableNotFoundError.__name__}`)" in TEXT


def test_example_sums_a_day_and_its_previous_version(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lake = DeltaLake(str(tmp_path))
    removed = ListedAccount("b", "gone", "default", datetime(2026, 11, 24, tzinfo=UTC))
    lake.list_accounts([ListedAccount("a", "prod", "default"), removed])
    lake.put([cluster_day("a"), cluster_day("b")])
    again = cluster_day("a", 1)
    lake.put([again])
    example = TEXT.partition("<!-- example: begin -->\n")[2].partition("<!-- example: end -->")[0]
    names: dict[str, Any] = {}
    exec(textwrap.dedent(example).replace("/var/lib/kubetally/lake", str(tmp_path)), names)  # noqa: S102
    assert "team-00" in capsys.readouterr().out
    sums = names["cpu_cost_by_namespace"]
    for day, version in ((again, None), (cluster_day("a"), 1)):
        found = sums(str(tmp_path), DAY, version)["cpu_cost_sum"].to_pylist()
        assert int(sum(found).scaleb(6)) == sum(row.costs.cpu for row in day.rows)
    assert sums(str(tmp_path), date(2026, 1, 1)).num_rows == 0
