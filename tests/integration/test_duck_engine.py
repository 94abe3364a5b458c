"""DuckDB runs several questions at once."""

from concurrent.futures import ThreadPoolExecutor

import ibis
import pytest

from kubetally.domain.errors import StoreError
from kubetally.query.duck import DuckEngine


def test_long_question_holds_up_no_short_one_and_ends_with_the_engine() -> None:
    engine = DuckEngine()
    hours = ibis.range(10**6).unnest().name("hour").as_table()
    endless = hours.cross_join(hours.rename(second="hour")).cross_join(hours.rename(third="hour")).count().as_table()
    short = ibis.range(3).unnest().name("hour").as_table()
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(engine.run, endless)
        answers = [engine.run(short).num_rows for _ in range(50)]
        assert not running.done()
        engine.close()
        with pytest.raises(StoreError, match="DuckDB"):
            running.result()
    assert answers == [3] * 50
