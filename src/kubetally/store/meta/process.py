"""Identifies a process, so that others on this machine can check it and those elsewhere can't confuse it."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    """A process of a machine.

    boot:    a boot of the machine and a process namespace in it, or "" if unknown. Two containers of one machine have
             the same numbers for different processes.
    started: its start: ticks since the boot on Linux, which do not depend on the clock, elsewhere milliseconds since
             1970; None if unknown.
    """

    host: str
    boot: str
    pid: int
    started: int | None

    @classmethod
    def this(cls) -> "Process":
        """The running process."""
        pid = os.getpid()
        return cls(socket.gethostname()[:255], _boot(), pid, _began(pid))

    def is_gone_as_seen_by(self, other: "Process") -> bool:
        """Whether the running process `other` can be sure that this one has ended; from another machine it can't."""
        if (self.host, self.boot) != (other.host, other.boot):
            return False
        if not _exists(self.pid):
            return True
        began = _began(self.pid)
        return began is not None and self.started is not None and began != self.started

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def _boot() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
        namespace = (_PROC / "self/ns/pid").readlink()
    except OSError:
        return ""
    return f"{boot} {namespace}"


def _exists(pid: int) -> bool:
    """Whether a process with this number runs; a zombie does not."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    state = _state(pid)
    return state is None or state[0] not in {"Z", "X"}


def _began(pid: int) -> int | None:
    state = _state(pid)
    if state is not None:
        return int(state[19])
    import psutil  # only where there is no /proc

    try:
        return round(psutil.Process(pid).create_time() * 1000)
    except psutil.Error:
        return None


def _state(pid: int) -> list[str] | None:
    """The fields of a process in /proc, from its state on (proc(5), field 3); None if they can't be read."""
    try:
        text = (_PROC / str(pid) / "stat").read_text("utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()  # the name before it, in brackets, may hold anything
