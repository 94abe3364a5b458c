"""Whether a process that was there still is."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from kubetally.store.meta.process import Process


@pytest.fixture
def child() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_process_identifies_itself() -> None:
    this = Process.this()
    assert this == Process.this()
    assert (this.pid, str(this)) == (os.getpid(), f"process {os.getpid()} on {this.host}")
    assert this.started is not None


def test_a_process_that_runs_is_not_gone(child: "subprocess.Popen[bytes]") -> None:
    this = Process.this()
    assert not this.is_gone_as_seen_by(this)
    assert not replace(this, pid=child.pid, started=None).is_gone_as_seen_by(this)


def test_zombie_process_counts_as_ended(child: "subprocess.Popen[bytes]") -> None:
    this = Process.this()
    ended = replace(this, pid=child.pid, started=None)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert ended.is_gone_as_seen_by(this)
    child.wait()
    assert ended.is_gone_as_seen_by(this)


def test_reused_process_id_is_another_process() -> None:
    this = Process.this()
    assert this.started is not None
    assert replace(this, started=this.started - 1).is_gone_as_seen_by(this)


def test_process_on_another_machine_is_never_known_to_be_gone() -> None:
    this = Process.this()
    gone = replace(this, pid=2**22 + 1)
    assert gone.is_gone_as_seen_by(this)
    assert not replace(gone, host="elsewhere").is_gone_as_seen_by(this)
    assert not replace(gone, boot="another start, or another container").is_gone_as_seen_by(this)
    assert not replace(gone, pid=2**70, host="elsewhere").is_gone_as_seen_by(this)


def test_a_number_that_no_process_can_have_is_gone() -> None:
    this = Process.this()
    assert replace(this, pid=2**70).is_gone_as_seen_by(this)
