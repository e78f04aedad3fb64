"""Situations in which something goes wrong, and what a way to the file does in each.

A situation takes a `Bench` and a `Tool`, and returns the text of a cell of the table.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import BenchmarkError
from benchmarks.tools import MB
from cmx_resnet50.digests import digest_file
from tests.harness import build, faults
from tests.harness.cm import CM
from tests.harness.origin import Origin

BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_BROKEN = 2 * MB
_PACE = 20 * MB
"""Bytes a second of each connection, where a tool is killed."""
_AT_ONCE = 4
_PATIENCE = 180
_CLOSED = "http://127.0.0.1:9"


@dataclass(frozen=True)
class User:
    """A user with a home of one's own: `folder` has all that the tool reads and writes."""

    folder: Path
    cm: CM

    @property
    def models(self) -> Path:
        """The folder that the user names for the file."""
        return self.folder / "models"


@dataclass(frozen=True)
class Tool:
    """One way to the file: its command, and where the file is afterwards."""

    name: str
    url: str
    """The first address that it uses."""
    command: Callable[[User], Sequence[str | Path]]
    where: str
    """Pattern of the delivered file below the user's folder."""
    cached: str
    """Pattern of the file that later runs use."""
    installation: build.Installation
    trust: str = ""
    """The option that names the certificate authority, if the environment cannot."""


@dataclass
class Bench:
    """All that the situations share."""

    folder: Path
    origin: Origin
    file: Path
    md5: str

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.file.stat().st_size

    def user(self, tool: Tool, folder: Path | None = None) -> User:
        """Return a new user, and forget what happened before."""
        home = folder or self.folder / "user"
        if folder is None:
            shutil.rmtree(home, ignore_errors=True)
        index = self.folder / f"index-{tool.installation.prefix.name}"
        self.origin.heal()
        self.origin.clear_log()
        return User(home, CM(tool.installation, home, home / "CM", self.origin, index))

    def start(
        self,
        tool: Tool,
        user: User,
        env: Mapping[str, str | None] | None = None,
        *,
        trust: bool = True,
    ) -> subprocess.Popen[str]:
        """Start the tool's command; a variable that is None is not set.

        With `trust` an option names the authority, where the tool has one for that.
        """
        environment: dict[str, str | None] = {**user.cm.environment(), **(env or {})}
        return subprocess.Popen(
            [*map(str, tool.command(user)), *([tool.trust] if trust and tool.trust else [])],
            cwd=user.folder,
            env={key: value for key, value in environment.items() if value is not None},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(
        self,
        tool: Tool,
        user: User,
        env: Mapping[str, str | None] | None = None,
        *,
        trust: bool = True,
    ) -> tuple[int, str]:
        """Run the tool's command as `start` does; return its exit code and what it printed."""
        process = self.start(tool, user, env, trust=trust)
        try:
            printed, _ = process.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return -1, f"still running after {_PATIENCE} s"
        return process.returncode, printed

    def state(self, tool: Tool, user: User) -> str:
        """Return whether the right file, another one, or none was delivered."""
        found = [path for path in user.folder.glob(tool.where) if path.is_file()]
        if not found:
            return "no file"
        return "right" if all(digest_file(path).md5 == self.md5 for path in found) else "wrong"

    def ready(self, tool: Tool) -> User:
        """Return a user who has fetched the file.

        Raises
        ------
        BenchmarkError
            If that fails: then the tool is not set up, and no cell of it would be worth anything.
        """
        user = self.user(tool)
        code, printed = self.run(tool, user)
        if code or self.state(tool, user) != "right":
            raise BenchmarkError(f"{tool.name} fetches nothing: {printed[-800:]}")
        self.origin.clear_log()
        return user

    def sent(self) -> str:
        """Return how much was sent, in sizes of the file."""
        return f"{self.origin.bytes_sent() / self.size:.2f} x the file sent"


def breaks(bench: Bench, tool: Tool) -> str:
    """The first answer breaks off."""
    user = bench.user(tool)
    bench.origin.fail(
        tool.url, faults.Reset(_BROKEN), times=1, when=lambda request: request.method == "GET"
    )
    for runs in (1, 2, 3):
        code, _ = bench.run(tool, user)
        if code == 0:
            how = "in one run" if runs == 1 else f"after an error, in run {runs}"
            return f"{_delivered(bench, tool, user)}, {how}"
    return "three errors"


def resume(bench: Bench, tool: Tool) -> str:
    """Killed when half of the file was sent, and run again."""
    user = bench.user(tool)
    bench.origin.fail(tool.url, faults.Trickle(_PACE))
    process = bench.start(tool, user)
    bench.origin.wait(lambda: bench.origin.bytes_sent() > bench.size // 2)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    bench.origin.heal()
    code, _ = bench.run(tool, user)
    return "error" if code else f"{_delivered(bench, tool, user)}, {bench.sent()}"


def wrong_bytes(bench: Bench, tool: Tool) -> str:
    """The first host sends one wrong bit."""
    user = bench.user(tool)
    bench.origin.fail(tool.url, faults.Flip(bench.size // 2))
    code, _ = bench.run(tool, user)
    if code:
        left = bench.state(tool, user)
        return "error" if left == "no file" else f"error, but the {left} file is there"
    return _delivered(bench, tool, user)


def host_down(bench: Bench, tool: Tool) -> str:
    """The first host answers nothing but 503."""
    user = bench.user(tool)
    bench.origin.fail(tool.url, faults.Status(503))
    code, _ = bench.run(tool, user)
    return "error" if code else f"{_delivered(bench, tool, user)}, from another host"


def offline(bench: Bench, tool: Tool) -> str:
    """Fetched once; then there is no network."""
    user = bench.ready(tool)
    closed = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"), _CLOSED)
    code, _ = bench.run(tool, user, closed)
    return "error" if code else _delivered(bench, tool, user)


def parallel(bench: Bench, tool: Tool) -> str:
    """Several runs at one instant, of a user who has nothing yet."""
    user = bench.user(tool)
    started = [bench.start(tool, user) for _ in range(_AT_ONCE)]
    codes = []
    for process in started:
        process.communicate()
        codes.append(process.returncode)
    good = codes.count(0)
    return f"{good} of {_AT_ONCE} succeed, {bench.state(tool, user)} file, {bench.sent()}"


def damaged(bench: Bench, tool: Tool) -> str:
    """One bit of the file that a later run uses is wrong."""
    user = bench.ready(tool)
    for path in {found.resolve() for found in user.folder.glob(tool.cached)}:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.chmod(0o644)
        path.write_bytes(content)
    code, _ = bench.run(tool, user)
    return "error" if code else f"{_delivered(bench, tool, user)}, {bench.sent()}"


def company_ca(bench: Bench, tool: Tool) -> str:
    """The proxy opens TLS, with an authority that the system does not know."""
    trusted = []
    for name in BUNDLES:
        user = bench.user(tool)
        others: dict[str, str | None] = {other: None for other in BUNDLES if other != name}
        code, _ = bench.run(tool, user, others, trust=False)
        if code == 0 and bench.state(tool, user) == "right":
            trusted.append(name)
    user = bench.user(tool)
    code, _ = bench.run(tool, user, dict.fromkeys(BUNDLES), trust=False)
    if code == 0:
        return "**not verified**: fetched without the authority"
    if trusted:
        return f"verified with {' or '.join(trusted)}"
    if not tool.trust:
        return "error, whatever is set"
    user = bench.user(tool)
    code, _ = bench.run(tool, user, dict.fromkeys(BUNDLES))
    return "error" if code else f"verified with {tool.trust.partition('=')[0]}"


def full_disk(bench: Bench, tool: Tool) -> str:
    """Room for half of the file; then room is made."""
    with _disk(bench.folder / "disk") as (place, resize):
        user = bench.user(tool, place)
        room = bench.size // 2
        resize(_used(place) + room)
        code, printed = bench.run(tool, user)
        if code == 0:
            return f"no error, {bench.state(tool, user)} file"
        named = "names it" if re.search("space left|are free", printed) else "does not name it"
        left = "nothing" if bench.state(tool, user) == "no file" else "a partial file"
        resize(_used(place) + 4 * bench.size)
        again, _ = bench.run(tool, user)
        then = "error" if again else _delivered(bench, tool, user)
        return f"error that {named}, {left} under its name; with room: {then}, {bench.sent()}"


SITUATIONS: dict[str, Callable[[Bench, Tool], str]] = {
    "the connection breaks": breaks,
    "killed in the middle, run again": resume,
    "the first host sends wrong bytes": wrong_bytes,
    "the first host is down": host_down,
    "fetched once, now offline": offline,
    f"{_AT_ONCE} runs at one instant": parallel,
    "the cached file is damaged": damaged,
    "a company's certificate authority": company_ca,
    "the disk is full": full_disk,
}


def _delivered(bench: Bench, tool: Tool, user: User) -> str:
    state = bench.state(tool, user)
    return {"right": "the right file", "wrong": "**a wrong file**"}.get(state, "**no file**")


@contextmanager
def _disk(folder: Path) -> Iterator[tuple[Path, Callable[[int], None]]]:
    """Yield a folder that is a disk of its own, and what sets its size in bytes."""
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=2g", "tmpfs", folder]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"a disk of a given size takes root: {done.stderr.strip()}")

    def resize(size: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", folder], check=True)

    try:
        yield folder, resize
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def _used(folder: Path) -> int:
    place = os.statvfs(folder)
    return (place.f_blocks - place.f_bfree) * place.f_frsize
