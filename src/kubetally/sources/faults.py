"""What an answer is, and every way in which a source can fail to give one.

A URL in these classes is always the masked one (`str` of a SourceUrl), so that any message may be shown.
"""

import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Self

from kubetally.domain.errors import SourceError
from kubetally.masking import Mask

SHOWN_CHARACTERS = 120
SAID_CHARACTERS = 200
MASKED_CHARACTERS = 500  # of a reason that is ours, with a few words of the source in it
_MESSAGE_BYTES = 65_536  # of a failure that may hold data too; its words come early
_LEADING_BYTES = 800  # of a body that may have 512 MiB
NO_MASK = Mask()


@dataclass(frozen=True, slots=True)
class Answer:
    """A 2xx answer, read to its end.

    body:             decompressed bytes; may be empty.
    server_date:      the Date header as an aware UTC instant; None where the source sent none that can be read.
    received_at:      our clock when the head of the answer arrived, to be held against `server_date`.
    duration_seconds: from the request of the try that succeeded to the last byte of its body.
    url:              masked, with path, without query.
    mask:             takes our credentials out of what is quoted of it: see `quoted`.
    """

    status: int
    body: bytes
    content_type: str
    server_date: datetime | None
    received_at: datetime
    duration_seconds: float
    url: str
    mask: Mask = field(default=NO_MASK, repr=False, compare=False)

    def quoted(self, text: str, most: int = SAID_CHARACTERS) -> str:
        """Words of the answer as they may be shown: without our credentials, on one line, at most `most` characters."""
        return printable(self.mask.beginning(text), most)

    @property
    def is_web_page(self) -> bool:
        """Whether a proxy or a login page answered. JSON counts as JSON, even if it is declared as text/html."""
        start = self.body[:_LEADING_BYTES].lstrip()
        return start[:1] == b"<" or ("html" in self.content_type.lower() and start[:1] not in {b"{", b"["})


class Waiting(StrEnum):
    """What a source was too slow for."""

    CONNECT = "connect"
    READ = "read"
    DEADLINE = "deadline"


_SLOW = {
    Waiting.CONNECT: "did not accept a connection within {:g} s; check host, port and firewall, or raise "
    "KUBETALLY_CONNECT_SECONDS",
    Waiting.READ: "sent nothing for {:g} s; check whether it hangs, or raise KUBETALLY_READ_SECONDS",
    # Days are asked one by one: a shorter window would not make this answer come sooner.
    Waiting.DEADLINE: "did not answer completely within {:g} s, retries included; check whether it hangs, or raise "
    "KUBETALLY_DEADLINE_SECONDS",
}


class SourceUnavailable(SourceError):
    """It can't be reached now, or answers that it can't answer now (429, 502, 503, 504)."""

    code = "source_unavailable"
    retryable = True

    def __init__(
        self, url: str, why: str, *, status: int | None = None, code: str | None = None, message: str | None = None
    ) -> None:
        """code, message: where it is a case of its own."""
        self.url, self.why, self.status = url, why, status
        todo = "check that it runs and that the URL is right" if status is None else "it may be busy or starting"
        super().__init__(message or f"{url} is unavailable: {why}; {todo}", code=code)


class SourceTimeout(SourceUnavailable):
    """It was too slow; `waiting` says for which of the limits, `seconds` how long that limit is."""

    code = "source_timeout"

    def __init__(self, url: str, waiting: Waiting, seconds: float) -> None:
        self.waiting, self.seconds = waiting, seconds
        why = _SLOW[waiting].format(seconds)
        super().__init__(url, why, message=f"{url} {why}")


class SourceFailed(SourceError):
    """It answered 500 or another 5xx: it broke on this request. said: its own message."""

    code = "source_failed"
    retryable = True

    def __init__(self, url: str, status: int, said: str | None) -> None:
        self.url, self.status, self.said = url, status, said
        super().__init__(f"{url} answered {status}{_quoted(said)}; check the log of the source")


class SourceRefused(SourceError):
    """It answered 4xx, or a 3xx without an address: a retry changes nothing.

    body: its start, for a caller that knows the messages of this source; whatever is quoted of it goes through `mask`.
    """

    code = "source_refused"

    def __init__(self, url: str, status: int, said: str | None, body: bytes = b"", mask: Mask = NO_MASK) -> None:
        self.url, self.status, self.said, self.body, self.mask = url, status, said, body, mask
        todo = "check the URL and the version of the source"
        if status in {401, 403}:
            todo = (
                "give credentials in KUBETALLY_SOURCE_TOKEN, in KUBETALLY_SOURCE_USER and KUBETALLY_SOURCE_PASSWORD, "
                "or as http://user:password@host in the URL"
            )
        super().__init__(f"{url} answered {status}{_quoted(said)}; {todo}")


class RedirectRefused(SourceError):
    """It redirects to where credentials and requests must not go, or too often."""

    code = "redirect_refused"

    def __init__(self, url: str, *, host: str, why: str) -> None:
        self.url, self.host, self.why = url, host, why
        super().__init__(f"{url} redirects to {host}, {why}; give the final address as the URL of the source")


class CertificateNotTrusted(SourceError):
    """Its TLS certificate does not verify."""

    code = "certificate_not_trusted"

    def __init__(self, url: str, why: str) -> None:
        self.url, self.why = url, why
        super().__init__(
            f"the certificate of {url} is not trusted: {why}; "
            "name the file of the authority that signed it in KUBETALLY_SOURCE_CA_FILE"
        )


class AnswerNotUnderstood(SourceError):
    """It answered 2xx, but not with the expected data.

    why:         what is wrong, as the end of the sentence "the source ...".
    starts_with: the first printable characters of the body, at most 120.
    said:        its own message, if it is an object that reports a failure.
    """

    code = "answer_not_understood"

    def __init__(self, url: str, why: str, starts_with: str = "", said: str | None = None) -> None:
        self.url, self.why, self.starts_with = url, why, printable(starts_with, SHOWN_CHARACTERS)
        self.said = said
        start = f"; it starts with {self.starts_with!r}" if self.starts_with else ""
        super().__init__(f"{url} {why}{start}; check that the URL leads to the API of the source itself")

    @classmethod
    def of(cls, answer: Answer, why: str | None = None) -> Self:
        """Of an answer that is not the expected JSON; why: replaces our guess for a body that has content."""
        # 200 characters are enough to find 120 printable ones in nearly all bodies.
        start = answer.mask(answer.body[:_LEADING_BYTES].decode("utf-8", "replace"))
        if not answer.body.strip():
            return cls(answer.url, f"answered {answer.status} with an empty body")
        if answer.is_web_page:
            return cls(answer.url, "answered with a web page, perhaps that of a proxy or a login", start)
        why = answer.quoted(why, MASKED_CHARACTERS) if why else "answered with something that is not JSON"
        return cls(answer.url, why, start)

    @classmethod
    def failing(cls, answer: Answer) -> Self:
        """Of a JSON object without data, or one that reports a failure, with its own message."""
        said = own_words(answer.body[:_MESSAGE_BYTES], answer.mask) or ""
        return cls(answer.url, f"answered {answer.status} with an error instead of data: {said!r}", said=said)


def printable(text: str, most: int) -> str:
    """`text` on one line, without control characters, at most `most` characters."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(shown.split())[:most]


def own_words(body: bytes, mask: Mask) -> str | None:
    """What the body of a failure says to a person: `message` or `error` of JSON, else its text without tags.

    Shape: one line of at most 200 printable characters, without our credentials; None where there is nothing to read.
    """
    text = body.decode("utf-8", "replace")
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        parsed = None
    if isinstance(parsed, dict):
        for key in ("message", "error"):
            if isinstance(parsed.get(key), str) and parsed[key].strip():
                text = parsed[key]
                break
    # Before tags are taken out and the end is cut off: a secret that is in pieces is found less surely.
    text = re.sub(r"(?is)<(script|style)\b.*?(</\1\s*>|$)", " ", mask.beginning(text))
    return printable(re.sub(r"<[^>]*>?", " ", text), SAID_CHARACTERS) or None


def _quoted(said: str | None) -> str:
    return "" if said is None else f": {said!r}"
