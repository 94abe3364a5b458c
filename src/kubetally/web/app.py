"""The application: every face on one port."""

from typing import Any

from litestar import Request, get
from litestar.exceptions import HTTPException, MethodNotAllowedException
from litestar.response import Response

from kubetally import logs
from kubetally.domain.errors import Gone, KubetallyError, NotFound
from kubetally.domain.window import Clock
from kubetally.ledger.accounts.token_cache import TokenCache
from kubetally.ledger.costs.service import ClusterUnreadable, CostService
from kubetally.ledger.diagnose.storage import StorageCheck
from kubetally.ledger.ports.organizations import Organizations
from kubetally.web.connections import Connections
from kubetally.web.documentation import openapi_config, openapi_json, swagger
from kubetally.web.faces import problem_at
from kubetally.web.html import STYLE
from kubetally.web.instrumented_app import InstrumentedApp
from kubetally.web.metroculus.costs import COSTS, CostAnswers
from kubetally.web.metroculus.question import DEFAULT_WINDOW
from kubetally.web.metroculus.routes import PREFIX, metroculus
from kubetally.web.ops.metrics import HttpMetrics
from kubetally.web.ops.routes import operations
from kubetally.web.page.overview import PageGuard, overview
from kubetally.web.principals import Principals
from kubetally.web.problems import Failure, Problem
from kubetally.web.proxies import TrustedProxies
from kubetally.web.secret import Secret
from kubetally.web.service_state import ServiceState
from kubetally.web.sign_in import SIGN_IN, SignIn, sign_in_page
from kubetally.web.v1.endpoint import NativeApi
from kubetally.web.v1.pages import LedgerQueries
from kubetally.web.v1.routes import native_api
from kubetally.web.wrong_secrets import WrongSecrets

_log = logs.get_logger(__name__)
AnyRequest = Request[Any, Any, Any]


def create_app(
    service: CostService,
    secret: str,
    *,
    version: str,
    clock: Clock,
    page_window: str = DEFAULT_WINDOW,
    secret_file: str | None = None,
    storage: StorageCheck | None = None,
    sign_in: SignIn | None = None,
    proxies: TrustedProxies | None = None,
    ledger: LedgerQueries | None = None,
    organizations: Organizations | None = None,
    tokens: TokenCache | None = None,
) -> InstrumentedApp:
    """The whole service. It closes `service` and `storage` when it stops.

    page_window: the default window of `/`. secret_file: of the secret; None if the environment has it. storage: its
    problems are shown by `/readyz` and `/metrics`. sign_in: exchanges links; by default one of `secret` and `clock`.
    ledger: answers questions about it, of these organizations; without both there is no native API. tokens: that open
    it, beside the secret.

    Raises: ValueError, for a weak secret.
    """
    required_secret, state, http_metrics = Secret(secret), ServiceState(), HttpMetrics(service, version)
    proxies = proxies or TrustedProxies()
    native = None if ledger is None or organizations is None else NativeApi(ledger, organizations, clock, version)
    costs = CostAnswers(service, required_secret, clock, http_metrics)
    guard = PageGuard(required_secret, sign_in or SignIn(secret, clock), proxies)

    def as_problem(request: AnyRequest, error: Exception) -> Response[bytes]:
        return _problem(request, error, required_secret).response()

    app = InstrumentedApp(
        route_handlers=[
            metroculus(service, required_secret, clock, costs),
            operations(service, http_metrics, version, state, storage),
            overview(
                service, guard, clock, default_window=page_window, costs_path=PREFIX + COSTS, secret_file=secret_file
            ),
            sign_in_page(guard.sign_in, proxies),
            *([] if native is None else [native_api(native, Principals(required_secret, tokens))]),
            openapi_json,
            swagger,
            style_css,
        ],
        exception_handlers={Exception: as_problem, HTTPException: as_problem},
        openapi_config=openapi_config(),
        on_shutdown=[closed.close for closed in (service, tokens, storage) if closed is not None],
        logging_config=None,
        debug=False,
    )
    app.no_head = (PREFIX, SIGN_IN)  # the existing API answers HEAD with 405; a link works once, for a GET
    app.http_metrics, app.service_state = http_metrics, state
    app.problem_at, app.cancel_reads, app.cached_answer = problem_at, service.close, costs.cached
    app.connections, app.proxies, app.wrong_secrets = Connections(proxies), proxies, WrongSecrets()
    return app


@get("/style.css", include_in_schema=False, media_type="text/css")
async def style_css() -> bytes:
    """The style sheet of all pages."""
    return STYLE


def _problem(request: AnyRequest, error: Exception, secret: Secret) -> Problem:
    """The response to an error; every error of a request comes here."""
    if isinstance(error, Problem):
        return error
    return problem_at(request.scope["path"], _failure(request, error, secret))


def _failure(request: AnyRequest, error: Exception, secret: Secret) -> Failure:
    match error:
        case KubetallyError():
            if not isinstance(error, ClusterUnreadable | NotFound | Gone):
                _log.error("request_failed", code=error.code, message=str(error))
            return Failure.of(error)
        case MethodNotAllowedException():  # no route has this method
            rejection = secret.check(request.scope) if request.scope["path"].startswith(PREFIX) else None
            return rejection or Failure(405, method=request.scope["method"])
        case HTTPException() if error.status_code < 500:
            return Failure(error.status_code)
    _log.error("defect", path=request.scope["path"], exc_info=error)
    return Failure(500)
