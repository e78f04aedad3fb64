"""`Server`: the HTTP server of all tests, and the proxy in front of every host.

Use::

    with Server(lambda request: plain(200, b"bytes"), authority) as server:
        ...  # a client asks server.at("/a"), or is behind server.proxy
        assert [r.status for r in server.requests] == [200]

A server is a function from `Request` to `Reply`. `Origin` has a file for each URL; `FileServer`
has one file and a plan of answers. If the function raises, the connection is closed and the error
is raised again at the end of the block.

One port on loopback accepts requests to the server itself and requests to a proxy, for any host.
The first byte of a connection selects the protocol: HTTP, TLS (where there is an authority) or
SOCKS 5. As a proxy, the server accepts absolute URLs, CONNECT and SOCKS; after the latter two it
continues as the host itself, with TLS on every port but 80. So the tests see what a user behind a
company's proxy sees, and the product needs no switch for tests.

There is one thread per connection, with keep-alive. The log counts the body bytes that the kernel
accepted; a client that dies has read a little less (its socket buffers).
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from tests.harness import socks
from tests.harness.authority import Authority, Flavour
from tests.harness.connection import Connection
from tests.harness.reply import Reply, Request, page
from tests.harness.waiting import until

Proxying = Literal["http", "https", "socks5", "socks5h"]

_TLS = b"\x16"
"""The first byte of a TLS connection: a handshake record (RFC 8446, 5.1)."""


@dataclass
class Connect:
    """One CONNECT, or one request to the SOCKS proxy, as it was answered."""

    host: str
    status: int


@dataclass
class _Hosts:
    """How hosts and the proxy are, until told otherwise."""

    flavours: dict[str, Flavour] = field(default_factory=dict)
    unreachable: dict[str, int] = field(default_factory=dict)
    login: tuple[str, str] | None = None


class Server:
    """A server on loopback. Listens from the start until `stop`."""

    def __init__(
        self, answer: Callable[[Request], Reply], authority: Authority | None = None
    ) -> None:
        self.active = self.most_active = 0
        """Requests being answered: now, and at the same time at most."""
        self._answer = answer
        self._authority = authority
        self._hosts = _Hosts()
        self._requests: list[Request] = []
        self._connects: list[Connect] = []
        self._errors: list[BaseException] = []
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._connections: set[Connection] = set()
        self._count = 0
        self._listeners: list[socket.socket] = []
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = listener.getsockname()[1]
        self.listen(listener)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.stop()
        if error is None and self._errors:
            raise self._errors[0]

    def listen(self, listener: socket.socket) -> None:
        """Accept connections on one more socket, such as one of another network namespace."""
        self._listeners.append(listener)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def stop(self) -> None:
        """Close the port and all connections."""
        self._closing.set()
        for listener in self._listeners:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.break_off()

    # How the hosts and the proxy misbehave.

    @property
    def authority(self) -> Authority:
        """Who certifies the hosts."""
        assert self._authority is not None, "a server without TLS"
        return self._authority

    def certificate(self, host: str, flavour: Flavour) -> None:
        """Show `host` with a leaf that is good, expired, of another CA or for another name."""
        self._hosts.flavours[host] = flavour

    def unreachable(self, host: str, status: int = 502) -> None:
        """Refuse to connect to `host`, as a proxy does that cannot resolve or reach it."""
        self._hosts.unreachable[host] = status

    def require_password(self, user: str, password: str) -> None:
        """Reject requests to the proxy without this name and password."""
        self._hosts.login = (user, password)

    # What was asked.

    @property
    def requests(self) -> list[Request]:
        """All requests so far but CONNECT, in the order in which they came."""
        with self._lock:
            return list(self._requests)

    @property
    def connects(self) -> list[Connect]:
        """All CONNECT requests so far, and those by SOCKS."""
        with self._lock:
            return list(self._connects)

    def asked(self, url: str) -> list[Request]:
        """Return all requests so far for one URL."""
        return [request for request in self.requests if request.url == url]

    def bytes_sent(self, url: str | None = None) -> int:
        """Body bytes sent so far, for one URL or for all."""
        return sum(r.sent for r in self.requests if url is None or r.url == url)

    def clear_log(self) -> None:
        """Forget what was asked, and nothing else."""
        with self._lock:
            self._requests, self._connects = [], []

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds, say that so many bytes were sent.

        Raises
        ------
        TimeoutError
            If it never does.
        """
        until(condition, lambda: f"the log: {self.requests}")

    # How to get here.

    def at(self, path: str, scheme: Literal["http", "https"] = "http") -> str:
        """Return the URL of `path` at the server itself, to be asked without a proxy."""
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    @property
    def proxy(self) -> str:
        """The proxy's URL, without a password."""
        return f"http://127.0.0.1:{self.port}"

    def environment(
        self, user: str = "", password: str = "", kind: Proxying = "http"
    ) -> dict[str, str]:
        """Return what a user behind this proxy has set; requests to loopback go direct."""
        login = f"{user}:{password}@" if user else ""
        proxy = f"{kind}://{login}127.0.0.1:{self.port}"
        names = ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy")
        bundle = str(self.authority.bundle)
        return {
            **dict.fromkeys(names, proxy),
            "NO_PROXY": "127.0.0.1,localhost",
            "REQUESTS_CA_BUNDLE": bundle,
            "CURL_CA_BUNDLE": bundle,
            "SSL_CERT_FILE": bundle,
        }

    # The server's own side.

    def _accept(self, listener: socket.socket) -> None:
        while not self._closing.is_set():
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self._count += 1
                connection = Connection(peer, self._count, self._closing)
                self._connections.add(connection)
            threading.Thread(target=self._attend, args=(connection,), daemon=True).start()

    def _attend(self, connection: Connection) -> None:
        try:
            # A client may go at any moment: that is what many tests are about.
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError, IndexError):
                self._greet(connection)
        finally:
            connection.close()
            with self._lock:
                self._connections.discard(connection)

    def _greet(self, connection: Connection) -> None:
        first = connection.first_byte()
        if first == socks.VERSION:
            target = socks.read_target(connection.reader, connection.write, self._hosts.login)
            if target is not None:
                status = self._admit(target)
                socks.answer(connection.write, reachable=status == 200)
                if status == 200:
                    self._become(connection, target)
        elif first == _TLS:
            connection.start_tls(self._any_host())
            self._converse(connection, "https")
        else:
            self._converse(connection, "http")

    def _become(self, connection: Connection, target: str) -> None:
        """Go on as the host behind the proxy."""
        host, _, port = target.rpartition(":")
        if port == "80":
            self._converse(connection, "http", host)
        else:
            connection.start_tls(self._leaf(host))
            self._converse(connection, "https", host if port == "443" else target)

    def _leaf(self, host: str) -> ssl.SSLContext:
        return self.authority.context(host, self._hosts.flavours.get(host, "good"))

    def _any_host(self) -> ssl.SSLContext:
        """Return a context that is the host which the client names, by default loopback."""

        def choose(
            peer: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext
        ) -> None:
            peer.context = self._leaf(name or "127.0.0.1")

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.sni_callback = choose
        return context

    def _converse(
        self, connection: Connection, scheme: Literal["http", "https"], host: str | None = None
    ) -> None:
        """Answer one request after the other, as `host`, or as proxy and server both."""
        while not self._closing.is_set():
            head = connection.read_request()
            if head is None:
                return
            method, target, headers, body = head
            if host is None and (method == "CONNECT" or "://" in target):
                status = self._admit(target if method == "CONNECT" else None, headers)
                if status == 407:
                    refusal = page(407, proxy_authenticate='Basic realm="tests"')
                    connection.send(method, refusal, lambda count: None)
                    continue
                if method == "CONNECT":
                    if status != 200:
                        connection.send("GET", page(status), lambda count: None)
                        return
                    connection.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    self._become(connection, target)
                    return
            if "://" not in target:
                target = f"{scheme}://{host or headers['host']}{target}"
            request = Request(method, target, headers, body, connection.number)
            if not self._reply(connection, request):
                return

    def _admit(self, target: str | None, headers: dict[str, str] | None = None) -> int:
        """Return the status of a request to the proxy; SOCKS has no headers to check."""
        wanted = self._hosts.login
        status = 200
        if headers is not None and wanted is not None:
            basic = base64.b64encode(":".join(wanted).encode()).decode()
            status = 200 if headers.get("proxy-authorization") == f"Basic {basic}" else 407
        if target is not None:
            if status == 200:
                status = self._hosts.unreachable.get(target.rpartition(":")[0], 200)
            with self._lock:
                self._connects.append(Connect(target, status))
        return status

    def _reply(self, connection: Connection, request: Request) -> bool:
        with self._lock:
            self._requests.append(request)
            self.active += 1
            self.most_active = max(self.most_active, self.active)
        try:
            try:
                reply = self._answer(request)
            except BaseException as error:
                self._errors.append(error)
                raise ConnectionAbortedError from error
            request.status = reply.status if reply.head else None

            def count(sent: int) -> None:
                request.sent += sent

            keep = connection.send(request.method, reply, count)
            request.complete = reply.ending == "keep"
            return keep
        finally:
            with self._lock:
                self.active -= 1
