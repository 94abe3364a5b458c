"""Secrets are masked in messages of other programs, and the rest is kept."""

import base64
import html
import json
import textwrap
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kubetally.domain.source_url import without_password
from kubetally.masking import Mask, names_secret, redact
from kubetally.sources.faults import Answer, own_words
from kubetally.sources.opencost.wire import decode_assets
from kubetally.sources.prometheus.wire import QueryRefused

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"got {JWT}, refused", "got ***, refused"),
        ("Authorization: Bearer abc123def456", "Authorization: Bearer ***"),
        ("proxy http://jane:hush@host:3128 refused", "proxy http://***@host:3128 refused"),
        ("POST client_secret=hush&grant_type=x", "POST client_secret=***&grant_type=x"),
        ('{"refresh_token": "hush hush", "a": 1}', '{"refresh_token": "***", "a": 1}'),
        ("usage: login --client-secret hush --issuer x", "usage: login --client-secret *** --issuer x"),
        ("password: hunter2!", "password: ***"),
        ("key\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nend", "key\n***\nend"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE", "***"),
        ("trace wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY", "trace ***"),
        ("my s3cret-of-the-env", "my ***"),
    ],
)
def test_a_secret_is_masked(text: str, shown: str) -> None:
    assert redact(text, ["s3cret-of-the-env", "", "to"]) == shown


@pytest.mark.parametrize(
    "text",
    [
        "To sign in, open https://microsoft.com/devicelogin and enter the code ABCD1234",
        "open https://device.sso.eu-west-1.amazonaws.com/?user_code=ABCD1-EFGH2345",
        "error: token: expired; run `az login --tenant 72f988bf-86f1-41af-91ab-2d7cd011db47`",
        "AADSTS700082: The refresh token has expired. Trace ID: 6f6b0e0c-4b7c-4f7a-9f3e-000000000000",
        "basic connectivity failed, bearer token missing",
        "",
    ],
)
def test_text_that_helps_the_user_is_kept(text: str) -> None:
    assert redact(text, ["to", "a"]) == text


def test_long_text_takes_no_time() -> None:
    for text in ("a" * 8192, "token" * 1600, "-" * 8192, "://" + "x" * 8192, '"' * 8192):
        redact(text)


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        ("AZURE_CLIENT_SECRET", True),
        ("--oidc-client-secret", True),
        ("AWS_SECRET_ACCESS_KEY", True),
        ("API_KEY", True),
        ("TOKEN", True),
        ("AWS_PROFILE", False),
        ("--cluster-name", False),
        ("get-token", True),
    ],
)
def test_name_shows_whether_a_value_is_secret(name: str, is_secret: bool) -> None:
    assert names_secret(name) is is_secret


_KNOWN = 'pa55/wo+rd&"x y"<é>%41'
_SPELLINGS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "in capitals": lambda text: text.replace("pa55", "PA55"),
    "JSON": json.dumps,
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)),
    "JSON with all characters": lambda text: json.dumps(text, ensure_ascii=False),
    "JSON of Go": lambda text: json.dumps(text).replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"),
    "JSON of PHP": lambda text: json.dumps(text).replace("/", "\\/"),
    "URL": lambda text: quote(text, safe=""),
    "URL twice": lambda text: quote(quote(text, safe=""), safe=""),
    "URL in small letters": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "form": quote_plus,
    "HTML": html.escape,
    "HTML by numbers": lambda text: "".join(f"&#{ord(character)};" for character in text),
    "HTML by hexadecimal numbers": lambda text: "".join(f"&#x{ord(character):x};" for character in text),
    "Go": lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode()),
    "lines": lambda text: "\n    ".join(textwrap.wrap(text, 5, drop_whitespace=False)),
    "lines of JSON": lambda text: json.dumps("\r\n".join(textwrap.wrap(text, 5, drop_whitespace=False))),
    "tags": lambda text: f"{html.escape(text[:5])}<wbr>{html.escape(text[5:])}",
    "two bytes a character": "\0".join,
}


@pytest.mark.parametrize("spelling", list(_SPELLINGS))
def test_known_secret_is_masked_in_every_spelling(spelling: str) -> None:
    text = _SPELLINGS[spelling](_KNOWN)
    assert Mask([_KNOWN])(f"before {text} after").strip('"\\').replace('"', "").replace("\\", "") == "before *** after"


@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=0x24F, exclude_categories=("C", "Z")), min_size=8),
    st.sampled_from([name for name in _SPELLINGS if name != "in capitals"]),
)
@example("\\\\\\\\nnnn", "JSON in JSON")
@settings(max_examples=150)
def test_no_secret_is_left_in_any_spelling(secret: str, spelling: str) -> None:
    written = _SPELLINGS[spelling](secret)
    shown = Mask([secret])(f"was sent: {written}; refused")
    if len(secret.replace("\\", "")) >= 4:
        assert written.strip('"') not in shown
        assert secret not in shown
        assert "***" in shown


@pytest.mark.parametrize("before", ["", "x", "xy", "user:"])
def test_secret_inside_of_base64_is_masked(before: str) -> None:
    mask = Mask(["hunter2-hunter2"])
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(f"{before}hunter2-hunter2\n".encode()).decode()
        shown = mask(f"header {text}")
        assert "***" in shown
        assert not any(text[at : at + 8] in shown for at in range(len(text) - 8))


def test_secret_that_was_cut_off_is_masked() -> None:
    mask = Mask(["0123456789abcdefghij"])
    assert mask("token 0123456789ab... is wrong") == "token ***... is wrong"
    assert mask("token ...89abcdefghij is wrong") == "token ...*** is wrong"
    assert mask('{"error": "token 0123456') == '{"error": "token ***'
    assert mask("token 01234 is wrong") == "token 01234 is wrong"


def test_short_secret_is_masked_as_a_word_only() -> None:
    mask = Mask(["abc", "a@b"])
    assert mask("user:abc abcdef (abc) http://h/?p=a%40b") == "user:*** abcdef (***) http://h/?p=***"


def test_name_of_user_is_masked_as_a_word_only() -> None:
    mask = Mask(["hunter2-hunter2"], names=["prometheus"])
    assert mask("prometheus:hunter2-hunter2 at prometheus-server") == "***:*** at ***-server"
    assert mask("Prometheus of prometheuses") == "Prometheus of prometheuses"


def test_data_keep_what_may_be_a_name() -> None:
    mask = Mask(["kubecost", "monitoring-team", "k3y-of-the-source/1"])
    body = b'{"kubecost": "monitoring-team", "token": "k3y-of-the-source\\/1", "url": "k3y-of-the-source%2F1"}'
    assert mask.data(body) == b'{"kubecost": "monitoring-team", "token": "***", "url": "***"}'
    assert mask("kubecost of monitoring-team") == "*** of ***"


@pytest.mark.parametrize("secret", ['pa55/w+rd&of"jane', "pa55-wörd\\of-jane"])
def test_secret_in_json_within_json_is_masked_in_data(secret: str) -> None:
    for ascii_only in (True, False):
        inner = json.dumps({"sent": secret}, ensure_ascii=ascii_only)
        body = json.dumps({"label": inner, "plain": secret}, ensure_ascii=ascii_only).encode()
        for text in (body, body.replace(b"&", b"\\u0026")):
            masked = Mask([secret]).data(text)
            assert b"pa55" not in masked
            assert json.loads(json.loads(masked)["label"]) == {"sent": "***"}


def test_unknown_secrets_of_known_form_are_masked() -> None:
    assert Mask()(f"dial http://jane:hush@thanos:9090 with {JWT}") == "dial http://***@thanos:9090 with ***"


def test_repr_of_a_mask_shows_no_secret() -> None:
    assert "hunter2" not in repr(Mask(["hunter2-hunter2"]))


class Counted(Mask):
    """A mask that records the length of its texts."""

    __slots__ = ("characters",)

    def __init__(self, *secrets: str) -> None:
        super().__init__(secrets)
        self.characters = 0

    def __call__(self, text: str) -> str:
        self.characters += len(text)
        return super().__call__(text)


def failure(words: str, mask: Mask) -> None:
    own_words(json.dumps({"message": words}).encode(), mask)


def refusal(words: str, mask: Mask) -> None:
    QueryRefused("http://h", 400, error_type="bad_data", said=words, mask=mask)


def warning(words: str, mask: Mask) -> None:
    body = json.dumps({"code": 200, "data": {}, "warning": words}).encode()
    decode_assets(Answer(200, body, "application/json", None, datetime.now(UTC), 0.0, "http://h", mask))


@pytest.mark.parametrize("quote_words", [failure, refusal, warning])
def test_no_more_is_masked_than_can_be_shown(quote_words: Callable[[str, Mask], None]) -> None:
    mask = Counted("hunter2-hunter2")
    quote_words("%2526" * 13_000, mask)
    assert 0 < mask.characters < 16_384


@pytest.mark.parametrize("spell", [str, quote, lambda text: "".join(f"\\u{ord(character):04x}" for character in text)])
def test_no_part_of_a_secret_is_left_by_the_cut(spell: Callable[[str], str]) -> None:
    secret = "hunter2-hunter/2=&" * 4
    mask, spelled = Mask([secret]), spell(secret)
    for cut in (8_192, 8_192 + 4_096):
        for before in range(cut - len(spelled), cut + 1, len(spelled) // 16):
            shown = mask.beginning("x" * before + spelled + "y" * 8_192)
            assert shown.rstrip("y").removesuffix("***").strip("x") == ""


@pytest.mark.parametrize("piece", ["\\", "%", "<", "&#", "\\u", " ", "=\r\n", "a", "%25", "\\\\n"])
def test_hostile_text_takes_no_time(piece: str) -> None:
    mask = Mask(["a" * 40, "\\" * 20 + "abcd", "<" * 30, " a" * 30, "%25" * 20])
    assert len(mask(piece * (65_536 // len(piece)))) <= 65_536


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://host:9003/path", "http://host:9003/path"),
        ("http://host", "http://host"),
        ("host:9003", "host:9003"),
        ("http://[fd00::1]:9003/x", "http://[fd00::1]:9003/x"),
        ("http://host:pa55word", "http://host:***"),
        ("http://host:pa55word/path", "http://host:***/path"),
        ("http://user:host:pa55word/", "http://user:***/"),
        ("http://user:pa55word@host:9003/x", "http://***@host:9003/x"),
        ("http://user@host:pa55word", "http://***@host:***"),
        ("http://user:pa55/wo@rd@host:9003", "http://***@host:9003"),
        ("http://host:99999", "http://host:***"),
        ("http://host:1234567890123", "http://host:***"),
        ("http://[fd00::1]:pa55word", "http://[fd00::1]:***"),
        ("http://[fd00::1]pa55word", "http://[fd00::1]:***"),
        ("user:host:pa55word", "user:***"),
        ("host:pa55word", "host:***"),
        ("http://http://host:pa55word", "http://http://host:***"),
    ],
)
def test_password_in_any_place_of_a_url_is_masked(url: str, shown: str) -> None:
    assert without_password(url) == shown
