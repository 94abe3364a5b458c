"""The recordings of a source that lost samples: of the same questions as the full ones."""

import pytest

from tests.recordings import LOSSY, Recording


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_recordings_answer_what_a_day_is_asked_for(name: str) -> None:
    lossy, full = Recording(name), Recording("cygnus")
    for answer in ("allocation-day1-idle", "allocation-day2-idle", "allocation-day3-idle", "assets-day2"):
        assert lossy.json(answer)["code"] == 200
        assert lossy.answers[answer].params == full.answers[answer].params
    assert lossy.body("allocation-day2-idle") != full.body("allocation-day2-idle")
