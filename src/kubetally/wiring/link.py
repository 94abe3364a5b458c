"""Links that sign a browser in at the service of the settings."""

from kubetally.settings import Settings
from kubetally.store.meta.service_secret import running_secret
from kubetally.web.sign_in import sign_in_link
from kubetally.wiring.clock import SystemClock


def new_link(settings: Settings, url: str) -> str:
    """See `sign_in_link`. Raises RequestError, also without a secret; UnusableFile."""
    secret = running_secret(settings.secret, settings.home_folder)
    return sign_in_link(url, secret=secret.text, now=SystemClock().now())
