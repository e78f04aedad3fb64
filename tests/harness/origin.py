"""`Origin`: a local proxy that is also every host behind it.

Use::

    with Origin(Authority(tmp_path)) as origin:
        origin.serve("https://zenodo.org/record/1/files/a.onnx", b"bytes or a Path")
        origin.fail("https://zenodo.org/record/1/files/a.onnx", faults.Status(503), times=1)
        ...  # a client with origin.environment() in its environment
        assert origin.bytes_sent() == 12
        assert [r.status for r in origin.requests] == [503, 200]

A client reaches it by ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``REQUESTS_CA_BUNDLE``, which
`environment` gives: CONNECT is answered by ending TLS here, under a certificate for the
host that was asked. A request straight to the port works too (`url`), for a site mirror on
loopback. A URL, with its query, is the key; an unknown one is answered by 404 and logged.

One thread a connection; keep-alive; the log counts the body bytes that the kernel took, so
a client that dies has read a little less (its socket buffers).
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from tests.harness.authority import Authority, Flavour
from tests.harness.faults import Behaviour
from tests.harness.reply import Reply, Request, Resource, answer, page
from tests.harness.wire import Connection


@dataclass
class Record:
    """One request as it was answered; `sent` and `seconds` grow while it is being sent."""

    method: str
    url: str
    range: str | None
    headers: dict[str, str]
    connection: int
    started: float
    status: int | None = None
    sent: int = 0
    seconds: float = 0.0
    complete: bool = False


@dataclass
class _Rule:
    behaviours: tuple[Behaviour, ...]
    times: int | None
    skip: int
    when: Callable[[Request], bool] | None


@dataclass
class Connect:
    """One CONNECT as it was answered."""

    host: str
    status: int


@dataclass
class _State:
    resources: dict[str, Resource] = field(default_factory=dict)
    rules: dict[str, list[_Rule]] = field(default_factory=dict)
    flavours: dict[str, Flavour] = field(default_factory=dict)
    unreachable: dict[str, int] = field(default_factory=dict)
    credentials: str | None = None
    records: list[Record] = field(default_factory=list)
    connects: list[Connect] = field(default_factory=list)


class Origin:
    """The proxy and all hosts behind it. Listens from the start until `stop`."""

    def __init__(self, authority: Authority) -> None:
        self.authority = authority
        self._state = _State()
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._connections: set[Connection] = set()
        self._count = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Origin:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # What is there, and how it misbehaves.

    def serve(
        self,
        url: str,
        content: Path | bytes | Resource,
        *behaviours: Behaviour,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Answer `url` with a file or bytes, always under `behaviours` if any are given."""
        known = content if isinstance(content, Resource) else Resource.of(content, headers)
        with self._lock:
            self._state.resources[url] = known
            if behaviours:
                self._state.rules[url] = [_Rule(behaviours, None, 0, None)]

    def forget(self, url: str) -> None:
        """Answer `url` with 404 from now on."""
        with self._lock:
            self._state.resources.pop(url, None)

    def fail(
        self,
        url: str,
        *behaviours: Behaviour,
        times: int | None = None,
        skip: int = 0,
        when: Callable[[Request], bool] | None = None,
    ) -> None:
        """Answer the next `times` requests (None: all) to `url` under all of `behaviours`.

        Calls queue up: a rule that is used up makes way for the next. `skip` requests are
        answered well before; requests for which `when` is false pass the rule by.
        """
        with self._lock:
            self._state.rules.setdefault(url, []).append(_Rule(behaviours, times, skip, when))

    def heal(self, url: str | None = None) -> None:
        """Drop the rules of one URL, or of all."""
        with self._lock:
            if url is None:
                self._state.rules.clear()
            else:
                self._state.rules.pop(url, None)

    def certificate(self, host: str, flavour: Flavour) -> None:
        """Show `host` with a leaf that is good, expired, of another CA or for another name."""
        with self._lock:
            self._state.flavours[host] = flavour

    def unreachable(self, host: str, status: int = 502) -> None:
        """Refuse CONNECT to `host`, as a proxy does that cannot resolve or reach it."""
        with self._lock:
            self._state.unreachable[host] = status

    def require_password(self, user: str, password: str) -> None:
        """Answer 407 to all who do not bring this name and password (Basic)."""
        with self._lock:
            self._state.credentials = base64.b64encode(f"{user}:{password}".encode()).decode()

    def reset(self) -> None:
        """Forget everything: files, rules, certificates, the password and the log."""
        with self._lock:
            self._state = _State()

    # What was asked.

    @property
    def requests(self) -> list[Record]:
        """All requests so far but CONNECT, in the order in which they came."""
        with self._lock:
            return list(self._state.records)

    @property
    def connects(self) -> list[Connect]:
        """All CONNECT requests so far."""
        with self._lock:
            return list(self._state.connects)

    def asked(self, url: str) -> list[Record]:
        """Return all requests so far for one URL."""
        return [record for record in self.requests if record.url == url]

    def bytes_sent(self, url: str | None = None) -> int:
        """Body bytes sent so far, for one URL or for all."""
        return sum(r.sent for r in self.requests if url is None or r.url == url)

    def clear_log(self) -> None:
        """Forget what was asked, and nothing else."""
        with self._lock:
            self._state.records = []
            self._state.connects = []

    def wait(self, condition: Callable[[], bool], timeout: float = 20.0) -> None:
        """Wait until `condition` holds, say that so many bytes were sent.

        Raises
        ------
        TimeoutError
            If it does not within `timeout` seconds.
        """
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"not within {timeout} s; the log: {self.requests}")
            time.sleep(0.005)

    # How to get here.

    @property
    def proxy(self) -> str:
        """The proxy's URL, without a password."""
        return f"http://127.0.0.1:{self.port}"

    def url(self, path: str) -> str:
        """Return the URL of `path` at the server itself, to be asked without a proxy."""
        return f"{self.proxy}{path}"

    def environment(self, user: str = "", password: str = "") -> dict[str, str]:
        """Return what a user behind this proxy has set; requests to loopback go direct."""
        login = f"{user}:{password}@" if user else ""
        proxy = f"http://{login}127.0.0.1:{self.port}"
        names = ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy")
        bundle = str(self.authority.bundle)
        return {
            **dict.fromkeys(names, proxy),
            "NO_PROXY": "127.0.0.1,localhost",
            "REQUESTS_CA_BUNDLE": bundle,
            "CURL_CA_BUNDLE": bundle,
            "SSL_CERT_FILE": bundle,
        }

    def stop(self) -> None:
        """Close the port and all connections."""
        self._closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.break_off()

    # The server's own side.

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                peer, _ = self._listener.accept()
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
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                self._converse(connection, None)
        finally:
            connection.close()
            with self._lock:
                self._connections.discard(connection)

    def _converse(self, connection: Connection, host: str | None) -> None:
        while not self._closing.is_set():
            head = connection.read_head()
            if head is None:
                return
            method, target, headers = head
            proxied = method == "CONNECT" or "://" in target
            if host is None and proxied and not self._admitted(headers):
                self._log_connect(target, 407)
                refusal = page(407, proxy_authenticate='Basic realm="tests"')
                connection.send(method, refusal, lambda count: None)
                continue
            if method == "CONNECT":
                if not self._connect(connection, target):
                    return
                host = target.removesuffix(":443")
                continue
            url = target if "://" in target else self._url(host, target, headers)
            if not self._answer(connection, Request(method, url, headers)):
                return

    def _url(self, host: str | None, target: str, headers: dict[str, str]) -> str:
        if host is not None:
            return f"https://{host}{target}"
        return f"http://{headers.get('host', f'127.0.0.1:{self.port}')}{target}"

    def _admitted(self, headers: dict[str, str]) -> bool:
        wanted = self._state.credentials
        return wanted is None or headers.get("proxy-authorization") == f"Basic {wanted}"

    def _log_connect(self, target: str, status: int) -> None:
        with self._lock:
            self._state.connects.append(Connect(target, status))

    def _connect(self, connection: Connection, target: str) -> bool:
        host = target.rpartition(":")[0]
        status = self._state.unreachable.get(host, 200)
        self._log_connect(target, status)
        if status != 200:
            connection.send("GET", page(status), lambda count: None)
            return False
        flavour = self._state.flavours.get(host, "good")
        connection.start_tls(self.authority.context(host, flavour))
        return True

    def _answer(self, connection: Connection, request: Request) -> bool:
        record = Record(
            request.method,
            request.url,
            request.range,
            request.headers,
            connection.number,
            time.monotonic(),
        )
        with self._lock:
            self._state.records.append(record)
            resource = self._state.resources.get(request.url)
            behaviours = self._rule(request)
        reply = _reply(request, resource, behaviours)
        record.status = reply.status if reply.head else None

        def count(sent: int) -> None:
            record.sent += sent
            record.seconds = time.monotonic() - record.started

        keep = False
        try:
            keep = connection.send(request.method, reply, count)
            record.complete = reply.ending == "keep"
        finally:
            record.seconds = time.monotonic() - record.started
        return keep

    def _rule(self, request: Request) -> tuple[Behaviour, ...]:
        for rule in self._state.rules.get(request.url, []):
            if rule.times == 0 or (rule.when and not rule.when(request)):
                continue
            if rule.skip:
                rule.skip -= 1
                return ()
            if rule.times is not None:
                rule.times -= 1
            return rule.behaviours
        return ()


def _reply(request: Request, resource: Resource | None, behaviours: tuple[Behaviour, ...]) -> Reply:
    for behaviour in behaviours:
        request, resource = behaviour.prepare(request, resource)
    reply = page(404, "no such file here") if resource is None else answer(request, resource)
    for behaviour in behaviours:
        reply = behaviour.change(request, reply)
    return reply
