"""Serves the page: the settings of ``cmr "cm gui"``, and the Streamlit process."""

from __future__ import annotations

import dataclasses
import errno
import html
import http.client
import ipaddress
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import webbrowser
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import Any

from cmx_resnet50.errors import Resnet50Error
from cmx_resnet50.gui import access
from cmx_resnet50.options import flag
from cmx_resnet50.shell_values import Place
from cmx_resnet50.shell_values import check as check_value

STREAMLIT = (1, 67)
"""The oldest Streamlit that has every option used here."""
LOOPBACK = "127.0.0.1"
FIRST_PORT = 8501
"""Where the search for a free port begins; Streamlit's own default."""
_PREFIX = "CM_GUI_"
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_COLOUR = "#1668b8"
_LOCAL = {"0.0.0.0": LOOPBACK, "::": "::1"}  # noqa: S104 - only where a user asks for it
"""How this machine reaches a page that listens on all addresses."""
_REDIRECT = """<!doctype html>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0;url={url}">
<title>CM GUI</title>
<a href="{url}">Open the page</a>
"""


class CannotStart(Resnet50Error):
    """An input of ``cm gui`` that is not valid, or a Streamlit that is too old."""


@dataclass(frozen=True)
class Settings:
    """The settings of ``cmr "cm gui"``; each field is the input of the same name.

    `prefix` is a program with its arguments that runs the page's commands.
    """

    script: str = ""
    title: str = ""
    prefix: tuple[str, ...] = ()
    no_run: bool = False
    no_browser: bool = False
    address: str = LOOPBACK
    port: int | None = None

    @classmethod
    def read(cls, env: Mapping[str, Any]) -> Settings:
        """Read the settings from CM's env.

        Raises
        ------
        CannotStart, OptionError
            If a value is not valid.
        UnsafeValue
            If a shell would act on a value.
        """
        check(env)
        app = _text(env, "APP")
        if app not in ("", "app"):
            raise CannotStart(f"--app={app}: unknown page; the only one is app")
        port = _text(env, "PORT")
        if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise CannotStart(f"--port={port}: must be a number from 1 to 65535")
        prefix = _text(env, "SCRIPT_PREFIX_LINUX")
        try:
            words = tuple(shlex.split(prefix))
        except ValueError as error:
            raise CannotStart(f"--prefix={prefix}: {error}.") from error
        return cls(
            script=_text(env, "SCRIPT_TAGS"),
            title=_text(env, "TITLE"),
            prefix=words,
            no_run=_flag(env, "NO_RUN"),
            no_browser=_flag(env, "NO_BROWSER"),
            address=_address(_text(env, "ADDRESS")),
            port=int(port) if port else None,
        )

    @classmethod
    def from_argument(cls, text: str) -> Settings:
        """Read what `argument` wrote."""
        fields = json.loads(text)
        return cls(**{**fields, "prefix": tuple(fields["prefix"])})

    @property
    def argument(self) -> str:
        """The settings as one argument for the page."""
        return json.dumps(dataclasses.asdict(self))

    @property
    def endpoint(self) -> str:
        """Address and port, as in a URL."""
        return f"{_in_url(self.address)}:{self.port}"

    @property
    def is_private(self) -> bool:
        """Whether only this machine can reach the page."""
        return self.address == "localhost" or (
            _is_ip(self.address) and ipaddress.ip_address(self.address).is_loopback
        )


def check(env: Mapping[str, Any]) -> None:
    """Refuse values of ``cm gui`` that would act in the shell scripts that CM writes.

    Raises
    ------
    UnsafeValue
        If a shell would act on a value.
    """
    for key, value in env.items():
        if key.startswith(_PREFIX):
            check_value(key, str(value), Place.QUOTED)


def has_streamlit() -> bool:
    """Whether this Python has a Streamlit that is new enough."""
    try:
        version = metadata.version("streamlit")
    except metadata.PackageNotFoundError:
        return False
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return numbers is not None and tuple(map(int, numbers.groups())) >= STREAMLIT


def command(settings: Settings, page: Path) -> list[str]:
    """Return the command that serves `page`, as a list of arguments.

    Every option is set here, so that no configuration file is needed: who may connect, that
    nothing is sent anywhere, and that no file is watched.
    """
    options: dict[str, str] = {
        "server.address": settings.address,
        # The URL that Streamlit would print and open lacks the token.
        "server.headless": "true",
        "logger.hideWelcomeMessage": "true",
        "server.showEmailPrompt": "false",
        "server.enableCORS": "true",
        "server.enableXsrfProtection": "true",
        "server.fileWatcherType": "none",
        "server.runOnSave": "false",
        # It is on where Streamlit is not in site-packages, and then the page is on another port.
        "global.developmentMode": "false",
        "browser.gatherUsageStats": "false",
        "browser.serverAddress": settings.address,
        "client.toolbarMode": "minimal",
        "client.showErrorLinks": "false",
        "runner.magicEnabled": "false",
        "theme.light.primaryColor": _COLOUR,
        "theme.dark.primaryColor": "#5aa9f0",
    }
    if settings.port is not None:
        options["server.port"] = str(settings.port)
    hosts: list[str] = []
    if settings.is_private:
        # Against DNS rebinding: a web site whose name resolves to this machine gets no answer.
        hosts = ["localhost", LOOPBACK, "::1", settings.address]
    flags = [f"--{name}={value}" for name, value in options.items()]
    flags += [f"--server.allowedHosts={host}" for host in hosts]
    return [
        *(sys.executable, "-m", "streamlit", "run", str(page)),
        *flags,
        "--",
        settings.argument,
    ]


def serve(settings: Settings, page: Path, cwd: str) -> int:
    """Serve `page` until it is interrupted, and return Streamlit's exit code.

    Once the page answers, its URL is printed, and opened unless the settings say otherwise.

    Raises
    ------
    CannotStart
        If this Python has no Streamlit, or one that is too old.
    """
    if not has_streamlit():
        wanted = ".".join(map(str, STREAMLIT))
        raise CannotStart(
            f"{sys.executable} has no Streamlit {wanted} or newer. Install it there:\n"
            f'  {sys.executable} -m pip install "streamlit>={wanted}"'
        )
    settings = dataclasses.replace(settings, port=settings.port or _free_port(settings.address))
    token = access.new_token()
    process = subprocess.Popen(  # noqa: S603 - no shell
        command(settings, page), cwd=cwd, env={**os.environ, access.VARIABLE: token}
    )
    try:
        with _sigterm_raises(), ExitStack() as stack:
            if _answers(process, settings):
                _announce(settings, token, stack)
            return process.wait()
    except KeyboardInterrupt:
        # Streamlit got the same signal from the terminal.
        return 0
    finally:
        _end(process)


def _free_port(address: str) -> int:
    """Return the first port from `FIRST_PORT` on that nobody listens on at `address`."""
    family, _, _, _, place = socket.getaddrinfo(address, FIRST_PORT, type=socket.SOCK_STREAM)[0]
    for port in range(FIRST_PORT, FIRST_PORT + 1000):
        with socket.socket(family, socket.SOCK_STREAM) as one:
            # A port where a connection of the last page is fading out is free all the same.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind((place[0], port, *place[2:]))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise CannotStart(f"--address={address}: {error.strerror}.") from error
                continue
            return port
    raise CannotStart(f"No port from {FIRST_PORT} on is free; choose one with --port.")


def _answers(process: subprocess.Popen[bytes], settings: Settings) -> bool:
    """Wait until the page answers; return whether it does, or else has ended."""
    host = _LOCAL.get(settings.address, settings.address)
    while process.poll() is None:
        connection = http.client.HTTPConnection(host, settings.port, timeout=5)
        try:
            connection.request("GET", "/_stcore/health")
            if connection.getresponse().status == 200:
                return True
        except (OSError, http.client.HTTPException):
            time.sleep(0.1)
        finally:
            connection.close()
    return False


def _announce(settings: Settings, token: str, stack: ExitStack) -> None:
    """Print the page's URL, and open it; `stack` removes what that leaves behind."""
    names = [settings.address]
    if settings.address in _LOCAL:
        names = [_LOCAL[settings.address], socket.gethostname()]
    urls = [f"http://{_in_url(name)}:{settings.port}/?token={token}" for name in names]
    reach = "this machine only" if settings.is_private else "reachable from other machines"
    lines = [f"CM GUI: listening on {settings.endpoint}, {reach}.", *urls]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
    if not settings.no_browser:
        # Arguments of a browser can be read by other users: it gets a file that only this user
        # can read, and which leads to the URL.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cm-gui-")))
        file = folder / "open.html"
        target = html.escape(urls[0], quote=True)
        file.write_text(_REDIRECT.format(url=target), encoding="utf-8")
        _open(file.as_uri())


def _open(url: str) -> None:
    if sys.platform != "linux":
        webbrowser.open(url)
    elif program := shutil.which("xdg-open"):
        subprocess.Popen(  # noqa: S603 - a list, and no shell reads it
            [program, url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Make SIGTERM an exception, so that the page ends with the process that serves it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(process: subprocess.Popen[bytes], seconds: float = 10.0) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _text(env: Mapping[str, Any], name: str) -> str:
    return str(env.get(_PREFIX + name, "")).strip()


def _flag(env: Mapping[str, Any], name: str) -> bool:
    return flag(f"--{name.lower()}", _text(env, name))


def _address(text: str) -> str:
    if not text:
        return LOOPBACK
    if _is_ip(text) or _HOST.fullmatch(text):
        return text
    raise CannotStart(f"--address={text}: must be an IP address or a host name")


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
