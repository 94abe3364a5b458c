"""A day that is damaged in the lake is its own trouble: others are collected, and a backfill writes it anew."""

from datetime import timedelta

from kubetally.ledger.collect.schedule import ONE_DAY, KnownDays, Policy, due
from tests.served import NOON_AFTER
from tests.service import account_id
from tests.unit.ledger.collect.test_collector import TODAY, Cluster, World

DAMAGED = "day_damaged"

YESTERDAY = TODAY - ONE_DAY
DAY_BEFORE = TODAY - 2 * ONE_DAY


def known(world: World, number: int = 1) -> dict[int, tuple[str, str] | None]:
    """What the last attempt met, by how many days ago."""
    days = world.coverage.days(TODAY - 40 * ONE_DAY, end=TODAY + ONE_DAY, account_ids=[account_id(number)])
    return {(TODAY - day.day).days: day.last_error for day in days if day.last_error}


async def test_damaged_day_affects_no_other() -> None:
    world = World([Cluster(days=3), Cluster(days=3)])
    world.lake.damaged = {DAY_BEFORE}
    report = await world.collect()
    assert {(outcome.account_id, outcome.day) for outcome in report.failed if outcome.code == DAMAGED} == {
        (account_id(number), DAY_BEFORE) for number in (1, 2)
    }
    assert {item.day for item in world.coverage.confirmed} >= {TODAY, YESTERDAY, TODAY - 3 * ONE_DAY}
    for number in (1, 2):
        code, message = known(world, number)[2] or ("", "")
        assert code == DAMAGED
        assert f"kubetally backfill {account_id(number)} --from {DAY_BEFORE} --to {YESTERDAY}" in message
    assert not world.coverage.pending()


async def test_damaged_day_is_retried_with_growing_pauses() -> None:
    world = World([Cluster(days=3)])
    world.lake.damaged = {DAY_BEFORE}
    await world.collect()
    days = {day.day: day for day in world.coverage.days(DAY_BEFORE, end=TODAY + ONE_DAY, account_ids=[account_id(1)])}
    waits = []
    for attempts in (1, 2, 3, 20):
        one = days[DAY_BEFORE]._replace(attempts=attempts, tried_at=NOON_AFTER)
        history = KnownDays(account_id(1), days | {DAY_BEFORE: one}, DAY_BEFORE)
        minutes = (5, 10, 20, 40, 60, 24 * 60)
        is_due = (
            minute
            for minute in minutes
            if DAY_BEFORE in {found.day for found in due([history], NOON_AFTER + timedelta(minutes=minute), Policy())}
        )
        waits.append(next(is_due))
    assert waits == [5, 10, 20, 24 * 60]


async def test_damaged_day_is_due_until_it_is_collected() -> None:
    world = World([Cluster(days=3)])
    await world.collect()
    assert not [due_day for due_day in await world.collector().due() if due_day.day == DAY_BEFORE]
    an_hour_ago = NOON_AFTER - timedelta(hours=1)
    world.coverage.failed(account_id(1), DAY_BEFORE, an_hour_ago, code=DAMAGED, message="a bit was flipped")
    world.coverage.failed(account_id(1), DAY_BEFORE, an_hour_ago, code="refused", message="the source was down")
    assert known(world)[2] == (DAMAGED, "a bit was flipped")
    assert DAY_BEFORE in {due_day.day for due_day in await world.collector().due()}
    await world.collect()
    assert 2 not in known(world)


async def test_backfill_rewrites_a_damaged_day() -> None:
    world = World([Cluster(days=3, cpu=1), Cluster(days=3, cpu=2)])
    await world.collect()
    world.lake.damaged = {DAY_BEFORE}
    report = await world.collector().backfill([account_id(1)], DAY_BEFORE, end=YESTERDAY)
    assert [outcome.day for outcome in report.collected] == [DAY_BEFORE]
    assert world.held()[2] == 1
    assert 2 not in known(world)
    assert (known(world, 2)[2] or ("", ""))[0] == DAMAGED  # it could not be read, and is asked for again


async def test_damaged_running_day_is_always_rewritten() -> None:
    world = World([Cluster(days=3)])
    world.lake.damaged = {TODAY}
    report = await world.collect()
    assert TODAY in {outcome.day for outcome in report.collected}
