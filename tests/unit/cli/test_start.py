"""What every command does first."""

import os
import subprocess
import sys

CODE = (
    "from kubetally.cli.start import start; start(); import pyarrow; print(pyarrow.default_memory_pool().backend_name)"
)


def test_arrow_uses_the_memory_of_the_system_unless_told_otherwise() -> None:
    for given, expected in (({}, "system"), ({"ARROW_DEFAULT_MEMORY_POOL": "mimalloc"}, "mimalloc")):
        environment = {name: value for name, value in os.environ.items() if name != "ARROW_DEFAULT_MEMORY_POOL"} | given
        shown = subprocess.run(
            [sys.executable, "-c", CODE], env=environment, capture_output=True, check=True, text=True
        )
        assert shown.stdout.split() == [expected]
