"""What a collection shows while it goes on: a bar on a terminal, lines of JSON elsewhere."""

import json
import os
import subprocess
from contextlib import suppress

from tests.integration.commands import PROGRAM, environment
from tests.integration.test_accounts_command import Home
from tests.integration.upstream import THREE_DAYS, Upstream, added
from tests.served import Served


def test_terminal_gets_a_progress_bar_and_no_log_lines(home: Home, upstream: tuple[Upstream, Served]) -> None:
    source, server = upstream
    added(home, server)
    source.mode = "slow"
    terminal, ours = os.openpty()
    env = environment(KUBETALLY_HOME=str(home.folder), TERM="xterm", COLUMNS="100", **home.settings)
    command = [PROGRAM, "backfill", "aurora", *THREE_DAYS]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=ours, text=True) as process:
        os.close(ours)
        shown = b""
        with suppress(OSError):  # the other end is closed
            while piece := os.read(terminal, 65536):
                shown += piece
        out = process.stdout.read() if process.stdout else ""
    os.close(terminal)
    assert process.returncode == 0
    assert "Collected 3 days" in out
    assert b"Collecting days" in shown
    assert b"/3" in shown
    assert b"day_collected" not in shown


def test_pipe_gets_one_json_line_per_day(home: Home, upstream: tuple[Upstream, Served]) -> None:
    _, server = upstream
    added(home, server)
    done = home.call("backfill", "aurora", *THREE_DAYS)
    lines = [json.loads(line) for line in done.err.splitlines()]
    days = [line for line in lines if line["event"] == "day_collected"]
    assert {line["day"] for line in days} == {"2026-11-20", "2026-11-21", "2026-11-22"}
    assert all(line["name"] == "aurora" and line["rows"] > 10 and line["total_cost"] > 10 for line in days)
    assert not [line for line in lines if "Collecting" in line["event"]]
