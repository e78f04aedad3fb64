"""`Network`: a network namespace whose internet is an `Origin`, and `Host`, a machine in it.

Use::

    with Network(tmp_path, origin) as network:
        north = network.host("north")
        done = north.run("cmx-resnet50 get _onnx", env=environment(cm), cwd=cm.cwd)
        with north.start("nginx -p …", env=…, cwd=…):
            ...

In a network every name leads to 127.0.0.1, where the origin listens at port 443, too, under the
tests' CA, which the machines trust as their system's. So programs and configurations run with
the real names in them, unaltered.

A machine has processes, mounts and a host name of its own; what runs on it dies with the
command that was started. Needs root, as making namespaces does.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness.cm import CM
from tests.harness.origin import Origin

MOUNTED = "/mnt/models"
"""Where a machine has a shared folder, if it has one."""

_CLONE_NEWNET = 0x40000000
_TRUSTED = Path("/etc/ssl/certs/ca-certificates.crt")
_NAME_SERVER = "127.0.0.53"

_SETTING_UP = """
hostname "$1" && mount --bind "$2" /etc/resolv.conf && mount --bind "$3" "$4" || exit 97
if [ -n "$5" ]; then
  mount -t tmpfs none /mnt && mkdir /mnt/models && mount --bind "$5" /mnt/models || exit 97
  [ "$6" = rw ] || mount -o remount,bind,ro /mnt/models || exit 97
fi
shift 6
exec "$@"
"""


def environment(cm: CM, **more: str) -> dict[str, str]:
    """Return what a user of a network has set: no proxy, no certificates of his own."""
    outer = {"HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy", "NO_PROXY"}
    outer |= {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"}
    return {key: value for key, value in cm.environment(more).items() if key not in outer}


@dataclass(frozen=True)
class Host:
    """A machine; see the module."""

    prefix: tuple[str, ...]

    def run(
        self,
        script: str,
        *,
        env: Mapping[str, str],
        cwd: Path,
        timeout: float = 120.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell script to its end."""
        with self.start(script, env=env, cwd=cwd) as process:
            out, err = process.communicate(timeout=timeout)
            return subprocess.CompletedProcess(script, process.returncode, out, err)

    @contextlib.contextmanager
    def start(
        self, script: str, *, env: Mapping[str, str], cwd: Path
    ) -> Iterator[subprocess.Popen[str]]:
        """Start a shell script; nothing of it is alive afterwards."""
        process = subprocess.Popen(
            [*self.prefix, "bash", "-e", "-c", script],
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            # The first process of the namespace gets this too, and all others end with it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


class Network:
    """A namespace with the internet in it. Ends with its context."""

    def __init__(self, folder: Path, origin: Origin) -> None:
        if os.geteuid() != 0:
            pytest.skip("only root makes network namespaces")
        if not _TRUSTED.exists():
            pytest.skip(f"no {_TRUSTED}: not Debian or one of its kin")
        self._origin = origin
        self._folder = folder
        self._listeners: list[socket.socket] = []
        self.name = f"cmxsite{os.getpid()}{os.urandom(3).hex()}"
        _ip("netns", "add", self.name)
        _ip("-n", self.name, "link", "set", "lo", "up")

    def __enter__(self) -> Network:
        resolver = self._folder / f"{self.name}.resolv"
        resolver.write_text(f"nameserver {_NAME_SERVER}\n")
        self._within(self._listen)
        names, tls = self._listeners
        threading.Thread(target=_answer_names, args=(names,), daemon=True).start()
        self._origin.listen(tls)
        return self

    def __exit__(self, *error: object) -> None:
        for listener in self._listeners:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        _ip("netns", "del", self.name)

    def host(self, name: str, shared: Path | None = None, *, read_only: bool = False) -> Host:
        """Return a machine of this network; it has the folder `shared` at `MOUNTED`."""
        resolver = self._folder / f"{self.name}.resolv"
        authority = self._origin.authority.bundle
        return Host(
            (
                *("nsenter", f"--net=/run/netns/{self.name}"),
                *("unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child"),
                *("--mount-proc", "sh", "-c", _SETTING_UP, "sh"),
                *(name, str(resolver), str(authority), str(_TRUSTED)),
                *(str(shared or ""), "ro" if read_only else "rw"),
            )
        )

    def connect(self, port: int) -> socket.socket:
        """Return a connection from inside to a server on loopback there."""
        made: list[socket.socket] = []
        self._within(lambda: made.append(socket.create_connection(("127.0.0.1", port), 10)))
        return made[0]

    def _within(self, action: Callable[[], object]) -> None:
        """Call `action` in a thread that is in the namespace: its sockets stay there."""
        failed: list[BaseException] = []

        def enter() -> None:
            try:
                libc = ctypes.CDLL(None, use_errno=True)
                with open(f"/run/netns/{self.name}", "rb") as place:
                    if libc.setns(place.fileno(), _CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), "setns")
                action()
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if failed:
            raise failed[0]

    def _listen(self) -> None:
        names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        names.bind((_NAME_SERVER, 53))
        self._listeners = [names, socket.create_server(("127.0.0.1", 443), backlog=128)]


def _answer_names(server: socket.socket) -> None:
    """Answer every question for an address of IP version 4 with 127.0.0.1 (RFC 1035, 4.1)."""
    while True:
        try:
            asked, client = server.recvfrom(512)
        except OSError:
            return
        if not asked:
            return
        end = asked.index(b"\0", 12) + 5
        known = asked[end - 4 : end - 2] == b"\0\1"
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1" if known else b""
        head = asked[:2] + b"\x81\x80\0\1" + bytes([0, known]) + b"\0\0\0\0"
        with contextlib.suppress(OSError):
            server.sendto(head + asked[12:end] + answer, client)


def _ip(*arguments: str) -> None:
    program = shutil.which("ip")
    if program is None:
        pytest.skip("no ip (iproute2)")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no network namespaces here: {done.stderr.strip()}")
