"""Translates what requests and the system raise into an `AttemptError` that users can read.

Texts of requests and urllib3 are not used: they hold whole URLs, secrets included.
"""

from __future__ import annotations

import errno
import http.client
import os
import socket
import ssl
from collections.abc import Iterator

import requests
import urllib3.exceptions as wire

from cmx_resnet50.fetch.http.response import PROXY_PASSWORD
from cmx_resnet50.fetch.http.session import MAX_REDIRECTS, issuer_at
from cmx_resnet50.fetch.verdicts import AttemptError, SourceFailed, TransientError
from cmx_resnet50.redaction import host_of


def translate_exception(
    error: Exception, url: str, timeout: float, *, received: str = ""
) -> AttemptError:
    """Return what `error` means for the request to `url`.

    Parameters
    ----------
    error : Exception
        What was raised by requests, urllib3 or the system.
    url : str
        The URL that was requested.
    timeout : float
        Seconds for a second look at the certificate that was refused.
    received : str
        How much of the file has come, for messages.
    """
    request = getattr(error, "request", None)
    url = getattr(request, "url", None) or url
    host = host_of(url)
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, AttemptError):
            return cause
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _untrusted(cause, url, timeout)
    for cause in causes:
        if isinstance(cause, requests.exceptions.ProxyError | wire.ProxyError):
            return _proxy(causes, host)
        if isinstance(cause, requests.exceptions.TooManyRedirects):
            return SourceFailed(f"more than {MAX_REDIRECTS} redirects")
        if isinstance(cause, requests.exceptions.InvalidURL | wire.LocationParseError):
            return SourceFailed("the URL is malformed")
    for cause in causes:
        if isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return TransientError(f"{host} closed the TLS connection")
        if isinstance(cause, ssl.SSLError):
            return SourceFailed(f"TLS with {host} failed: {cause.reason or 'no reason given'}")
        if isinstance(cause, socket.gaierror | wire.NameResolutionError):
            return TransientError(f"the name of {host} cannot be resolved")
        if isinstance(cause, wire.ConnectTimeoutError) and not isinstance(
            cause, wire.NewConnectionError
        ):
            return TransientError(f"{host} did not accept a connection in time")
        if isinstance(cause, wire.ReadTimeoutError | TimeoutError):
            return TransientError(f"{host} sent nothing until the time-out")
        if isinstance(cause, wire.IncompleteRead):
            return closed_early(received)
        if isinstance(cause, OSError) and cause.errno:
            name = errno.errorcode.get(cause.errno, str(cause.errno))
            return TransientError(f"connection to {host}: {os.strerror(cause.errno)} ({name})")
    return TransientError(f"{host} closed or broke the connection")


def closed_early(received: str) -> TransientError:
    """Return the error for a body that ended before all announced bytes had come."""
    return TransientError(f"connection closed early: {received}".rstrip(": "))


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


def _untrusted(error: ssl.SSLCertVerificationError, url: str, timeout: float) -> SourceFailed:
    who = issuer_at(url, timeout)
    issued = f"; it was issued by {who}" if who else ""
    return SourceFailed(
        f"the certificate of {host_of(url)} is not trusted: {error.verify_message.rstrip('.')}"
        f"{issued}. If this is your company's CA, install it in the system, or name it in "
        "REQUESTS_CA_BUNDLE or SSL_CERT_FILE",
        tls_issuer=who,
    )


def _proxy(causes: list[BaseException], host: str) -> AttemptError:
    text = " ".join(str(cause) for cause in causes)
    if "407" in text:
        return SourceFailed(PROXY_PASSWORD, status=407)
    if "403" in text:
        return SourceFailed(f"the proxy forbids {host}", status=403)
    dropped = ConnectionResetError | http.client.RemoteDisconnected
    if "Tunnel" not in text and any(isinstance(cause, dropped) for cause in causes):
        # urllib3 blames the proxy also where the tunnel was open and the host hung up.
        return TransientError(f"{host} closed or broke the connection")
    return TransientError("the proxy cannot be reached, or does not reach the host")
