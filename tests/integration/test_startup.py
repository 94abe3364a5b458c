"""Short commands load no library that they do not use."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.commands import call, environment

DAY = ("--window", "2026-11-20,2026-11-21")
WEB = {"granian", "litestar", "prometheus_client", "pydantic", "uvloop", "yaml"}
DRIVERS = {"alembic", "psycopg", "pymysql"}
HTTP = {"anyio", "http", "httpx", "stamina", "structlog"}
LAKE = {"deltalake", "obstore", "pyarrow"}
ENGINE = {"duckdb", "ibis"}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home folder of two sample clusters: the first has a Kubecost, the second an OpenCost."""
    folder = tmp_path_factory.mktemp("fleet") / "home"
    options = ("--clusters", "2", "--pods", "20", "--days", "2", "--last", "2026-11-20")
    assert call("sample", *options, "--out", str(folder)).code == 0
    return folder


@pytest.mark.parametrize(
    ("command", "used", "unused"),
    [
        (("accounts", "list"), {"sqlalchemy"}, {*WEB, *DRIVERS, *HTTP, *LAKE, "msgspec"}),
        (("coverage", *DAY), {"sqlalchemy"}, {*WEB, *DRIVERS, *HTTP, *LAKE}),
        (("costs", "sample-002", *DAY), {"sqlalchemy", "pyarrow"}, {*WEB, *DRIVERS, *HTTP, *ENGINE}),
        (("costs", "sample-002", *DAY, "--by", "namespace"), {"pyarrow"}, {*WEB, *DRIVERS, *HTTP, *ENGINE}),
        (("costs", "sample-002", *DAY, "--by", "node"), {"pyarrow", *ENGINE}, {*WEB - {"yaml"}, *DRIVERS, "httpx"}),
        (("costs", "sample-001", *DAY), {"sqlalchemy", "pyarrow", "httpx"}, {*WEB - {"prometheus_client"}, *DRIVERS}),
    ],
)
def test_short_command_loads_only_what_it_uses(
    fleet: Path, command: tuple[str, ...], used: set[str], unused: set[str]
) -> None:
    code = (
        "import json, sys\n"
        "from kubetally.cli.main import main\n"
        f"try: main({[*command]!r})\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print(json.dumps([name.partition('.')[0] for name in sys.modules]), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment(KUBETALLY_HOME=str(fleet)),
        timeout=60,
        check=True,
    )
    loaded = set(json.loads(done.stderr.splitlines()[-1]))
    assert used <= loaded
    assert not loaded & unused
