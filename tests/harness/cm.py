"""`CM`: the real ``cm`` as one user runs it, with a home, a CM_REPOS and an environment of its own.

Use::

    cm = CM(ours, home=tmp_path / "home", repos=tmp_path / "CM", origin=origin)
    result = cm.get("onnx", "opset-8")             # cm run script --tags=get,ml-model,resnet50,…
    assert result.ok, result.text
    result.env["CM_ML_MODEL_FILE_WITH_PATH"]       # what the run exported
    cm.run("run", "script", "--tags=get,ml-model,resnet50", "-j")
    cm.cmr("get ml-model resnet50 _onnx", "--quiet")
    cm.access({"action": "run", "automation": "script", "tags": "get,ml-model,resnet50"})
    with cm.start(*cm.request("onnx")) as running: # for signals and runs side by side
        running.kill()

Nothing of the outer environment but PATH gets through. Without an origin every proxy is a
closed port, so that no test ever reaches the network.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import pty
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from tests.harness.build import MEASURED, Installation
from tests.harness.origin import Origin
from tests.harness.waiting import HANGS

_OUTER = Path(sys.prefix) / "bin"
TAGS = "get,ml-model,resnet50"
CLOSED = "http://127.0.0.1:9"
"""A proxy that nobody listens at (the discard port)."""

_DRIVER = """
import json, sys
import cmind
with open(sys.argv[1], encoding="utf-8") as file:
    request = json.load(file)
answer = cmind.access(request)
with open(sys.argv[2], "w", encoding="utf-8") as file:
    json.dump(answer, file, default=lambda thing: getattr(thing, "path", repr(thing)))
"""


@dataclass(frozen=True)
class Result:
    """One finished process.

    `saved` is the answer of CM as ``--save_to_json`` wrote it; empty where the process died
    before, or the action was none of CM's.
    """

    args: tuple[str, ...]
    code: int
    out: str
    err: str
    seconds: float
    saved: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether it ended with 0."""
        return self.code == 0

    @property
    def env(self) -> dict[str, str]:
        """What the script exported (new_env); empty after a failure."""
        exported: dict[str, str] = self.saved.get("new_env", {})
        return exported

    @property
    def error(self) -> str:
        """The error text that CM returned, or nothing."""
        return str(self.saved.get("error", ""))

    @property
    def path(self) -> Path:
        """The exported CM_ML_MODEL_FILE_WITH_PATH."""
        return Path(self.env["CM_ML_MODEL_FILE_WITH_PATH"])

    @property
    def text(self) -> str:
        """All of it, for the message of an assertion."""
        return f"{' '.join(self.args)}\nexit {self.code}\n--- out\n{self.out}\n--- err\n{self.err}"


class Running:
    """A process that was started and is not waited for; leads a process group of its own.

    As a context manager it leaves nothing of the group alive.
    """

    def __init__(
        self, args: tuple[str, ...], process: subprocess.Popen[bytes], folder: Path, terminal: int
    ) -> None:
        self.args = args
        self.process = process
        self._folder = folder
        self._started = time.monotonic()
        self._shown = bytearray()
        self._reader: threading.Thread | None = None
        if terminal >= 0:
            self._reader = threading.Thread(target=self._watch, args=(terminal,), daemon=True)
            self._reader.start()

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
        self.process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def out(self) -> str:
        """What it wrote to stdout so far (with a terminal: all that the terminal shows)."""
        if self._reader is not None:
            return self._shown.decode(errors="replace").replace("\r\n", "\n")
        return (self._folder / "out").read_text(errors="replace")

    @property
    def err(self) -> str:
        """What it wrote to stderr so far."""
        return (self._folder / "err").read_text(errors="replace")

    def send(self, number: int) -> None:
        """Send a signal to the whole group, as a terminal does with ctrl-C."""
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            return

    def kill(self) -> None:
        """Kill -9 the whole group."""
        self.send(signal.SIGKILL)

    def interrupt(self) -> None:
        """Press ctrl-C."""
        self.send(signal.SIGINT)

    def wait(self, timeout: float = HANGS) -> Result:
        """Wait for the end; the code of a killed process is minus its signal.

        Raises
        ------
        TimeoutError
            If it takes longer than `timeout` seconds; the group is killed then.
        """
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            self.process.wait()
            message = f"{self.args} took over {timeout} s\n--- out\n{self.out}\n--- err\n{self.err}"
            raise TimeoutError(message) from None
        seconds = time.monotonic() - self._started
        if self._reader is not None:
            self._reader.join(HANGS)
        saved: dict[str, Any] = {}
        report = self._folder / "saved.json"
        if report.exists() and report.stat().st_size:
            saved = json.loads(report.read_text(encoding="utf-8"))
        return Result(self.args, code, self.out, self.err, seconds, saved)

    def _watch(self, terminal: int) -> None:
        while True:
            try:
                data = os.read(terminal, 1 << 16)
            except OSError:  # Linux says EIO when the last process has closed the other side.
                data = b""
            if not data:
                os.close(terminal)
                return
            self._shown += data


@dataclass(frozen=True)
class CM:
    """One user's CM. `repos` is copied from `template` when it does not exist yet.

    Parameters
    ----------
    template
        A CM_REPOS in which the index of `installation` was made already, which saves a
        second; None stands for a CM that was never started.
    variables
        Set for each run, after everything else.
    """

    installation: Installation
    home: Path
    repos: Path
    origin: Origin | None = None
    template: Path | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    program: ClassVar[str] = "cm"
    """The engine's own command."""
    interrupted: ClassVar[int] = 130
    """With what a run ends that ctrl-C interrupts."""

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "tmp").mkdir(exist_ok=True)
        self.cwd.mkdir(exist_ok=True)
        if self.template is not None and not self.repos.exists():
            shutil.copytree(self.template, self.repos)

    @property
    def cwd(self) -> Path:
        """The folder in which commands run unless told otherwise."""
        return self.home / "cwd"

    @property
    def cache(self) -> Path:
        """The folder of the cache entries."""
        return self.repos / "repos" / "local" / "cache"

    def key(self, name: str) -> str:
        """Return how this engine names the key that CM calls `name`."""
        return name

    def also(self, **changes: Any) -> CM:
        """Return this user's CM with other fields, say another installation on the same cache.

        Another installation finds the index of the first: run ``reindex repo`` after it.
        """
        return dataclasses.replace(self, **changes)

    def environment(self, env: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the whole environment of a run."""
        if self.origin is not None:
            network = self.origin.environment()
        else:
            names = ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy")
            network = {**dict.fromkeys(names, CLOSED), "NO_PROXY": "127.0.0.1,localhost"}
        # Without the environment that runs the tests, whose ``cm`` is another one.
        places = [p for p in os.environ["PATH"].split(os.pathsep) if Path(p) != _OUTER]
        return {
            "PATH": os.pathsep.join([str(self.installation.bin), *places]),
            "VIRTUAL_ENV": str(self.installation.prefix),
            "HOME": str(self.home),
            "TMPDIR": str(self.home / "tmp"),
            "CM_REPOS": str(self.repos),
            "LANG": "C.UTF-8",
            "TERM": "xterm",
            "USER": os.environ.get("USER", "tester"),
            **{name: os.environ[name] for name in (MEASURED,) if name in os.environ},
            **network,
            **self.variables,
            **(env or {}),
        }

    def request(self, *variations: str, **options: str | bool) -> tuple[str, ...]:
        """Return the arguments of ``cm`` for a request: ``request("onnx", quiet=True)``.

        An option becomes ``--key=value``, with True ``--key``, with False nothing; keys that
        are no identifiers are given as ``**{"const.CM_PACKAGE_URL": url}``.
        """
        tags = ",".join([TAGS, *(f"_{name.removeprefix('_')}" for name in variations)])
        extra = [
            f"--{key}" if value is True else f"--{key}={value}"
            for key, value in options.items()
            if value is not False
        ]
        return ("run", "script", f"--tags={tags}", *extra)

    def get(
        self,
        *variations: str,
        env: Mapping[str, str] | None = None,
        timeout: float = HANGS,
        tty: bool = False,
        **options: str | bool,
    ) -> Result:
        """Run a request with ``--quiet`` (unless ``quiet=False``) and wait; see `request`."""
        arguments = self.request(*variations, **{"quiet": True, **options})
        return self.run(*arguments, env=env, timeout=timeout, tty=tty)

    def run(
        self,
        *args: str,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = HANGS,
        tty: bool = False,
    ) -> Result:
        """Run ``cm`` with exactly `args`, and ``--save_to_json`` on ``run script``, and wait."""
        with self.start(*args, env=env, cwd=cwd, tty=tty) as running:
            return running.wait(timeout)

    def cmr(self, *args: str, env: Mapping[str, str] | None = None, **more: Any) -> Result:
        """Run ``cmr`` and wait; as `run`."""
        return self.command("cmr", *args, env=env, **more)

    def command(
        self,
        program: str,
        *args: str,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = HANGS,
        tty: bool = False,
    ) -> Result:
        """Run any program of the installation, say ``cmx-resnet50``, and wait."""
        with self.start(*args, program=program, env=env, cwd=cwd, tty=tty) as running:
            return running.wait(timeout)

    def start(
        self,
        *args: str,
        program: str = "cm",
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        tty: bool = False,
    ) -> Running:
        """Start a program of the installation and return at once.

        stdin is empty; with `tty`, all three streams are one pseudo terminal.
        """
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=self.home))
        line = (program, *args)
        if program == "cmr" or (program == "cm" and args[:2] == ("run", "script")):
            line = (*line, f"--save_to_json={folder / 'saved.json'}")
        return self._start(line, folder, env, cwd, tty)

    def access(
        self,
        request: Mapping[str, Any],
        env: Mapping[str, str] | None = None,
        timeout: float = HANGS,
    ) -> dict[str, Any]:
        """Call ``cmind.access`` in a Python process of the installation; return its answer.

        Raises
        ------
        AssertionError
            If the process dies before it can answer.
        """
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=self.home))
        asked, saved = folder / "request.json", folder / "saved.json"
        asked.write_text(json.dumps(dict(request)), encoding="utf-8")
        line = ("python", "-c", _DRIVER, str(asked), str(saved))
        with self._start(line, folder, env, None, tty=False) as running:
            result = running.wait(timeout)
        assert result.saved, result.text
        return result.saved

    def cache_entries(self, tags: str) -> list[Path]:
        """Return the folders of the cache entries that ``cm find cache --tags=…`` names."""
        answer = self.access({"action": "find", "automation": "cache", "tags": tags})
        assert answer["return"] == 0, answer
        return [Path(entry) for entry in answer["list"]]

    def remove_entries(self) -> Result:
        """Remove the cache entries of our script, with the engine's own command."""
        return self.command("cm", "rm", "cache", "--tags=ml-model,resnet50", "-f")

    def reindex(self) -> Result:
        """Have the engine make its index anew."""
        return self.command("cm", "reindex", "repo")

    def add_script(self, alias: str, uid: str, **meta: Any) -> None:
        """Add a script to the user's local repository."""
        request = {
            "action": "add",
            "automation": "script,5b4e0237da074764",
            "artifact": f"{alias},{uid}",
            "common": True,
            "meta": meta,
        }
        answer = self.access(request)
        assert answer["return"] == 0, answer

    def calling(self, tags: str) -> str:
        """Return Python code that runs a request, and fails where that does."""
        request = {"action": "run", "automation": "script", "tags": tags, "quiet": True}
        return f"import cmind; assert cmind.access({request})['return'] == 0"

    def _start(
        self,
        line: tuple[str, ...],
        folder: Path,
        env: Mapping[str, str] | None,
        cwd: Path | None,
        tty: bool,
    ) -> Running:
        executable = self.installation.bin / line[0]
        terminal = -1
        with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
            streams: tuple[Any, Any, Any] = (subprocess.DEVNULL, out, err)
            if tty:
                terminal, other = pty.openpty()
                fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
                streams = (other, other, other)
            process = subprocess.Popen(
                [executable, *line[1:]],
                stdin=streams[0],
                stdout=streams[1],
                stderr=streams[2],
                env=self.environment(env),
                cwd=cwd or self.cwd,
                start_new_session=True,
            )
            if tty:
                os.close(other)
        return Running(line, process, folder, terminal)
