"""Translates what requests and the system raise into an `AttemptError` that users can read.

Texts of requests and urllib3 are not used: they hold whole URLs, secrets included.
"""

from __future__ import annotations

import errno
import http.client
import os
import re
import socket
import ssl
from collections.abc import Iterator

import requests
import urllib3.exceptions as wire

from cmx_resnet50.fetch.http import trust
from cmx_resnet50.fetch.http.lookup import NameServerSilent
from cmx_resnet50.fetch.http.proxies import Proxy, only_for_http, proxy_of
from cmx_resnet50.fetch.http.session import MAX_REDIRECTS
from cmx_resnet50.fetch.verdicts import (
    AttemptError,
    NetworkDown,
    NoAnswer,
    ProxyDown,
    SourceFailed,
    TransientError,
    UnknownName,
)
from cmx_resnet50.limits import Limit, limit_of
from cmx_resnet50.redaction import host_of

_TLS_REASONS = {
    "NO_APPLICATION_PROTOCOL": "it does not speak HTTP/1.1",
    "PROTOCOL_VERSION": "it only speaks a version of TLS that is not secure",
    "UNSUPPORTED_PROTOCOL": "it only speaks a version of TLS that is not secure",
    "WRONG_VERSION_NUMBER": "there is no TLS at this port",
}
"""What parts of OpenSSL's reasons mean."""

_LOCAL = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_NO_ROUTE = frozenset({errno.ENETUNREACH, errno.ENETDOWN})
_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})")
"""The text of http.client's error where a proxy refuses CONNECT."""


def translate_exception(
    error: Exception, url: str, *, received: str = "", ca_bundle: str | None = None
) -> AttemptError:
    """Return what `error` means for the request to `url`.

    Parameters
    ----------
    error : Exception
        What was raised by requests, urllib3 or the system.
    url : str
        The URL that was requested.
    received : str
        How much of the file has come, for messages.
    ca_bundle : str, optional
        The bundle that is configured for this source.
    """
    request = getattr(error, "request", None)
    url = getattr(request, "url", None) or url
    host = host_of(url)
    proxy = proxy_of(url)
    causes = list(_causes(error))
    at_proxy = any(
        isinstance(cause, requests.exceptions.ProxyError | wire.ProxyError) for cause in causes
    )
    for cause in causes:
        if isinstance(cause, AttemptError):
            return cause
        if isinstance(cause, ssl.SSLCertVerificationError):
            peer = str(proxy) if at_proxy and proxy is not None else host
            issuer = getattr(cause, "issuer", None)
            return SourceFailed(trust.explain(cause, peer, ca_bundle), tls_issuer=issuer)
    if proxy is not None:
        failure = _proxy_failure(causes, proxy, host, at_proxy=at_proxy)
        if failure is not None:
            return failure
    for cause in causes:
        if isinstance(cause, requests.exceptions.TooManyRedirects):
            return SourceFailed(f"more than {MAX_REDIRECTS} redirects")
        if isinstance(cause, requests.exceptions.InvalidURL | wire.LocationParseError):
            return SourceFailed("the URL is malformed")
    for cause in causes:
        if isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return TransientError(f"{host} closed the TLS connection")
        if isinstance(cause, ssl.SSLError):
            return _tls_failure(cause, host)
        if isinstance(cause, http.client.HTTPException):
            failure = _not_http(cause, host)
            if failure is not None:
                return failure
        if isinstance(cause, socket.gaierror | wire.NameResolutionError):
            return _unresolved(causes, host, only_for_http(url))
        if isinstance(cause, wire.ConnectTimeoutError) and not isinstance(
            cause, wire.NewConnectionError
        ):
            return TransientError(f"{host} did not accept a connection in time")
        if isinstance(cause, wire.ReadTimeoutError | TimeoutError):
            return TransientError(f"{host} sent nothing until the time-out")
        if isinstance(cause, wire.IncompleteRead):
            return closed_early(received)
        if isinstance(cause, OSError) and cause.errno:
            kind = NetworkDown if cause.errno in _NO_ROUTE else TransientError
            return kind(f"connection to {host}: {_system(cause)}")
    return TransientError(f"{host} closed or broke the connection")


def local_limit(error: BaseException) -> Limit | None:
    """Return the limit of this machine that is behind `error`; None where it is the network."""
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno in _LOCAL:
            return limit_of(cause)
    return None


def closed_early(received: str) -> TransientError:
    """Return the error for a body that ended before all announced bytes had come."""
    return TransientError(f"connection closed early: {received}".rstrip(": "))


def _tls_failure(error: ssl.SSLError, host: str) -> SourceFailed:
    reason = error.reason or "no reason given"
    for words, meaning in _TLS_REASONS.items():
        if words in reason:
            return SourceFailed(f"TLS with {host} failed: {meaning} ({reason})")
    return SourceFailed(f"TLS with {host} failed: {reason}")


def _not_http(error: http.client.HTTPException, host: str) -> SourceFailed | None:
    """Return what is wrong with an answer that breaks HTTP/1.1; None where the host hung up."""
    if isinstance(error, http.client.LineTooLong):
        return SourceFailed(f"{host} sends a header line of more than 65,536 bytes")
    if isinstance(error, http.client.RemoteDisconnected):
        return None
    if isinstance(error, http.client.BadStatusLine | http.client.UnknownProtocol):
        return SourceFailed(f"{host} does not answer in HTTP/1.1; perhaps it only speaks HTTP/2")
    if "more than" in str(error):
        return SourceFailed(f"{host} sends more than 100 header lines")
    if "informational" in str(error):
        return SourceFailed(f"{host} sends informational answers without end")
    return None


def _unresolved(
    causes: list[BaseException], name: str, unused: str | None = None
) -> TransientError:
    """Return the error for a name that cannot be resolved; `unused` names a proxy for http only."""
    hint = "" if unused is None else f"; {unused} is set, but https needs HTTPS_PROXY"
    for cause in causes:
        if isinstance(cause, NameServerSilent):
            return NoAnswer(f"the name of {name} cannot be resolved: {cause.strerror}{hint}")
    numbers = {cause.errno for cause in causes if isinstance(cause, socket.gaierror)}
    kind = NetworkDown if socket.EAI_AGAIN in numbers else UnknownName
    return kind(f"the name of {name} cannot be resolved{hint}")


def _system(error: OSError) -> str:
    number = error.errno or 0
    return f"{os.strerror(number)} ({errno.errorcode.get(number, number)})"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield `error` and its causes, however they are attached, from the outside in."""
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        inner = [current.__cause__, current.__context__, getattr(current, "reason", None)]
        inner.extend(current.args)
        waiting.extend(part for part in inner if isinstance(part, BaseException))


def _proxy_failure(
    causes: list[BaseException], proxy: Proxy, host: str, *, at_proxy: bool
) -> AttemptError | None:
    """Return what the proxy did to the request, or None where it is not to blame."""
    for cause in causes:
        if isinstance(cause, requests.exceptions.InvalidSchema) and "SOCKS" in str(cause):
            return SourceFailed(
                f"{proxy.named_by} names a SOCKS proxy, which needs a Python package that is not "
                "installed: pip install PySocks"
            )
    # The package may be missing, so its classes are known by their names.
    socks = {type(cause).__name__ for cause in causes if type(cause).__module__ == "socks"}
    if any("Auth" in name for name in socks):
        return SourceFailed(
            f"{proxy} asks for a user name and a password, or refuses those that are named"
        )
    if socks:
        if "ProxyConnectionError" in socks:
            return ProxyDown(f"{proxy} cannot be reached")
        return TransientError(f"{proxy} does not reach {host}")
    if not at_proxy:
        return None
    tunnel = _TUNNEL.search(" ".join(str(cause) for cause in causes))
    if tunnel is not None:
        status = int(tunnel[1])
        if status == 407:
            return SourceFailed(proxy.asks_for_password, status=status)
        if status == 403:
            return SourceFailed(f"{proxy} forbids {host}", status=status)
        return TransientError(f"{proxy} does not reach {host} (HTTP {status})")
    dropped = ConnectionResetError | http.client.RemoteDisconnected
    if any(isinstance(cause, dropped) for cause in causes):
        # urllib3 blames the proxy also where the tunnel was open and the host hung up.
        return TransientError(f"{host} closed or broke the connection")
    for cause in causes:
        if isinstance(cause, ssl.SSLError) and "WRONG_VERSION_NUMBER" in str(cause.reason):
            return SourceFailed(f"{proxy} speaks no TLS: name it with http:// in place of https://")
        if isinstance(cause, socket.gaierror | wire.NameResolutionError):
            return _unresolved(causes, str(proxy))
    reasons = [_system(cause) for cause in causes if isinstance(cause, OSError) and cause.errno]
    return ProxyDown(f"{proxy} cannot be reached" + (f": {reasons[0]}" if reasons else ""))
