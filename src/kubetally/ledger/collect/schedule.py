"""Which (account, day) are due: a pure function of what is known, the clock and a policy."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum
from itertools import zip_longest

from kubetally.domain.cluster_costs import DayState
from kubetally.domain.collection import DAMAGE_CODES, NO_DATA, SETTLES_AFTER, CoveredDay, window_of
from kubetally.domain.window import HOUR
from kubetally.ledger.collect.replacement import RejectReason

ONE_DAY = timedelta(days=1)
UNFORESEEN = "unforeseen"
"""The code of an attempt that met a defect of ours."""
READER_DIED = "reader_died"
"""The code of an attempt in which the process that read ended, for want of memory most likely."""
GIVE_UP_AFTER = 2
"""So many failures on end mean that a source is away: it is left alone for a while."""
_OF_ITS_ANSWER = frozenset(
    {NO_DATA, *DAMAGE_CODES, *(refusal.value for refusal in RejectReason), UNFORESEEN, READER_DIED, "value_beyond_lake"}
)
_ANSWERS = frozenset({NO_DATA, *(refusal.value for refusal in RejectReason), "value_beyond_lake"})
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Policy:
    """How often and how far back.

    running_every:   the running day is collected again after that.
    again_every:     a day that may still be corrected is collected again after that.
    again_for:       a day that can't settle, as a part of it fails each time, is given up after that.
    max_days:       no day before so many days ago is looked for.
    empty_days:      so many empty days on end mean that the source holds nothing before them.
    days_at_a_time:  how many days further back are tried before what they held is looked at; where so many on end could
                     not be had, none before them is looked for.
    first_look, last_look: an empty day is asked for again, twice as late each time: its source may be filled later.
    first_retry, last_retry: after an error a day is tried again, twice as late each time. Where it was the newest one,
                     nothing else is asked of that account meanwhile.
    """

    running_every: timedelta = timedelta(minutes=15)
    again_every: timedelta = ONE_DAY
    again_for: timedelta = timedelta(days=30)
    max_days: int = 400
    empty_days: int = 7
    days_at_a_time: int = 14
    first_look: timedelta = timedelta(hours=1)
    last_look: timedelta = timedelta(days=16)
    first_retry: timedelta = timedelta(minutes=5)
    last_retry: timedelta = timedelta(hours=1)


class Reason(IntEnum):
    """Why a day is due, the most urgent first."""

    RUNNING = 0
    MISSING = 1
    UNSETTLED = 2


@dataclass(frozen=True, slots=True, order=True)
class Due:
    """A day of an account to be collected now. has_failed: what was asked of that account last met an error."""

    reason: Reason
    day: date
    account_id: str
    has_failed: bool = False


@dataclass(frozen=True, slots=True)
class KnownDays:
    """What is known of an account's days. begins: the first day that its source holds, where that was found out.

    source: what stands for the server that is asked, which several accounts may share; None where it is unknown.
    """

    account_id: str
    days: Mapping[date, CoveredDay]
    begins: date | None = None
    source: str | None = None

    @classmethod
    def of(
        cls, account_id: str, days: Mapping[date, CoveredDay], begins: date | None, source: str | None = None
    ) -> "KnownDays":
        """With where it begins, unless that was found out while the source was empty: it has been filled since."""
        is_true = begins is None or not any(day < begins and one.is_held for day, one in days.items())
        return cls(account_id, days, begins if is_true else None, source)


def due(histories: Iterable[KnownDays], now: datetime, policy: Policy) -> list[Due]:
    """What is to be collected now: running days, then missing ones, the newest first, and accounts taking turns.

    Accounts that failed when they were last asked come after all others, which need not wait for them. Accounts of a
    source that failed twice on end just now are left out.
    """
    histories = list(histories)
    away = _sources_away(histories, now, policy)
    by_account = [sorted(_due_of(one, now, policy), key=_urgency) for one in histories if one.source not in away]
    in_turns = [one for turn in zip_longest(*by_account) for one in turn if one is not None]
    return sorted(in_turns, key=lambda one: one.has_failed)


def history_found(history: KnownDays, now: datetime, policy: Policy) -> date | None:
    """The first day that the source holds; None where it is not known yet. One that holds nothing begins today."""
    return _looked_back(history, now.date(), policy).begins


def _urgency(one: Due) -> tuple[int, int]:
    return one.reason, -one.day.toordinal()


def _due_of(history: KnownDays, now: datetime, policy: Policy) -> Iterator[Due]:
    today, has_failed = now.date(), _failed_last(history)
    running = history.days.get(today)
    newest = running or history.days.get(today - ONE_DAY)
    if newest is not None and _is_shut(newest) and not _may_be_tried(newest, now, policy):
        return
    # What the answer itself lacked is not mended by asking for it more often than if nothing lacked.
    is_wanting = running is not None and _waits_for_itself(running)
    is_due = _may_be_tried(running, now, policy) if is_wanting else _is_stale(running, now, policy.running_every)
    if now - window_of(today).start >= HOUR and is_due:
        yield Due(Reason.RUNNING, today, history.account_id, has_failed)
    waits_until = _newest_failed(history, now, policy)
    for day in _candidates(history, today, policy):
        if day <= waits_until:
            return
        known = history.days.get(day)
        if known is None or known.is_missing or known.is_running:
            if _may_be_tried(known, now, policy):
                yield Due(Reason.MISSING, day, history.account_id, has_failed)
        elif _was_collected_in_future(known, now):
            if _may_be_tried(known, now, policy):
                yield Due(Reason.UNSETTLED, day, history.account_id, has_failed)
        elif known.state is not DayState.SETTLED and _is_unsettled(known, now, policy):
            yield Due(Reason.UNSETTLED, day, history.account_id, has_failed)


def _sources_away(histories: Iterable[KnownDays], now: datetime, policy: Policy) -> set[str]:
    """Sources of several accounts that failed for so many days on end a moment ago, whosever days they were.

    Each account has longer waits of its own, so that one that always fails holds the others for a moment only.
    """
    of_source: dict[str, list[KnownDays]] = defaultdict(list)
    for history in histories:
        if history.source is not None:
            of_source[history.source].append(history)
    return {
        source
        for source, some in of_source.items()
        if len(some) > 1
        and len(failed := _failed_on_end(some)) >= GIVE_UP_AFTER
        and timedelta() <= now - max(map(_tried_at, failed)) < policy.first_retry
    }


def _newest_failed(history: KnownDays, now: datetime, policy: Policy) -> date:
    """The newest day of those that failed on end: its source went away, and nothing before it is asked for now.

    Newer days are asked for, so that old ones that always fail hold none of them. The first day ever, where none did.
    """
    failed = _failed_on_end([history])
    if len(failed) < GIVE_UP_AFTER:
        return date.min
    wait = min(policy.first_retry * 2 ** min(max(one.attempts for one in failed) - 1, 20), policy.last_retry)
    is_waiting = timedelta() <= now - max(map(_tried_at, failed)) < wait
    return max(one.day for one in failed) if is_waiting else date.min


def _failed_on_end(histories: Iterable[KnownDays]) -> list[CoveredDay]:
    """The days that met what others would meet, too, since these accounts were last answered for any day."""
    known = [one for history in histories for one in history.days.values()]
    answered = max(map(_answered_at, known), default=_NEVER)
    return [one for one in known if _is_shut(one) and _tried_at(one) >= answered]


def _answered_at(known: CoveredDay) -> datetime:
    """When the source last answered for a day, with data, less data or none."""
    is_answer = known.last_error is not None and known.last_error[0] in _ANSWERS
    times = (known.collected_at, known.tried_at if is_answer else None)
    return max((at for at in times if at is not None), default=_NEVER)


def _met_an_error(known: CoveredDay) -> bool:
    """Whether the last attempt did; that a source holds nothing is none."""
    return known.last_error is not None and not _is_empty(known)


def _is_shut(known: CoveredDay) -> bool:
    """Whether the last attempt met what other days would meet, too: not a fault of that day's own answer."""
    return known.last_error is not None and known.last_error[0] not in _OF_ITS_ANSWER


def _waits_for_itself(known: CoveredDay) -> bool:
    """Whether what the last attempt met says when the next one is, and not how old is what is held."""
    return _is_shut(known) or _is_deadly(known)


def _is_deadly(known: CoveredDay) -> bool:
    return known.last_error is not None and known.last_error[0] == READER_DIED


def _failed_last(history: KnownDays) -> bool:
    """Whether the newest attempt met an error."""
    last = max((one for one in history.days.values() if one.tried_at is not None), key=_tried_at, default=None)
    return last is not None and _met_an_error(last)


def _tried_at(one: CoveredDay) -> datetime:
    return one.tried_at or _NEVER


def _candidates(history: KnownDays, today: date, policy: Policy) -> Iterator[date]:
    """The days before today that the source may hold, the newest first."""
    if history.begins is None:
        yield from _looked_back(history, today, policy).days
        return
    # The newest are looked at all the same, and the empty ones before it now and then: a source may be empty while it
    # is set up.
    first = min(history.begins, today - policy.empty_days * ONE_DAY)
    count = min((today - first).days, policy.max_days)
    yield from _back_from(today, count)
    yield from (day for day in _back_from(today - count * ONE_DAY, policy.empty_days) if day in history.days)


@dataclass(frozen=True, slots=True)
class _LookedBack:
    """The days to look at, and where the history begins, if that is clear from them."""

    days: Sequence[date]
    begins: date | None = None


def _looked_back(history: KnownDays, today: date, policy: Policy) -> _LookedBack:
    """Day by day back from yesterday, until so many empty ones follow on one another that the history seems to end.

    Then single days before are probed, because a source may have been switched off for a while: one that holds
    something shows that there is more.
    """
    oldest_held = min((day for day, known in history.days.items() if known.is_held), default=today)
    days: list[date] = []
    unknown = empty = barren = 0
    for day in _back_from(today, policy.max_days):
        days.append(day)
        known = history.days.get(day)
        unknown += known is None
        empty = empty + 1 if known is not None and not known.is_held and _is_empty(known) else 0
        barren = barren + 1 if known is not None and not known.is_held else 0
        if max(unknown, barren) > policy.days_at_a_time and day < oldest_held:
            return _LookedBack(days)
        if empty >= policy.empty_days and day < oldest_held:
            probes = _probes(day, today, policy)
            is_clear = all(probe in history.days and _is_empty(history.days[probe]) for probe in probes)
            return _LookedBack(
                [*days, *probes], day + empty * ONE_DAY if is_clear and not _is_any_open(days, history) else None
            )
    return _LookedBack(days, days[-1] if days and not _is_any_open(days, history) else None)


def _probes(day: date, today: date, policy: Policy) -> list[date]:
    """Days before `day`, evenly apart, and the last that is looked for at all."""
    last = today - policy.max_days * ONE_DAY
    count = (day - last).days // policy.days_at_a_time
    probes = [day - number * policy.days_at_a_time * ONE_DAY for number in range(1, count + 1)]
    return probes if last >= day or last in probes else [*probes, last]


def _is_any_open(days: Iterable[date], history: KnownDays) -> bool:
    """Whether what a day holds is not known yet: it was not tried, or met an error."""
    known = (history.days.get(day) for day in days)
    return any(one is None or not (one.is_held or _is_empty(one)) for one in known)


def _back_from(today: date, count: int) -> list[date]:
    """So many days before today, the newest first."""
    return [today - number * ONE_DAY for number in range(1, count + 1)]


def _is_stale(known: CoveredDay | None, now: datetime, after: timedelta) -> bool:
    """Whether it was neither collected nor tried that lately; a time to come is none (the clock was set back)."""
    times = [] if known is None else [at for at in (known.collected_at, known.tried_at) if at is not None]
    return all(not timedelta() <= now - at < after for at in times)


def _may_be_tried(known: CoveredDay | None, now: datetime, policy: Policy) -> bool:
    if known is None or known.tried_at is None or not known.attempts:
        return True
    doubled = 2 ** min(known.attempts - 1, 20)
    if _is_empty(known):
        is_fresh = now < window_of(known.day).end + SETTLES_AFTER + ONE_DAY
        wait = min(policy.first_look * doubled, policy.again_every if is_fresh else policy.last_look)
    elif _is_shut(known) or (_is_deadly(known) and known.attempts == 1):  # it may have been another day's fault
        wait = min(policy.first_retry * doubled, policy.last_retry)
    elif known.last_error is not None and known.last_error[0] in DAMAGE_CODES:
        wait = min(policy.first_retry * doubled, policy.again_every)
    else:
        wait = policy.again_every
    return not timedelta() <= now - known.tried_at < wait


def _is_empty(known: CoveredDay) -> bool:
    return known.last_error is not None and known.last_error[0] == NO_DATA


def _was_collected_in_future(known: CoveredDay, now: datetime) -> bool:
    """Whether a clock that was ahead collected it: its day may not have been over, nor corrected, by then."""
    return known.collected_at is not None and known.collected_at > now


def _is_unsettled(known: CoveredDay, now: datetime, policy: Policy) -> bool:
    settles_at = window_of(known.day).end + SETTLES_AFTER
    if now >= settles_at + policy.again_for:
        return False
    if known.attempts and known.last_error is not None:
        return _may_be_tried(known, now, policy)
    is_late = known.collected_at is not None and known.collected_at >= settles_at  # and yet something of it had failed
    return (now >= settles_at and not is_late) or _is_stale(known, now, policy.again_every)
