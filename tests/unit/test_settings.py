"""Settings, and the one table of them in docs/settings.md."""

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import pytest

from kubetally.domain.account import Credentials
from kubetally.domain.errors import RequestError
from kubetally.domain.source_url import SourceUrl
from kubetally.settings import Settings, size_in_bytes, unknown_variables, variable
from kubetally.wiring.environment import access_settings
from tests.errors import raises_code

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"
URL = "http://localhost:9003"
SECRET = "s3cr3t-8471"


def documented() -> list[tuple[str, str, str]]:
    """Variable, default and meaning of each row of the table."""
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+) \|$", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    return [(name, default, meaning) for name, default, meaning in rows]


def shown(default: object) -> str:
    match default:
        case None:
            return "unset"
        case bool():
            return f"`{str(default).lower()}`"
        case float() | int():
            return f"`{default:g}`"
        case _:
            return f"`{default}`"


def headers_sent(environment: Mapping[str, str], url: str = URL) -> Mapping[str, str]:
    """What a source at `url` is shown to be let in."""
    return access_settings(Settings.read(environment)).for_source(SourceUrl.parse(url), Credentials()).request_headers()


def test_the_document_and_the_settings_agree_exactly() -> None:
    assert documented() == [
        (variable(setting), shown(setting.default), setting.metadata["means"]) for setting in fields(Settings)
    ]


def test_without_an_environment_every_setting_has_its_default() -> None:
    assert Settings.read({}) == Settings()
    assert Settings.read({"KUBETALLY_READ_SECONDS": "  ", "KUBETALLY_CURRENCY": ""}) == Settings()


def test_every_setting_is_read_from_its_variable() -> None:
    samples = {
        bool: ("yes", True),
        float: ("2.5", 2.5),
        int: ("7", 7),
        str: ("debug", "debug"),
        type(None): ("error",) * 2,
    }
    for one in fields(Settings):
        text, value = samples[type(one.default)]
        if one.metadata["is_url"]:
            text, value = "http://host", SourceUrl.parse("http://host")
        if one.metadata["is_currency"]:
            text, value = "eur", "EUR"
        if one.metadata["is_size"]:
            text, value = ("512MiB",) * 2
        if one.metadata["is_engine"]:
            text, value = ("spark://one:7077,two:7078",) * 2
        assert getattr(Settings.read({variable(one): f" {text} "}), one.name) == value, one.name


def test_unusable_currency_names_its_variable() -> None:
    with raises_code("unusable_setting", match="KUBETALLY_CURRENCY can't be used: the currency 'pound' is not a code"):
        Settings.read({"KUBETALLY_CURRENCY": "pound"})


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        *(
            ("KUBETALLY_READ_SECONDS", text, "a number above zero")
            for text in ("abc", "0", "-1", "inf", "nan", "1e999")
        ),
        *(("KUBETALLY_ATTEMPTS", text, "a whole number above zero") for text in ("1.5", "0", "-3", "many")),
        ("KUBETALLY_ALLOW_LINK_LOCAL", "maybe", "true or false"),
        *(
            (name, text, "a size such as 10GB or 512MiB")
            for name in ("KUBETALLY_QUERY_CACHE", "KUBETALLY_QUERY_MEMORY")
            for text in ("10", "0GB", "-1GB", "much")
        ),
        *(
            ("KUBETALLY_ENGINE", text, "duckdb, local[*], local[N] or spark://host:port")
            for text in ("spark", "local", "local[0]", "spark://one", "spark://one:7077,", "yarn", "spark://a@one:1")
        ),
        ("KUBETALLY_LOG_LEVEL", "loud", "debug, info, warning or error"),
    ],
)
def test_a_value_that_can_not_be_one_is_refused_by_name(name: str, text: str, expected: str) -> None:
    with raises_code("invalid_setting") as refused:
        Settings.read({name: text})
    assert str(refused.value) == f"{name} should be {expected}; correct or unset it"


@pytest.mark.parametrize(("text", "value"), [("TRUE", True), ("1", True), ("on", True), ("No", False), ("0", False)])
def test_a_switch_is_understood_in_the_usual_words(text: str, value: bool) -> None:
    assert Settings.read({"KUBETALLY_ALLOW_LINK_LOCAL": text}).allow_link_local is value


@pytest.mark.parametrize(("text", "size"), [("10GB", 10**10), ("1.5 mib", 3 * 2**19), ("2TB", 2 * 10**12)])
def test_a_size_is_in_decimal_or_binary_units(text: str, size: int) -> None:
    assert size_in_bytes(text) == size


def test_the_log_level_may_be_written_in_capitals() -> None:
    assert Settings.read({"KUBETALLY_LOG_LEVEL": "DEBUG"}).log_level == "debug"


def test_no_secret_is_in_the_repr() -> None:
    names = ("KUBETALLY_SOURCE_TOKEN", "KUBETALLY_SOURCE_PASSWORD", "KUBETALLY_SOURCE_HEADERS", "KUBECOST_API_URL")
    settings = Settings.read(dict.fromkeys(names, f"http://user:{SECRET}@host"))
    assert SECRET not in repr(settings)


def test_the_home_folder_is_one_of_the_users() -> None:
    assert Settings().home_folder == Path("~/.kubetally").expanduser()


def test_token_file_precedes_the_token_and_is_stripped(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from-the-file\n")
    sent = headers_sent({"KUBETALLY_SOURCE_TOKEN": "from-the-variable", "KUBETALLY_SOURCE_TOKEN_FILE": str(file)})
    assert sent["authorization"] == "Bearer from-the-file"


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_token_file_that_can_not_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(RequestError, match=re.escape(str(file))):
        headers_sent({"KUBETALLY_SOURCE_TOKEN_FILE": str(file)})


@pytest.mark.parametrize("text", ["X-Scope-OrgID: prod; X-Team: fin:ops", "X-Scope-OrgID: prod\nX-Team: fin:ops\n"])
def test_headers_stand_between_semicolons_or_on_lines(text: str) -> None:
    sent = headers_sent({"KUBETALLY_SOURCE_HEADERS": text})
    assert sent == {"x-scope-orgid": "prod", "x-team": "fin:ops"}


@pytest.mark.parametrize("text", [SECRET, f": {SECRET}"])
def test_a_header_without_name_is_refused_without_its_value(text: str) -> None:
    with pytest.raises(RequestError) as refused:
        headers_sent({"KUBETALLY_SOURCE_HEADERS": text})
    assert SECRET not in str(refused.value)


def test_a_password_in_the_url_comes_before_the_settings() -> None:
    environment = {"KUBETALLY_SOURCE_USER": "one", "KUBETALLY_SOURCE_PASSWORD": "two"}
    assert headers_sent(environment)["authorization"] == "Basic b25lOnR3bw=="
    assert headers_sent(environment, "http://a:b@localhost:9003")["authorization"] == "Basic YTpi"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("KUBETALLY_DEADLINE_SECOND", "KUBETALLY_DEADLINE_SECONDS"),
        ("KUBETALLY_LOGLEVEL", "KUBETALLY_LOG_LEVEL"),
        ("KUBETALLY_log_level", "KUBETALLY_LOG_LEVEL"),
        ("KUBETALLY_DB_URL", "KUBETALLY_DATABASE_URL"),
        ("KUBETALLY_TOKEN", "KUBETALLY_SOURCE_TOKEN"),
        ("KUBETALLY_KUBECOST_API_URL", "KUBECOST_API_URL"),
        ("KUBETALLY_XYZ", None),
        ("KUBETALLY_", None),
    ],
)
def test_unknown_variable_has_its_nearest_setting(name: str, meant: str | None) -> None:
    assert list(unknown_variables({name: "1", "HOME": "/", "KUBETALLY_HOME": "/"})) == [(name, meant)]


def test_settings_and_kubernetes_service_variables_are_known() -> None:
    known = {variable(setting): "1" for setting in fields(Settings)}
    of_services = {
        "KUBETALLY_SERVICE_HOST": "10.0.0.1",
        "KUBETALLY_SERVICE_PORT": "8080",
        "KUBETALLY_SERVICE_PORT_HTTP": "8080",
        "KUBETALLY_PORT": "tcp://10.0.0.1:8080",
        "KUBETALLY_PORT_8080_TCP": "tcp://10.0.0.1:8080",
        "KUBETALLY_PORT_8080_TCP_ADDR": "10.0.0.1",
        "KUBETALLY_DB_SERVICE_HOST": "10.0.0.2",
        "KUBETALLY_DB_PORT_3306_TCP_PROTO": "tcp",
    }
    assert list(unknown_variables(known | of_services)) == []
    assert list(unknown_variables({"KUBETALLY_PORT": "8080"})) == [("KUBETALLY_PORT", None)]
