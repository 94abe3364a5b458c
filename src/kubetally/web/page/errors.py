"""Errors for people: a page."""

from http import HTTPStatus

from kubetally.web.html import PAGE_HEADERS, page, text
from kubetally.web.problems import Failure, Problem

_NOT_FOUND = page(
    "Kubetally: not found", '<h1>Not found</h1><p>There is no page at this address. <a href="/">Clusters</a></p>'
)


def problem_of(failure: Failure) -> Problem:
    """The page of a failure."""
    return Problem(failure.status, _body(failure.status), "text/html", PAGE_HEADERS | failure.headers)


def _body(status: int) -> bytes:
    if status == 404:
        return _NOT_FOUND
    phrase = HTTPStatus(status).phrase
    hint = " The log has the reason." if status >= 500 else ""
    body = f'<h1>{text(phrase)}</h1><p>This page can\'t be shown.{hint} <a href="/">Clusters</a></p>'
    return page(f"Kubetally: {phrase.lower()}", body)
