"""Settings that can't be used are refused by name, before anything is asked."""

from pathlib import Path

import pytest

from kubetally.domain.errors import RequestError
from kubetally.domain.source_url import SourceUrl
from kubetally.settings import Settings
from kubetally.wiring.environment import check_settings, environment_apart

SECRET = "hunter2"
TO_DO = "correct or unset it"


@pytest.mark.parametrize("name", ["KUBECOST_API_URL", "KUBETALLY_PROMETHEUS_URL"])
@pytest.mark.parametrize("url", [f"ftp://jane:{SECRET}@host", "host:9090", f"http://host/?key={SECRET}", "http://"])
def test_invalid_url_is_refused_by_its_variable(name: str, url: str) -> None:
    with pytest.raises(RequestError) as refused:
        check_settings(Settings.read({name: url}))
    message = str(refused.value)
    assert message.startswith(f"{name} can't be used: ")
    assert message.endswith(TO_DO)
    assert SECRET not in message


@pytest.mark.parametrize("name", ["KUBETALLY_SOURCE_TOKEN", "KUBETALLY_PROMETHEUS_TOKEN"])
def test_unsendable_token_is_refused_by_its_variable(name: str) -> None:
    with pytest.raises(RequestError, match=name) as refused:
        check_settings(Settings.read({name: f"{SECRET}\nX: 1"}))
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("name", ["KUBETALLY_SOURCE_HEADERS", "KUBETALLY_PROMETHEUS_HEADERS"])
@pytest.mark.parametrize(
    ("text", "code"),
    [(SECRET, "invalid_headers"), (f"X Y: {SECRET}", "unusable_setting"), ("Content-Length: 1", "unusable_setting")],
)
def test_unsendable_headers_are_refused_by_their_variable(name: str, text: str, code: str) -> None:
    with pytest.raises(RequestError, match=f"^{name} .*{TO_DO}$") as refused:
        check_settings(Settings.read({name: text}))
    assert refused.value.code == code
    assert SECRET not in str(refused.value)


def test_home_of_an_unknown_user_is_refused_by_its_variable() -> None:
    with pytest.raises(RequestError, match=r"KUBETALLY_HOME can't be used: '~nobody-there/x'"):
        check_settings(Settings(home="~nobody-there/x"))


def test_what_can_be_used_is_left_as_it_is() -> None:
    settings = Settings(
        kubecost_api_url=SourceUrl.parse("http://user:word@host:9003"),
        prometheus_url=SourceUrl.parse("http://host:9090/api/v1"),
        prometheus_headers="X-Scope-OrgID: prod",
        source_token="token\n",
    )
    assert check_settings(settings) is settings
    assert check_settings(Settings()) == Settings()


def test_a_home_that_is_no_folder_is_refused_by_its_variable(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(RequestError, match=r"KUBETALLY_HOME can't be used: .*file' is not a folder"):
        check_settings(Settings(home=str(file)))
    assert check_settings(Settings(home=str(tmp_path / "not-there"))).home_folder.name == "not-there"


def test_environment_apart_stores_nothing_elsewhere() -> None:
    stored = {
        "KUBETALLY_DATABASE_URL": "postgresql://db",
        "KUBETALLY_LAKE_URL": "s3://lake",
        "KUBETALLY_LAKE_OPTIONS": "aws_region=eu-west-1",
        "KUBETALLY_QUERY_SPILL": "/spill",
        "KUBETALLY_KEEP_ANSWERS": "/answers",
        "KUBETALLY_KEYS": SECRET,
        "KUBETALLY_SECRET": SECRET,
    }
    apart = environment_apart(
        "/folder", collect_days=7, environment={**stored, "KUBETALLY_SOURCE_TOKEN": "token", "PATH": "/bin"}
    )
    assert apart["PATH"] == "/bin"
    assert Settings.read(apart) == Settings(home="/folder", collect_days=7, source_token="token")
