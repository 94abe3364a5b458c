"""Tags of answers, and the header that sends them back."""

import pytest

from kubetally.web.v1.etag import is_known, not_modified, with_etag


@pytest.mark.parametrize("header", ['"a"', 'W/"a"', '"b", "a"', ' W/"b" ,W/"a" ', "a", "*", " * "])
def test_sent_tag_is_known(header: str) -> None:
    assert is_known("a", if_none_match=header)


@pytest.mark.parametrize("header", [None, "", '"b"', '"*"', '*, "b"', '"A"', '"aa"'])
def test_other_tag_is_not_known(header: str | None) -> None:
    assert not is_known("a", if_none_match=header)


def test_clients_may_keep_an_answer_if_they_ask_each_time() -> None:
    for response in (with_etag(b"{}", "a"), not_modified("a")):
        assert response.headers["ETag"] == '"a"'
        assert response.headers["Cache-Control"] == "private, no-cache"
        assert response.headers["Vary"] == "Secret, Authorization"
