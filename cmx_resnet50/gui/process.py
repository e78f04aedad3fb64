"""One run of CM as a child process without a shell: its log while it runs, its result after."""

from __future__ import annotations

import atexit
import codecs
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cmx_resnet50.errors import Resnet50Error

LOG_CHARACTERS = 200_000
"""How much of the end of a log is kept."""
STOP_SECONDS = 3.0
"""How long a run may take to end by itself when it is stopped."""

_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_PERCENT = re.compile(r"\b(100|[0-9]{1,2})(?:\.[0-9]+)? ?%")


class NotStarted(Resnet50Error):
    """A run that could not be started."""


class Run:
    """A run that was started.

    Parameters
    ----------
    arguments : sequence of str
        The arguments of ``cm``.
    prefix : sequence of str
        A program, with its arguments, that runs the command: ``nice``, ``-n``, ``10``.

    Raises
    ------
    NotStarted
        If the program does not exist.
    """

    def __init__(self, arguments: Sequence[str], prefix: Sequence[str] = ()) -> None:
        self.started = time.monotonic()
        self.seconds: float | None = None
        self.stopped = False
        self._folder = Path(tempfile.mkdtemp(prefix="cm-gui-"))
        self._answer = self._folder / "answer.json"
        command = [sys.executable, "-m", "cmind", *arguments, f"--save_to_json={self._answer}"]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - a list, and no shell reads it
                [*prefix, *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        except OSError as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            name = [*prefix, sys.executable][0]
            raise NotStarted(f"{name} cannot be started: {error.strerror}.") from error
        self._lock = threading.Lock()
        self._text = ""
        self._new_env: dict[str, str] = {}
        self._error = ""
        atexit.register(self.stop)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def running(self) -> bool:
        """Whether it is still running."""
        return self.seconds is None

    @property
    def code(self) -> int | None:
        """The exit code; None while it is running."""
        return None if self.running else self._process.returncode

    @property
    def log(self) -> str:
        """The end of its output, as a terminal would show it."""
        with self._lock:
            return as_on_terminal(self._text)

    @property
    def progress(self) -> float | None:
        """The progress from 0 to 1, read from the last percentage in the log."""
        found = _PERCENT.findall(self.log)
        return int(found[-1]) / 100 if found else None

    @property
    def new_env(self) -> dict[str, str]:
        """What the script exported; empty while it is running and after a failure."""
        return dict(self._new_env)

    @property
    def error(self) -> str:
        """The error that CM returned, or nothing."""
        return self._error

    def wait(self, seconds: float) -> None:
        """Wait until it ends, for at most `seconds`."""
        self._reader.join(seconds)

    def stop(self) -> None:
        """End it and all that it started: first by SIGTERM, then by SIGKILL."""
        if not self.running:
            return
        self.stopped = True
        self._signal(signal.SIGTERM)
        self._reader.join(STOP_SECONDS)
        if self.running:
            self._signal(getattr(signal, "SIGKILL", signal.SIGTERM))
            self._reader.join(STOP_SECONDS)

    def _signal(self, number: int) -> None:
        if sys.platform == "win32":
            self._process.send_signal(number)
            return
        try:
            # The child leads a group of its own, which holds the shells and tools of CM too.
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return

    def _read(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        stream = self._process.stdout
        while stream is not None and (data := os.read(stream.fileno(), 1 << 16)):
            with self._lock:
                self._text = (self._text + decoder.decode(data))[-LOG_CHARACTERS:]
        if stream is not None:
            stream.close()
        self._process.wait()
        self._take(self._saved())
        shutil.rmtree(self._folder, ignore_errors=True)
        atexit.unregister(self.stop)
        self.seconds = time.monotonic() - self.started

    def _saved(self) -> dict[str, Any]:
        try:
            answer = json.loads(self._answer.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return answer if isinstance(answer, dict) else {}

    def _take(self, answer: Mapping[str, Any]) -> None:
        self._error = str(answer.get("error", ""))
        exported = answer.get("new_env")
        if isinstance(exported, Mapping) and self._process.returncode == 0:
            self._new_env = {str(key): str(value) for key, value in exported.items()}


def as_on_terminal(text: str) -> str:
    """Return `text` as a terminal shows it: overwritten lines, colours and controls removed."""
    plain = _ESCAPES.sub("", text).replace("\r\n", "\n")
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in plain.split("\n"))
    return "\n".join(
        "".join(letter for letter in line if letter.isprintable() or letter == "\t")
        for line in lines
    )


def in_order(env: Mapping[str, str], first: Sequence[str]) -> list[tuple[str, str]]:
    """Return exported keys with their values: those named in `first`, then by name."""
    names = [name for name in first if name in env]
    names += sorted(name for name in env if name not in first)
    return [(name, env[name]) for name in names]
