"""What is taken out of the words of another program, and what is left."""

import pytest

from kubetally.sources.kubernetes.redact import names_secret, redact

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
def test_what_helps_the_user_is_left(text: str) -> None:
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
def test_a_name_tells_whether_a_value_is_secret(name: str, is_secret: bool) -> None:
    assert names_secret(name) is is_secret
