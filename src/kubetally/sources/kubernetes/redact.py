"""Takes secrets out of what other programs write, so that it can be quoted."""

import re
from collections.abc import Iterable

MASK = "***"
_SHORTEST = 4  # characters of a known secret; masking a shorter text would mask words
_WORDS = r"(?:secret|token|passwd|password|passphrase|credentials?|(?:api|access|private)[_-]?key)"
_NAME = rf"(?<![\w.-])[\w.-]*?{_WORDS}"
_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), shown)
    for pattern, shown in (
        (r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*-----|$)", MASK),
        (r"\beyJ[\w-]{8,}(?:\.[\w-]*){1,4}", MASK),  # a JWT
        (r"\b(bearer|basic)\s+(?=[\w.~+/-]*[\d=])[\w.~+/-]{6,}=*", rf"\1 {MASK}"),
        (r"(?<=://)[^/\s@]+@", f"{MASK}@"),
        # `token=x`, `"refresh_token": "x"`, `--client-secret x`
        (rf"({_NAME}[\"']?=[\"']?)[^\s\"'&;,]+", rf"\1{MASK}"),
        (rf"([\"']{_NAME}[\"']\s*:\s*[\"'])[^\"']*", rf"\1{MASK}"),
        (rf"((?<!\S)--[\w.-]*?{_WORDS}\s+)[^\s-]\S*", rf"\1{MASK}"),
        # `token: x`, unless x is a word
        (rf"({_NAME}:\s+)(?=[^\s\"']*[\d/+=~$!])[^\s\"',;]{{6,}}", rf"\1{MASK}"),
    )
)
# Long, and of small letters, capitals and digits: no word and no UUID is.
_OPAQUE = re.compile(r"(?<![\w+~-])(?=[\w+~-]*[a-z])(?=[\w+~-]*[A-Z])(?=[\w+~-]*\d)[\w+~-]{24,}={0,2}")
_NAMES_SECRET = re.compile(rf".*(?:{_WORDS}|_key)$", re.IGNORECASE)


def names_secret(name: str) -> bool:
    """Whether a variable or an option of this name holds a secret."""
    return _NAMES_SECRET.match(name) is not None


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without the known `secrets` and without what looks like one."""
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, MASK)
    for pattern, shown in _RULES:
        text = pattern.sub(shown, text)
    return _OPAQUE.sub(MASK, text)
