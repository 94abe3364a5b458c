"""Damage and repairs of the stores, as lines of text."""

from collections.abc import Iterable, Iterator

from kubetally.domain.damage import DamagedDay, DamageReport, DayDamaged, FileDamage
from kubetally.domain.repaired import Origin, RepairedDay, RepairedLog
from kubetally.domain.window import rfc3339
from kubetally.domain.words import days_words


def print_repairs(logs: Iterable[RepairedLog], days: Iterable[RepairedDay], report: DamageReport) -> None:
    """Print what was done about each damaged file of a log and each damaged day."""
    for log in logs:
        print(f"{log.file.table}/{log.file.path}: {log.repair}")
    for day in days:
        subject = f"{report.name(day.account_id)} {day.day}{' (savings)' if day.is_savings else ''}"
        print(f"{subject}: {_repair_words(day)}")


def print_damage(report: DamageReport) -> None:
    """Print each damage, and how much was read."""
    for line in _damage_lines(report):
        print(line)
    verdict = ": no damage" if report.is_well else ""
    print(f"Read {report.files.files} files and {days_words(report.days.count)}{verdict}", flush=True)
    if report.files.without_checksum:
        print(f"{report.files.without_checksum} files have no checksums: another program or version wrote them")


def _repair_words(day: RepairedDay) -> str:
    if day.origin is not Origin.NOTHING:
        return f"rewritten from {day.origin}"
    return "lost" if day.is_savings else "set aside, as no source or backup has it; its costs are unknown"


def _damage_lines(report: DamageReport) -> Iterator[str]:
    for file in report.files.damage:
        yield _file_words(file)
    if report.unreadable is not None and not report.files.damage:
        yield f"damaged: {report.unreadable}"
    for damaged in report.days.damaged:
        yield _day_words(damaged, report.name(damaged.collection.account_id))
    for missing in report.days.missing:
        stored = f"stored {rfc3339(missing.collected_at)}"
        yield f"missing: {missing.day} of {report.name(missing.account_id)} ({stored}): the lake lacks its rows"
    for savings, error in report.savings:
        yield f"damaged: savings of {report.name(savings.account_id)} on {savings.day}: {error.why}; {error.effect}"
    for message in report.unknown:
        yield f"unknown: {message}"


def _file_words(file: FileDamage) -> str:
    written = "" if file.written_at is None else f", written {rfc3339(file.written_at)}"
    day = "" if file.day is None else f" (day {file.day}{written}{'' if file.is_current else ', replaced since'})"
    return f"damaged: {file.table}/{file.path}{day}: {file.why}"


def _day_words(damaged: DamagedDay, account: str) -> str:
    collection, error = damaged.collection, damaged.error
    kind = "set aside" if damaged.is_set_aside else "damaged"
    since = "" if damaged.noticed_at is None else f", noticed before {rfc3339(damaged.noticed_at)}"
    stored = f"stored {rfc3339(collection.collected_at)}{since}"
    # The message of a DayDamaged repeats the day, and advises the command that prints this.
    why = f"{error.table}: {error.why}; {error.effect}" if isinstance(error, DayDamaged) else str(error)
    return f"{kind}: {collection.day} of {account} ({stored}): {why}"
