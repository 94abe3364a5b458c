"""Which (account, day) are due: a pure function of the known days, the time and a policy."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum
from itertools import zip_longest

from kubetally.domain.collection import DAMAGE_CODES, NO_DATA, SETTLES_AFTER, CoveredDay, RejectReason, window_of
from kubetally.domain.status import DayState
from kubetally.domain.window import HOUR

ONE_DAY = timedelta(days=1)
UNFORESEEN = "unforeseen"
"""The code of an attempt that met a defect of Kubetally."""
READER_DIED = "reader_died"
"""The code of an attempt whose reader process ended, most likely for lack of memory."""
GIVE_UP_AFTER = 2
"""So many consecutive failures mean that a source is away; it is not asked for a while."""
_ANSWER_CODES = frozenset({NO_DATA, *(reason.value for reason in RejectReason), "value_beyond_lake"})
_DAY_CODES = _ANSWER_CODES | DAMAGE_CODES | {UNFORESEEN, READER_DIED}
"""Codes of attempts that say nothing about other days of the source."""
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Policy:
    """How often days are collected, and how far back.

    running_every:   pause before the running day is collected again.
    again_every:     pause before a day that may still be corrected is collected again.
    again_for:       a day that can't settle, because a part of it always fails, is not collected again after that.
    max_days:        days before so many days ago are never collected.
    empty_days:      so many consecutive empty days mean that the source holds nothing before them.
    days_at_a_time:  how many days further back are due at a time; if so many consecutive days failed, no earlier ones.
    first_look, last_look: shortest and longest pause before an empty day is collected again; it doubles each time.
    first_retry, last_retry: the same for a day that failed. While the newest day waits, no other day of the account is
                     due.
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
    """A day of an account that is due now. has_failed: the last attempt of that account failed."""

    reason: Reason
    day: date
    account_id: str
    has_failed: bool = False


@dataclass(frozen=True, slots=True)
class KnownDays:
    """The known days of an account. begins: the first day that its source holds, if known.

    source: identifies the source, which several accounts may share; None if unknown.
    """

    account_id: str
    days: Mapping[date, CoveredDay]
    begins: date | None = None
    source: str | None = None

    @classmethod
    def of(
        cls, account_id: str, *, days: Mapping[date, CoveredDay], begins: date | None, source: str | None = None
    ) -> "KnownDays":
        """The known days; without `begins` if an earlier day is stored, as the source was filled since."""
        is_true = begins is None or not any(day < begins and known.is_stored for day, known in days.items())
        return cls(account_id, days, begins if is_true else None, source)


def due(accounts: Iterable[KnownDays], now: datetime, policy: Policy) -> list[Due]:
    """The days to collect now: running days, then missing ones, the newest first, and accounts in turns.

    Accounts that failed last time come after all others. Accounts of a source that just failed twice are left out.
    """
    accounts = list(accounts)
    away = _sources_away(accounts, now, policy)
    by_account = [
        sorted(_due_of(account, now, policy), key=_urgency) for account in accounts if account.source not in away
    ]
    in_turns = [day for turn in zip_longest(*by_account) for day in turn if day is not None]
    return sorted(in_turns, key=lambda day: day.has_failed)


def find_first_source_day(account: KnownDays, now: datetime, policy: Policy) -> date | None:
    """The first day that the source holds; None if it is not known yet. An empty source begins today."""
    return _look_back(account, now.date(), policy).begins


def _urgency(day: Due) -> tuple[int, int]:
    return day.reason, -day.day.toordinal()


def _due_of(account: KnownDays, now: datetime, policy: Policy) -> Iterator[Due]:
    today, has_failed = now.date(), _failed_last(account)
    running = account.days.get(today)
    newest = running or account.days.get(today - ONE_DAY)
    if newest is not None and _is_source_wide(newest) and not _may_retry(newest, now, policy):
        return
    # Retrying sooner does not fix data the source does not have.
    has_own_wait = running is not None and (_is_source_wide(running) or _reader_died(running))
    is_due = _may_retry(running, now, policy) if has_own_wait else _is_stale(running, now, policy.running_every)
    if now - window_of(today).start >= HOUR and is_due:
        yield Due(Reason.RUNNING, today, account.account_id, has_failed)
    waits_until = _newest_failed(account, now, policy)
    for day in _candidates(account, today, policy):
        if day <= waits_until:
            return
        known = account.days.get(day)
        if known is None or known.is_missing or known.is_running:
            if _may_retry(known, now, policy):
                yield Due(Reason.MISSING, day, account.account_id, has_failed)
        elif _was_collected_in_future(known, now):
            if _may_retry(known, now, policy):
                yield Due(Reason.UNSETTLED, day, account.account_id, has_failed)
        elif known.state is not DayState.SETTLED and _is_unsettled(known, now, policy):
            yield Due(Reason.UNSETTLED, day, account.account_id, has_failed)


def _sources_away(accounts: Iterable[KnownDays], now: datetime, policy: Policy) -> set[str]:
    """Sources of several accounts that just failed for consecutive days of any of them.

    Each account has longer waits of its own, so that one that always fails delays the others only briefly.
    """
    by_source: dict[str, list[KnownDays]] = defaultdict(list)
    for account in accounts:
        if account.source is not None:
            by_source[account.source].append(account)
    return {
        source
        for source, sharing in by_source.items()
        if len(sharing) > 1
        and len(failed := _consecutive_failures(sharing)) >= GIVE_UP_AFTER
        and timedelta() <= now - max(map(_tried_at, failed)) < policy.first_retry
    }


def _newest_failed(account: KnownDays, now: datetime, policy: Policy) -> date:
    """The newest day of consecutive failures, up to which no day is due now; `date.min` if there is none.

    Newer days stay due, so that old days that always fail delay none of them.
    """
    failed = _consecutive_failures([account])
    if len(failed) < GIVE_UP_AFTER:
        return date.min
    wait = min(policy.first_retry * 2 ** min(max(day.attempts for day in failed) - 1, 20), policy.last_retry)
    is_waiting = timedelta() <= now - max(map(_tried_at, failed)) < wait
    return max(day.day for day in failed) if is_waiting else date.min


def _consecutive_failures(accounts: Iterable[KnownDays]) -> list[CoveredDay]:
    """The days with a source-wide failure since the source last answered for any day of these accounts."""
    days = [day for account in accounts for day in account.days.values()]
    answered = max(map(_answered_at, days), default=_NEVER)
    return [day for day in days if _is_source_wide(day) and _tried_at(day) >= answered]


def _answered_at(known: CoveredDay) -> datetime:
    """When the source last answered for a day, with data or without."""
    is_answer = known.last_error is not None and known.last_error[0] in _ANSWER_CODES
    times = (known.collected_at, known.tried_at if is_answer else None)
    return max((at for at in times if at is not None), default=_NEVER)


def _is_source_wide(known: CoveredDay) -> bool:
    """Whether the last attempt met an error that other days would meet as well."""
    return known.last_error is not None and known.last_error[0] not in _DAY_CODES


def _reader_died(known: CoveredDay) -> bool:
    return known.last_error is not None and known.last_error[0] == READER_DIED


def _failed_last(account: KnownDays) -> bool:
    """Whether the last attempt failed; an empty answer is no failure."""
    last = max((day for day in account.days.values() if day.tried_at is not None), key=_tried_at, default=None)
    return last is not None and last.last_error is not None and not _is_empty(last)


def _tried_at(day: CoveredDay) -> datetime:
    return day.tried_at or _NEVER


def _candidates(account: KnownDays, today: date, policy: Policy) -> Iterator[date]:
    """The days before today that the source may hold, the newest first."""
    if account.begins is None:
        yield from _look_back(account, today, policy).days
        return
    # The newest days are always candidates, and empty days before the first one now and then, because a source may be
    # empty while it is set up.
    first = min(account.begins, today - policy.empty_days * ONE_DAY)
    count = min((today - first).days, policy.max_days)
    yield from _days_before(today, count)
    yield from (day for day in _days_before(today - count * ONE_DAY, policy.empty_days) if day in account.days)


@dataclass(frozen=True, slots=True)
class _LookBack:
    """The days to collect, and the first day that the source holds, if they show it."""

    days: Sequence[date]
    begins: date | None = None


def _look_back(account: KnownDays, today: date, policy: Policy) -> _LookBack:
    """Day by day back from yesterday, until so many consecutive days are empty that the source seems to begin there.

    Then single earlier days are probed, because the source may have been off for a while.
    """
    oldest_stored = min((day for day, known in account.days.items() if known.is_stored), default=today)
    days: list[date] = []
    unknown = empty = not_stored = 0
    for day in _days_before(today, policy.max_days):
        days.append(day)
        known = account.days.get(day)
        unknown += known is None
        empty = empty + 1 if known is not None and not known.is_stored and _is_empty(known) else 0
        not_stored = not_stored + 1 if known is not None and not known.is_stored else 0
        if max(unknown, not_stored) > policy.days_at_a_time and day < oldest_stored:
            return _LookBack(days)
        if empty >= policy.empty_days and day < oldest_stored:
            probes = _probes(day, today, policy)
            is_clear = all(probe in account.days and _is_empty(account.days[probe]) for probe in probes)
            return _LookBack(
                [*days, *probes], day + empty * ONE_DAY if is_clear and not _is_any_open(days, account) else None
            )
    return _LookBack(days, days[-1] if days and not _is_any_open(days, account) else None)


def _probes(day: date, today: date, policy: Policy) -> list[date]:
    """Days before `day`, evenly spaced, and the earliest of the policy."""
    last = today - policy.max_days * ONE_DAY
    count = (day - last).days // policy.days_at_a_time
    probes = [day - number * policy.days_at_a_time * ONE_DAY for number in range(1, count + 1)]
    return probes if last >= day or last in probes else [*probes, last]


def _is_any_open(days: Iterable[date], account: KnownDays) -> bool:
    """Whether any of these days was not tried yet, or failed."""
    all_known = (account.days.get(day) for day in days)
    return any(known is None or not (known.is_stored or _is_empty(known)) for known in all_known)


def _days_before(today: date, count: int) -> list[date]:
    """So many days before today, the newest first."""
    return [today - number * ONE_DAY for number in range(1, count + 1)]


def _is_stale(known: CoveredDay | None, now: datetime, after: timedelta) -> bool:
    """Whether the last attempt is older than that, or in the future (the clock was set back)."""
    times = [] if known is None else [at for at in (known.collected_at, known.tried_at) if at is not None]
    return all(not timedelta() <= now - at < after for at in times)


def _may_retry(known: CoveredDay | None, now: datetime, policy: Policy) -> bool:
    if known is None or known.tried_at is None or not known.attempts:
        return True
    doubled = 2 ** min(known.attempts - 1, 20)
    if _is_empty(known):
        is_fresh = now < window_of(known.day).end + SETTLES_AFTER + ONE_DAY
        wait = min(policy.first_look * doubled, policy.again_every if is_fresh else policy.last_look)
    elif _is_source_wide(known) or (_reader_died(known) and known.attempts == 1):  # another day may have caused it
        wait = min(policy.first_retry * doubled, policy.last_retry)
    elif known.last_error is not None and known.last_error[0] in DAMAGE_CODES:
        wait = min(policy.first_retry * doubled, policy.again_every)
    else:
        wait = policy.again_every
    return not timedelta() <= now - known.tried_at < wait


def _is_empty(known: CoveredDay) -> bool:
    return known.last_error is not None and known.last_error[0] == NO_DATA


def _was_collected_in_future(known: CoveredDay, now: datetime) -> bool:
    """Whether it was collected by a clock that was ahead, and so perhaps before the day was over or corrected."""
    return known.collected_at is not None and known.collected_at > now


def _is_unsettled(known: CoveredDay, now: datetime, policy: Policy) -> bool:
    settles_at = window_of(known.day).end + SETTLES_AFTER
    if now >= settles_at + policy.again_for:
        return False
    if known.attempts and known.last_error is not None:
        return _may_retry(known, now, policy)
    is_late = known.collected_at is not None and known.collected_at >= settles_at  # a part of it failed then
    return (now >= settles_at and not is_late) or _is_stale(known, now, policy.again_every)
