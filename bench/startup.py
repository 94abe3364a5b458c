"""CPU time of short commands, beside that of loading SQLAlchemy alone.

Each runs in a process of its own, in turns, with compiled modules; the figure is the median of user and system time.
"""

import os
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench.table import Line

LIMIT_SECONDS = 0.5
RUNS = 7
_FLEET = ("--clusters", "3", "--pods", "50", "--days", "5", "--last", "2026-11-20")
_KUBETALLY = (sys.executable, "-m", "kubetally")
_SQLALCHEMY = (sys.executable, "-c", "import sqlalchemy")
_DAY = ("--window", "2026-11-20,2026-11-21")
_COMMANDS: Mapping[str, Sequence[str]] = {
    "accounts list": ("accounts", "list"),
    "coverage": ("coverage", "--window", "2026-11-16,2026-11-21"),
    "costs ACCOUNT, stored days of an OpenCost": ("costs", "sample-002", *_DAY),
    "costs ACCOUNT, stored days of a Kubecost, which is asked for savings": ("costs", "sample-001", *_DAY),
}


def lines() -> list[Line]:
    """The figures of each command."""
    with TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        # Bytecode as after an installation, whatever the environment says.
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        env |= {"KUBETALLY_HOME": str(home), "PYTHONPYCACHEPREFIX": str(Path(folder) / "bytecode")}
        _cpu_seconds((*_KUBETALLY, "sample", *_FLEET, "--out", str(home)), env)
        calls = {"": _SQLALCHEMY, **{name: (*_KUBETALLY, *args) for name, args in _COMMANDS.items()}}
        runs = [{name: _cpu_seconds(call, env) for name, call in calls.items()} for _ in range(RUNS + 1)]
    seconds = {name: median(run[name] for run in runs[1:]) for name in calls}  # the first run compiles
    return [
        Line("startup", 'python -c "import sqlalchemy"', f"{seconds.pop(''):.2f} s of CPU"),
        *(
            Line("startup", f"kubetally {name}", f"{its:.2f} s of CPU", "under 0.5 s", its < LIMIT_SECONDS)
            for name, its in seconds.items()
        ),
    ]


def _cpu_seconds(call: Sequence[str], env: Mapping[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(call, env=env, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
