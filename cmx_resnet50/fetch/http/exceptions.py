"""Turns what requests and the system raise into a verdict in plain words.

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

from cmx_resnet50.fetch.errors import Final, Passing, Verdict
from cmx_resnet50.fetch.http.response import PROXY_PASSWORD
from cmx_resnet50.fetch.http.session import MAX_REDIRECTS, issuer_at
from cmx_resnet50.redaction import host_of


def verdict(error: Exception, url: str, timeout: float) -> Verdict:
    """Say what `error` means for the request to `url`.

    Parameters
    ----------
    error : Exception
        What was raised by requests, urllib3 or the system.
    url : str
        The URL that was asked.
    timeout : float
        Seconds for a second look at the certificate that was refused.
    """
    request = getattr(error, "request", None)
    url = getattr(request, "url", None) or url
    host = host_of(url)
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, Verdict):
            return cause
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _untrusted(cause, url, timeout)
    for cause in causes:
        if isinstance(cause, requests.exceptions.ProxyError | wire.ProxyError):
            return _proxy(causes, host)
        if isinstance(cause, requests.exceptions.TooManyRedirects):
            return Final(f"more than {MAX_REDIRECTS} redirects")
        if isinstance(cause, requests.exceptions.InvalidURL | wire.LocationParseError):
            return Final("the URL cannot be used")
    for cause in causes:
        if isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return Passing(f"{host} closed the TLS connection")
        if isinstance(cause, ssl.SSLError):
            return Final(f"TLS with {host} failed: {cause.reason or 'no reason given'}")
        if isinstance(cause, socket.gaierror | wire.NameResolutionError):
            return Passing(f"the name of {host} cannot be resolved")
        if isinstance(cause, wire.ConnectTimeoutError) and not isinstance(
            cause, wire.NewConnectionError
        ):
            return Passing(f"{host} did not accept a connection in time")
        if isinstance(cause, wire.ReadTimeoutError | TimeoutError):
            return Passing(f"{host} said nothing until the time-out")
        if isinstance(cause, wire.IncompleteRead):
            return Passing("the connection ended before the body did")
        if isinstance(cause, OSError) and cause.errno:
            name = errno.errorcode.get(cause.errno, str(cause.errno))
            return Passing(f"connection to {host}: {os.strerror(cause.errno)} ({name})")
    return Passing(f"{host} closed or broke the connection")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield `error` and what is behind it, however it is attached, from the outside in."""
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


def _untrusted(error: ssl.SSLCertVerificationError, url: str, timeout: float) -> Final:
    who = issuer_at(url, timeout)
    told = f"; it was issued by {who}" if who else ""
    return Final(
        f"the certificate of {host_of(url)} is not trusted: {error.verify_message.rstrip('.')}"
        f"{told}. If this is your company's CA, install it in the system, or name it in "
        "REQUESTS_CA_BUNDLE or SSL_CERT_FILE",
        tls_issuer=who,
    )


def _proxy(causes: list[BaseException], host: str) -> Verdict:
    text = " ".join(str(cause) for cause in causes)
    if "407" in text:
        return Final(PROXY_PASSWORD, status=407)
    if "403" in text:
        return Final(f"the proxy forbids {host}", status=403)
    dropped = ConnectionResetError | http.client.RemoteDisconnected
    if "Tunnel" not in text and any(isinstance(cause, dropped) for cause in causes):
        # urllib3 blames the proxy also where the tunnel stood and the host hung up.
        return Passing(f"{host} closed or broke the connection")
    return Passing("the proxy cannot be reached, or does not reach the host")
