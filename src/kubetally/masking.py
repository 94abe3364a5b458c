"""Masks secrets in messages of sources, databases, object stores and plugins, so that they can be quoted."""

import base64
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from html import entities
from urllib.parse import quote, quote_plus

MASK = "***"
_MIN_LENGTH = 4
"""A shorter secret is masked as a whole word only: within words, the gaps would reveal it and spoil every message."""
_MIN_LENGTH_IN_DATA = 12
_MIN_PART = 8  # of a secret that was cut off
_MIN_PART_AT_END = 6  # at the end of a text that was cut off
_MIN_LENGTH_IN_BASE64 = 8
_PIECE_BYTES = 1024 * 1024
_MAX_QUOTED = 8192  # characters of a long text
_OVERLAP = 4096  # characters masked after those, so that no part of a secret is left at the cut

_WORDS = r"(?:secret|token|passwd|password|passphrase|credentials?|(?:api|access|private)[_-]?key)"
_NAME = rf"(?<![\w.-])[\w.-]*?{_WORDS}"


def _rules(*rules: tuple[str, str]) -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(pattern, re.IGNORECASE | re.DOTALL), shown) for pattern, shown in rules)


_CERTAIN = _rules(
    (r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*-----|$)", MASK),
    (r"\beyJ[\w-]{8,}(?:\.[\w-]*){1,4}", MASK),  # a JWT
    (r"\b(bearer|basic)\s+(?=[\w.~+/-]*[\d=])[\w.~+/-]{6,}=*", rf"\1 {MASK}"),
    (r"(?<=://)[^/\s@]+@", f"{MASK}@"),
)
_LIKELY = _rules(
    # `token=x`, `"refresh_token": "x"`, `--client-secret x`
    (rf"({_NAME}[\"']?=[\"']?)[^\s\"'&;,]+", rf"\1{MASK}"),
    (rf"([\"']{_NAME}[\"']\s*:\s*[\"'])[^\"']*", rf"\1{MASK}"),
    (rf"((?<!\S)--[\w.-]*?{_WORDS}\s+)[^\s-]\S*", rf"\1{MASK}"),
    # `token: x`, unless x is a word
    (rf"({_NAME}:\s+)(?=[^\s\"']*[\d/+=~$!])[^\s\"',;]{{6,}}", rf"\1{MASK}"),
)
# Long, with lower case, upper case and digits: not a word or a UUID.
_OPAQUE = re.compile(r"(?<![\w+~-])(?=[\w+~-]*[a-z])(?=[\w+~-]*[A-Z])(?=[\w+~-]*\d)[\w+~-]{24,}={0,2}")
_NAMES_SECRET = re.compile(rf".*(?:{_WORDS}|_key)$", re.IGNORECASE)


class Mask:
    """Replaces known secrets, in every usual spelling, by `***`. Its repr shows none."""

    __slots__ = ("_in_data", "_parts", "_words", "names", "secrets")

    def __init__(self, secrets: Iterable[str] = (), *, names: Iterable[str] = ()) -> None:
        """`names`: user names, masked as whole words only, as they may be ordinary words."""
        self.secrets, self.names = frozenset(filter(None, secrets)), frozenset(filter(None, names))
        forms = {form for secret in self.secrets for form in _forms(secret)}
        self._parts = tuple(sorted({plain for form in forms if len(plain := _compact(_bytewise(form))) >= _MIN_LENGTH}))
        words = {secret for secret in self.secrets if len(_compact(_bytewise(secret))) < _MIN_LENGTH} | self.names
        spellings = sorted({spelling for word in words for spelling in _spellings(word)}, key=len, reverse=True)
        self._words = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, spellings))})(?!\w)") if words else None
        in_data = {spelling for s in self.secrets if _is_unmistakable(s) for spelling in _spellings(s)}
        # Each takes about 10 ms in a body of 20 MB.
        self._in_data = tuple(
            sorted(s.encode() for s in in_data if not any(other in s for other in in_data if other != s))
        )

    def __repr__(self) -> str:
        return f"Mask({len(self.secrets)} secrets)"

    def __or__(self, other: "Mask") -> "Mask":
        """A mask of the secrets of both."""
        return Mask(self.secrets | other.secrets, names=self.names | other.names)

    def __call__(self, text: str) -> str:
        """`text` without the secrets: raw, escaped, percent-encoded, in base64, on several lines, or cut in half.

        Also masks unknown secrets: keys, tokens in their usual form, user and password of a URL.
        """
        if self._parts:
            text = self._without_parts(text)
        if self._words is not None:
            text = self._words.sub(MASK, text)
        for pattern, shown in _CERTAIN:
            text = pattern.sub(shown, text)
        return text

    def beginning(self, text: str) -> str:
        """The first 8192 characters, masked: a long text takes a tenth of a second or more.

        No part of a secret of up to 4096 characters, as spelled there, is left.
        """
        if len(text) <= _MAX_QUOTED + _OVERLAP:
            return self(text)
        return self(text[: _MAX_QUOTED + _OVERLAP])[:-_OVERLAP]

    def data(self, body: bytes) -> bytes:
        """`body` without the secrets that can't be mistaken for a name, such as a namespace."""
        for spelling in self._in_data:
            # In pieces, as a search blocks other threads.
            starts = range(0, len(body), _PIECE_BYTES)
            if any(body.find(spelling, start, start + _PIECE_BYTES + len(spelling)) >= 0 for start in starts):
                body = body.replace(spelling, MASK.encode())
        return body

    @property
    def changes_data(self) -> bool:
        """Whether `data` masks anything."""
        return bool(self._in_data)

    def _without_parts(self, text: str) -> str:
        view = _bytewise(text)
        spans: list[tuple[int, int]] = []
        for plain, starts, ends in _readings(view):
            for first, last in _find(plain, self._parts):
                spans.append((starts[first], ends[last]))
        shown, at = list[str](), 0
        for start, end in sorted(spans):
            if start >= at:
                shown += [view[at:start], MASK]
            at = max(at, end)
        shown.append(view[at:])
        return "".join(shown).encode("latin-1").decode("utf-8", "replace")


def names_secret(name: str) -> bool:
    """Whether the value of a variable or option with this name is secret."""
    return _NAMES_SECRET.match(name) is not None


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without the known `secrets` and text that looks like a secret."""
    text = Mask(secret for secret in secrets if len(secret) >= _MIN_LENGTH)(text)
    for pattern, shown in _LIKELY:
        text = pattern.sub(shown, text)
    return _OPAQUE.sub(MASK, text)


def _forms(secret: str) -> Iterator[str]:
    """The secret, and its forms inside a longer text in base64."""
    yield secret
    if " " in secret:
        yield secret.replace(" ", "+")  # as in a form
    content = secret.encode("utf-8", "surrogatepass")
    if len(content) < _MIN_LENGTH_IN_BASE64:
        return
    for before, shared in ((0, 0), (1, 2), (2, 3)):
        coded = base64.b64encode(bytes(before) + content).decode("ascii")
        whole = len(coded) - (4 if (before + len(content)) % 3 else 0)  # the last group depends on what follows
        yield coded[shared:whole]
        yield coded[shared:whole].translate(str.maketrans("+/", "-_"))


def _spellings(secret: str) -> list[str]:
    """The spellings of the secret in JSON, in JSON inside JSON, and in URLs."""
    once = _in_json(secret)
    twice = [spelling for text in once for spelling in _in_json(text)]
    return list(dict.fromkeys((secret, *once, *twice, quote(secret, safe=""), quote_plus(secret))))


def _in_json(text: str) -> tuple[str, ...]:
    """The spellings of a text by JSON encoders: the usual one, Go's, with escaped slashes, and in ASCII."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    go = escaped.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return escaped, go, escaped.replace("/", "\\/"), json.dumps(text)[1:-1]


def _is_unmistakable(secret: str) -> bool:
    return (
        len(secret) >= _MIN_LENGTH_IN_DATA
        and any(character.isdigit() for character in secret)
        and any(character.isalpha() for character in secret)
    )


# A text is searched bytewise, each byte of its UTF-8 as a character, because percent signs encode bytes.


def _bytewise(text: str) -> str:
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


# Characters within a secret that was wrapped: blanks, control and invisible characters.
_INVISIBLE = "|".join(
    _bytewise(chr(code))
    for code in (*range(0x80, 0xA1), 0xAD, 0x61C, 0x180E, *range(0x200B, 0x2010), *range(0x2028, 0x2030), 0xFEFF)
)
_GAP = re.compile(rf"[\x00-\x20\x7f\\]+|=\r?\n|{_INVISIBLE}")
# Each kind of escape is decoded separately, as a secret may contain another kind.
_ESCAPES = (
    re.compile(r"(?<!\\)\\++(?:u(?P<u>[0-9a-fA-F]{4})|x(?P<x>[0-9a-fA-F]{2})|(?P<gap>[nrt]))"),
    re.compile(r"%(?P<x>[0-9a-fA-F]{2})"),
    re.compile(
        r"&#0*(?P<decimal>[0-9]{1,6});|&#[xX]0*(?P<u>[0-9a-fA-F]{1,5});|&(?P<name>[a-zA-Z]{2,8});"
        r"|(?P<gap><[^<>]{0,80}>)"
    ),
)
_MAX_READINGS = 16
Reading = tuple[str, list[int], list[int]]
"""A text, with the start and end of each of its characters in the original."""


def _readings(view: str) -> Iterator[Reading]:
    """The text without gaps, as it is and with its escapes decoded in each order, until nothing changes."""
    queue: list[Reading] = [(view, list(range(len(view))), list(range(1, len(view) + 1)))]
    seen = {view}
    for reading in queue:  # grows in the loop
        plain, starts, ends = _read(reading, _GAP, lambda _: "")
        yield plain.lower(), starts, ends
        for escape in _ESCAPES:
            if len(seen) < _MAX_READINGS:
                read = _read(reading, escape, _unescaped)
                if read[0] not in seen:
                    seen.add(read[0])
                    queue.append(read)


def _read(reading: Reading, pattern: re.Pattern[str], decode: Callable[[re.Match[str]], str]) -> Reading:
    text, starts, ends = reading
    shown, new_starts, new_ends, at = list[str](), list[int](), list[int](), 0
    for match in pattern.finditer(text):
        decoded = decode(match)
        shown += [text[at : match.start()], decoded]
        new_starts += starts[at : match.start()] + [starts[match.start()]] * len(decoded)
        new_ends += ends[at : match.start()] + [ends[match.end() - 1]] * len(decoded)
        at = match.end()
    if not at:
        return reading
    return "".join([*shown, text[at:]]), new_starts + starts[at:], new_ends + ends[at:]


def _unescaped(match: re.Match[str]) -> str:
    """The bytes of an escape; empty for a gap or a tag."""
    text = match[match.lastgroup or 0]
    match match.lastgroup:
        case "x":
            return chr(int(text, 16))
        case "u":
            code = int(text, 16)
        case "decimal":
            code = int(text)
        case "name":
            code = _ENTITIES.get(text, 0)
        case _:
            return ""
    return _bytewise(chr(code)) if 0 < code <= sys.maxunicode else match[0]


_ENTITIES = {**entities.name2codepoint, "apos": ord("'")}


def _compact(text: str) -> str:
    return re.sub(r"[\x00-\x20\x7f\\]+", "", text).lower()


def _find(text: str, secrets: Iterable[str]) -> Iterator[tuple[int, int]]:
    """First and last character of each secret, of its larger half, and of its start at the end of the text."""
    end = len(text.rstrip(".'\"}])>"))
    for secret in secrets:
        part = max(_MIN_PART, (len(secret) + 1) // 2) if len(secret) > _MIN_PART else len(secret)
        at = text.find(secret[:part])
        while at >= 0:
            last = at + part
            while last < len(text) and last - at < len(secret) and text[last] == secret[last - at]:
                last += 1
            yield at, last - 1
            at = text.find(secret[:part], last)
        at = text.find(secret[-part:])
        while at >= 0:
            first, before = at, len(secret) - part  # extended to the left as far as it matches
            while first > 0 and before > 0 and text[first - 1] == secret[before - 1]:
                first, before = first - 1, before - 1
            yield first, at + part - 1
            at = text.find(secret[-part:], at + part)
        for length in range(min(part, end), _MIN_PART_AT_END - 1, -1):
            if text.endswith(secret[:length], 0, end):
                yield end - length, end - 1
                break
