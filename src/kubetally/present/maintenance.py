"""The results of maintenance, as lines of text."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from kubetally.domain.damage import CheckedDays
from kubetally.domain.maintenance import EarlierDays, Maintained
from kubetally.domain.window import rfc3339
from kubetally.domain.words import days_words


def print_maintenance(
    done: Maintained, checked: CheckedDays, earlier: Iterable[EarlierDays], retention: timedelta
) -> None:
    """Print what was done, why expired files were kept, and which days an earlier version stored."""
    print(f"Compacted {done.compacted} partitions, removed {done.vacuumed} expired files")
    if checked.count:
        damaged = f"{len(checked.damaged)} damaged" if checked.damaged else "none damaged"
        print(f"Checked {days_words(checked.count)}: {damaged}")
    else:
        print("No stored day is due for a check today")
    if done.kept is not None and done.kept > retention:
        print(
            f"Replaced data is still kept for {done.kept.days} days, as set before, not for {retention.days} "
            "(KUBETALLY_HISTORY_DAYS); --shorten applies the shorter retention"
        )
    if done.silence is not None:
        print(_silence_words(done, *done.silence))
    for days in earlier:
        print(_earlier_words(days))


def _silence_words(done: Maintained, since: datetime, until: datetime) -> str:
    """Why expired files were kept, and what removes them."""
    why = f"Kept {done.held_back} expired files: nothing was collected from {rfc3339(since)} to {rfc3339(until)}"
    if not done.is_all_kept:
        return (
            f"{why}, so the clock of this machine may be ahead. If it is right, they are removed after more days of "
            "collecting; --trust-clock removes them now"
        )
    return (
        f"{why}. Gaps of more than 30 hours do not count towards the retention, because the clock may be ahead in "
        "them, and the other days are fewer than the retention. While collecting has such gaps, only --trust-clock "
        "removes files"
    )


def _earlier_words(days: EarlierDays) -> str:
    """What days stored by an earlier version lack, and how to add it."""
    span = f"from {days.first} to {days.last}" if days.last > days.first else f"({days.first})"
    end = days.last + timedelta(days=1)
    return (
        f"{days.account}: an earlier version stored {days_words(days.number)} {span} without containers, "
        "annotations, volumes, load balancers, maxima and idle shares. `kubetally backfill "
        f"{days.account} --from {days.first} --to {end}` adds them for days that the source still has"
    )
