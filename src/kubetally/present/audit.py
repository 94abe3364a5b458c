"""The audit log as a table and as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kubetally.domain.audit import AuditEntry
from kubetally.domain.window import rfc3339

Json = dict[str, object]


def print_audit(entries: Sequence[AuditEntry]) -> None:
    """Print changes."""
    from kubetally.present.grid import Grid
    from kubetally.present.screen import console, print_grid, say  # bodies need no screen

    out = console()
    if not entries:
        say(out, "Nobody changed anything yet.")
        return
    grid = Grid(["at (UTC)", "who", "what", "id", "fields"], [])
    for entry in entries:
        what = f"{entry.action} {entry.subject}"
        fields = ", ".join(_fields(entry.before, entry.after))
        grid.add([f"{entry.at:%Y-%m-%d %H:%M:%S}", entry.who, what, entry.subject_id, fields])
    print_grid(out, grid)


def audit_body(entry: AuditEntry) -> Json:
    """The body of a change."""
    return {
        "id": entry.id,
        "at": rfc3339(entry.at),
        "organization_id": entry.organization_id,
        "who": entry.who,
        "action": entry.action.value,
        "subject": entry.subject.value,
        "subject_id": entry.subject_id,
        "before": dict(entry.before),
        "after": dict(entry.after),
    }


def _fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """`currency EUR, name shop -> store`; what is empty is left out, unless it changed."""
    for name in sorted({*before, *after}):
        if before and after:
            yield f"{name} {_text(before.get(name))} -> {_text(after.get(name))}"
        elif value := (before or after)[name]:
            yield f"{name} {value}"


def _text(value: object) -> str:
    return "none" if value in (None, "") else str(value)
