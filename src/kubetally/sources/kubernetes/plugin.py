"""Runs the exec plugin of a kubeconfig, shows its messages to the user and reads the credentials that it prints.

Source: Kubernetes documentation, "client-go credential plugins"; client-go, plugin/pkg/client/auth/exec.
"""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TextIO

import msgspec
from msgspec import Struct

from kubetally import logs
from kubetally.domain.errors import SourceError
from kubetally.masking import names_secret, redact
from kubetally.sources.faults import printable
from kubetally.sources.kubernetes.kubeconfig import Context

PLUGIN_SECONDS = 60.0
Show = Callable[[str], None]
"""Receives each line that a plugin writes to standard error, at once."""

_MAX_QUOTED = 500
_MAX_STDERR_BYTES = 8 * 1024  # the last ones are kept
_MAX_OUTPUT_BYTES = 1024 * 1024
_DRAIN_SECONDS = 1.0  # a child may keep the pipes of a plugin that exited open
_STDOUT, _STDERR = 1, 2


@dataclass(frozen=True, slots=True)
class PluginCredentials:
    """A bearer token, or certificate and key as PEM text; secret."""

    token: str | None
    certificate: str | None
    key: str | None


class _Status(Struct, rename="camel"):
    token: str | None = None
    client_certificate_data: str | None = None
    client_key_data: str | None = None


class _ExecCredential(Struct):
    status: _Status


def show_on_terminal(line: str, stream: TextIO | None = None) -> None:
    """Show a line to the user if `stream`, by default standard error, is a terminal."""
    stream = stream or sys.stderr  # looked up here, as a progress bar replaces it
    if stream.isatty():
        stream.write(f"{line}\n")
        stream.flush()


async def run_plugin(
    context: Context, *, seconds: float = PLUGIN_SECONDS, show: Show = show_on_terminal
) -> PluginCredentials:
    """The credentials from the exec plugin of `context`. Raises SourceError.

    The plugin is killed with its children after `seconds`, and if this is cancelled.
    """
    plugin: Mapping[str, Any] = context.user["exec"]
    command, name = str(plugin["command"]), Path(str(plugin["command"])).name
    run = _Run(show)

    def failed(why: str, cause: Exception | None = None) -> SourceError:
        secrets = [*_secrets_of(plugin), *_printed_secrets(run.output)]
        wrote = run.quoted(secrets)
        error = SourceError(
            f"the exec plugin {name!r} of context {context.name!r} returned no credentials: {printable(why, 300)}"
            + (f"; it wrote: {wrote!r}" if wrote else "")
            + f"; sign in again, and check that `kubectl --context {context.name} get services` works",
            code="credential_plugin_failed",
        )
        error.__cause__ = cause
        return error

    if why := _unsupported(plugin):
        raise failed(why)
    try:
        code = await _execute(run, plugin, seconds)
    except TimeoutError as error:
        raise failed(f"it did not end within {seconds:g} s", error) from error
    except OSError as error:
        hint = printable(str(plugin.get("installHint") or ""), 200)
        raise failed(f"{command!r} can't be run: {error.strerror}" + (f" ({hint})" if hint else ""), error) from error
    except asyncio.CancelledError:
        wrote = run.quoted(_secrets_of(plugin))
        logs.warning("credential_plugin_cut", context=context.name, command=name, wrote=wrote)
        raise
    if code != 0:
        how = f"it was ended by signal {-code}" if code < 0 else f"it exited with code {code}"
        raise failed(how)
    if len(run.output) > _MAX_OUTPUT_BYTES:
        raise failed(f"it wrote more than {_MAX_OUTPUT_BYTES:,} bytes")
    credentials = _read_credentials(run.output)
    if credentials is None:  # the output may have a secret and is not quoted
        raise failed("its output is not an ExecCredential with a token or a certificate")
    return credentials


def _read_credentials(output: bytearray) -> PluginCredentials | None:
    try:
        status = msgspec.json.decode(output, type=_ExecCredential).status
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if status.client_certificate_data and status.client_key_data:
        return PluginCredentials(status.token or None, status.client_certificate_data, status.client_key_data)
    return PluginCredentials(status.token, None, None) if status.token else None


def _unsupported(plugin: Mapping[str, Any]) -> str | None:
    if str(plugin["apiVersion"]).endswith("/v1alpha1"):
        return f"{plugin['apiVersion']} is not supported; set v1 or v1beta1 in the kubeconfig"
    if plugin.get("interactiveMode") == "Always":
        return "it needs standard input (interactiveMode: Always), which is not passed on"
    return None


def _secrets_of(plugin: Mapping[str, Any]) -> list[str]:
    """The values of variables and options with names of secrets."""
    secrets = [str(item.get("value", "")) for item in plugin.get("env") or () if names_secret(str(item.get("name")))]
    for arg, following in pairwise([*map(str, plugin.get("args") or ()), ""]):
        option, equals, value = arg.partition("=")
        if option.startswith("-") and names_secret(option):
            secrets.append(value if equals else following)
    return secrets


def _printed_secrets(output: bytearray) -> list[str]:
    """The token and key in standard output, which may be cut off."""
    values = re.findall(r'"(?:token|clientKeyData)"\s*:\s*"([^"]+)', output.decode("utf-8", "replace"))
    return [line for value in values for line in (value, *value.split("\\n"))]


async def _execute(run: "_Run", plugin: Mapping[str, Any], seconds: float) -> int:
    """Run the plugin and return its exit code. Raises TimeoutError, OSError."""
    variables = {str(item["name"]): str(item.get("value", "")) for item in plugin.get("env") or ()}
    transport, _ = await asyncio.get_running_loop().subprocess_exec(
        lambda: run,
        str(plugin["command"]),
        *(str(arg) for arg in plugin.get("args") or ()),
        stdin=asyncio.subprocess.DEVNULL,
        env=os.environ | variables,
        # In a process group, so that its children are killed with it.
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(seconds):
            await run.exited.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                await run.closed.wait()
        return transport.get_returncode() or 0
    finally:
        if transport.get_returncode() is None:
            with suppress(ProcessLookupError):
                os.killpg(transport.get_pid(), signal.SIGKILL)
            await run.exited.wait()
        transport.close()
        run.flush()


class _Run(asyncio.SubprocessProtocol):
    """Collects the output of a plugin, and shows each line of its standard error at once."""

    def __init__(self, show: Show) -> None:
        self._show = show
        self._line = b""
        self._wrote = bytearray()
        self.output = bytearray()
        self.exited, self.closed = asyncio.Event(), asyncio.Event()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == _STDOUT:
            if len(self.output) <= _MAX_OUTPUT_BYTES:
                self.output += data
            return
        self._wrote += data
        del self._wrote[:-_MAX_STDERR_BYTES]
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            self._show(line.decode("utf-8", "replace"))
        if len(self._line) > _MAX_STDERR_BYTES:
            self.flush()

    def flush(self) -> None:
        """Show a last line without a line break."""
        if self._line:
            self._show(self._line.decode("utf-8", "replace"))
            self._line = b""

    def process_exited(self) -> None:
        self.exited.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()

    def quoted(self, secrets: list[str]) -> str:
        """The end of standard error on one line, without secrets and control characters."""
        text = redact(self._wrote.decode("utf-8", "replace"), secrets)
        shown = printable(text, len(text))
        return shown if len(shown) <= _MAX_QUOTED else f"...{shown[-_MAX_QUOTED:]}"
