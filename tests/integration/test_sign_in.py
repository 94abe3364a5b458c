"""No request is trusted because of its origin: the page behind a reverse proxy on the same machine."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from kubetally.samples.replay import ReplayServer
from kubetally.web.sign_in import LinkSigner
from tests.integration.test_accounts_command import Home, home
from tests.integration.test_serve_command import Program, serve, start
from tests.reverse_proxy import ReverseProxy
from tests.served import NOON_AFTER
from tests.service import SECRET, AccountsInMemory, account, cost_service, serving

__all__ = ["home", "serve", "start"]
WINDOW = {"window": "2026-11-20,2026-11-21"}
FORWARDED = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}
LINK = r"Open in a browser: (http://\S+/sign-in\?token=\S+)\n"


@pytest.fixture(scope="module")
def url(replay: ReplayServer) -> Iterator[str]:
    with serving(cost_service(AccountsInMemory([account(1, replay.url_of("aurora"), name="aurora")]))) as url:
        yield url


def link(url: str) -> str:
    return f"{url}/sign-in?token={LinkSigner(SECRET).token(NOON_AFTER)}"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "", "evil.example"])
def test_page_needs_sign_in_on_this_machine_too(url: str, host: str) -> None:
    answer = httpx.get(url, params=WINDOW, headers={"Host": host})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic")
    assert "aurora" not in answer.text
    assert "kubetally link" in answer.text


@pytest.mark.parametrize("adds", [{}, {"X-Forwarded-For": "127.0.0.1"}, FORWARDED])
def test_reverse_proxy_does_not_bypass_sign_in(url: str, adds: dict[str, str]) -> None:
    with ReverseProxy(url, adds) as proxy:
        refused = httpx.get(proxy.url, params=WINDOW)
        assert refused.status_code == 401
        assert "aurora" not in refused.text
        assert httpx.get(proxy.url, params=WINDOW, auth=("me", "wrong-" * 4)).status_code == 401
        assert "aurora" in httpx.get(proxy.url, params=WINDOW, auth=("me", SECRET)).text
        with httpx.Client(base_url=proxy.url, follow_redirects=True) as browser:
            page = browser.get(link(proxy.url))
            assert (page.status_code, str(page.url)) == (200, f"{proxy.url}/")
            assert "aurora" in browser.get("/", params=WINDOW).text
        assert httpx.get(proxy.url, params=WINDOW).status_code == 401


def test_link_signs_one_browser_in_once(url: str) -> None:
    printed = link(url)
    with httpx.Client() as browser:
        answer = browser.get(printed)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert "Secure" not in cookie
        assert printed.partition("=")[2] not in cookie
        assert browser.get(url, params=WINDOW).status_code == 200
        again = browser.get(printed)
        assert (again.status_code, again.headers["location"]) == (303, "/"), "this browser is signed in"
    refused = httpx.get(printed)
    assert refused.status_code == 403
    assert "set-cookie" not in refused.headers
    assert "kubetally link" in refused.text
    assert httpx.get(f"{url}/sign-in").status_code == 403


def test_prefetch_does_not_use_up_a_link(url: str) -> None:
    printed = link(url)
    assert httpx.head(printed).status_code == 405
    assert httpx.get(printed, headers={"Sec-Purpose": "prefetch;prerender"}).status_code == 503
    assert httpx.get(printed).status_code == 303


def test_cookie_opens_only_the_page(url: str) -> None:
    with httpx.Client(base_url=url) as browser:
        browser.get(link(url))
        assert browser.get("/metroculus/v2/kubecost_cluster_costs").status_code == 401


def test_printed_link_works_and_its_token_is_in_no_log(
    serve: Callable[..., Program], home: Home, replay: ReplayServer
) -> None:
    home.add("prod", "--url", replay.url_of("aurora"))
    program = serve("--no-collector", KUBETALLY_LOG_LEVEL="debug", KUBETALLY_TRUSTED_PROXIES="127.0.0.1")
    printed = program.until(LINK)[1]
    with httpx.Client(follow_redirects=True, timeout=30) as browser:
        assert "prod" in browser.get(printed, headers=FORWARDED).text or browser.cookies
    made = home.call("link", "--url", program.url).out.strip()
    with ReverseProxy(program.url, FORWARDED) as proxy:
        secure = httpx.get(made.replace(program.url, proxy.url))
    assert secure.status_code == 303
    assert "; Secure" in secure.headers["set-cookie"]
    cookie = secure.headers["set-cookie"].partition(";")[0]
    page = httpx.get(program.url, params=WINDOW, headers={"Cookie": cookie}, timeout=30)
    assert "prod" in page.text
    assert httpx.get(printed).status_code == 403
    for hidden in (printed.partition("token=")[2], made.partition("token=")[2], cookie.partition("=")[2]):
        assert hidden not in program.err
    assert program.stop() == 0
    again = serve("--no-collector")
    assert httpx.get(again.url, params=WINDOW, headers={"Cookie": cookie}, timeout=30).status_code == 200


def test_link_needs_a_service_and_a_url(home: Home, tmp_path: Path) -> None:
    none = home.run("link")
    assert (none.code, none.out) == (2, "")
    assert str(home.folder / "secret") in none.err
    assert "kubetally serve" in none.err
    assert not (home.folder / "secret").exists()
    for bad in ("kubetally.example", "ftp://host", "http://host/path", "http://"):
        refused = home.run("link", "--url", bad, KUBETALLY_SECRET=SECRET)
        assert (refused.code, refused.out) == (2, "")
        assert "--url should be" in refused.err


def test_invalid_trusted_proxies_stop_the_start(home: Home) -> None:
    done = home.run("serve", "--port", "0", KUBETALLY_TRUSTED_PROXIES="nginx")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: KUBETALLY_TRUSTED_PROXIES can't be used: ")
