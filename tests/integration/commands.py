"""Running the command: as the installed program in a process of its own, or in this one, which is faster."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from typer.testing import CliRunner

from kubetally import logs
from kubetally.cli.main import app
from tests.recordings import Recording
from tests.served import NOT_FOUND, Answers, Asked, Reply

PROGRAM = Path(sys.executable).parent / "kubetally"
_HOME = tempfile.TemporaryDirectory(prefix="kubetally-tests-")  # whoever tests may have accounts of their own
DAY = ("--start", "2026-11-20", "--end", "2026-11-21")
WHOLE = ("--start", "2026-11-20", "--end", "2026-11-23")


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed; NaN and Infinity, which are not JSON, are refused."""
        return json.loads(self.out, parse_constant=_refuse)


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def environment(**more: str) -> dict[str, str]:
    """That of this process without any setting of ours, and `more`."""
    ours = ("KUBETALLY_", "KUBECOST_", "COLUMNS", "FORCE_COLOR", "TTY_", "TERM")
    ours_only = {"TERM": "xterm", "KUBETALLY_HOME": _HOME.name}
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | ours_only | more


def run(*args: str, **more: str) -> Done:
    """The installed program, in a process of its own, with pipes for its output."""
    done = subprocess.run(
        [PROGRAM, *args],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environment(**more),
        timeout=60,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def call(*args: str, **more: str) -> Done:
    """The command in this process; what it does not handle is raised here."""
    clean = environment(**more)
    env: Mapping[str, str | None] = {name: clean.get(name) for name in {*os.environ, *clean}}
    try:
        done = CliRunner().invoke(app, args, env=env, catch_exceptions=False)
    finally:
        logs.configure_later(None)  # its logs went to the runner's standard error, which is closed now
        structlog.reset_defaults()
    return Done(done.exit_code, done.stdout, done.stderr)


def costs(url: str, *args: str, window: tuple[str, ...] = WHOLE, **more: str) -> Any:
    """The body that `costs --format json` prints for one cluster."""
    done = call("costs", "--url", url, *window, "--format", "json", *args, **more)
    assert done.code == 0, done.err
    return done.json


Change = Callable[[str, Any], None]


def recorded_but(change: Change, **replies: Reply | dict[str, Any]) -> Answers:
    """Aurora's recorded answers, changed in place by `change(path, data)`; `replies` stand for paths of one word."""

    def answers(asked: Asked) -> Any:
        word = asked.path.strip("/")
        if word in replies:
            return replies[word]
        found = Recording("aurora").cluster.find(asked.path, asked.params)
        if found is None:
            return NOT_FOUND
        if found.status != 200 or not asked.path.startswith(("/allocation", "/assets")):
            return Reply(found.status, found.body(), found.content_type or "")
        content = json.loads(found.body())
        change(asked.path, content["data"])
        return content

    return answers
