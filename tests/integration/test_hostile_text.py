"""What a source sends steers no terminal, and a password in the wrong place of a URL is not shown."""

import csv
import io
import json
import os
import pty
import subprocess
from typing import Any

import pytest

from tests.integration.commands import DAY, PROGRAM, call, environment, recorded_but
from tests.integration.test_accounts_command import Home, home
from tests.served import Served

__all__ = ["home"]

HOSTILE = "a\x1b[2J\x9b31m\r\x07\u202ee\x7fz"
RAW = ("\x1b", "\x9b", "\r\r", "\x07", "\u202e", "\x7f")


def hostile(path: str, data: Any) -> None:
    """Names of the source with orders for a terminal in them."""
    if path.startswith("/allocation"):
        for row in data[0].values():
            if row["properties"].get("namespace") == "kube-system":
                row["properties"]["namespace"] = HOSTILE


def on_terminal(*args: str) -> str:
    """What the installed program writes on a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [PROGRAM, *args], env=environment(NO_COLOR="1", TERM="dumb"), stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                piece = os.read(ours, 65_536)
            except OSError:  # how Linux says that the other end is closed
                break
            if not piece:
                break
            shown += piece
        process.wait(60)
    os.close(ours)
    return shown.decode("utf-8").replace("\r\n", "\n")


@pytest.mark.parametrize("form", ["csv", "json", "table"])
def test_terminal_gets_no_orders_of_a_source(form: str) -> None:
    with Served(recorded_but(hostile)) as server:
        shown = on_terminal("costs", "--url", server.url, *DAY, "--by", "namespace", "--format", form, "--quiet")
    assert "31m" in shown
    assert not [mark for mark in RAW if mark in shown]
    if form == "json":
        assert HOSTILE in {row["namespace"] for row in json.loads(shown)["breakdown_by_namespace"]}
    if form == "csv":
        assert "a\\u001b[2J\\u009b31m\\u000d\\u0007\\u202ee\\u007fz" in shown.replace("\\r", "\\u000d")


def test_pipe_gets_names_as_they_came() -> None:
    with Served(recorded_but(hostile)) as server:
        done = call("costs", "--url", server.url, *DAY, "--by", "namespace", "--format", "csv", "--quiet")
    assert HOSTILE in {row["namespace"] for row in csv.DictReader(io.StringIO(done.out, newline=""))}


@pytest.mark.parametrize("url", ["http://user:host:pa55word/", "http://host:pa55word", "http://u@host:pa55word/x"])
def test_password_where_the_port_belongs_is_not_shown(home: Home, url: str) -> None:
    for done in (
        home.call("accounts", "add", "prod", "--url", url),
        home.call("accounts", "add", "prod", "--prometheus-url", url),
        home.call("accounts", "add", url, "--url", "http://127.0.0.1:1"),
        home.call("costs", "--url", url),
        home.call("doctor", url),
        home.call("doctor", KUBECOST_API_URL=url),
        home.call("costs", KUBETALLY_PROMETHEUS_URL=url),
        home.call("costs", KUBETALLY_DATABASE_URL=url.replace("http", "postgresql")),
        home.call("coverage", KUBETALLY_LAKE=url.replace("http", "s3")),
    ):
        assert "pa55word" not in done.out + done.err, done
