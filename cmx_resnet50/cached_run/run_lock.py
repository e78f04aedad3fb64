"""One run at a time, where CM's engine would let several of ours write in the same files.

The engine takes no lock: runs of one request at the same instant share one unfinished cache
entry and the scripts in it, and any run may read the JSON that another has just emptied to
write it anew. Two locks in ``CM_REPOS`` keep our runs apart:

*look-ups*
    From the import of ``customize.py``, which the engine does before it looks the request up,
    until the entry is found or made; and again while the engine writes what look-ups read.
    Always short, so a hit never waits for somebody's work; nobody waits for it when it is old.
*turn*
    From ``predeps`` to the end of the engine's part that called it, for whatever the engine
    does in cache entries. Set aside while we fetch: the store has locks for that.

The turn ends with the `Turn` that the engine's frame holds (in its ``run_script_input``), and
that is after the engine has saved the entry, or after any error; a process that dies loses
both locks. They are a shield and no condition: where there is no lock to be had, or nobody
gives way, a run goes on with a line on stderr.

``flock`` directly: a hit imports this file, and importing filelock takes as long as a hit's
whole part of ours. Where there is no ``fcntl`` (Windows), nothing is locked.
"""

from __future__ import annotations

import os
import sys
import time
import weakref
from contextlib import suppress
from typing import Any

try:
    import fcntl
except ImportError:  # pragma: no cover
    fcntl = None  # type: ignore[assignment]

PATIENCE = 1800.0
"""Seconds to wait for a turn. Another's may hold the installation of a package."""
LOOK_UP_PATIENCE = 60.0
"""Seconds to wait, in all, until no other run is looking up."""
OLD = 10.0
"""Seconds after which a look-up is taken for one that nobody told to be over."""
TELL = 1.0
"""Seconds after which a line says for whom we wait."""
_KEY = "cmx_resnet50_turn"
_CERTAIN = 0.1
"""Seconds that a new holder has to write who it is."""


class Lock:
    """A lock file, held by at most one process of one machine or NFS server.

    Parameters
    ----------
    path : str
        The file; it holds who holds it.
    patience : float
        Seconds to wait for another process.
    old : float, optional
        Age of a hold, in seconds, that nobody needs to respect.
    """

    def __init__(self, path: str, patience: float, old: float | None = None) -> None:
        self._path = path
        self._patience = patience
        self._old = old
        self._file = -1

    @property
    def held(self) -> bool:
        """Whether this process holds it."""
        return self._file >= 0

    def take(self) -> str:
        """Hold the lock, or return why there is none to be had."""
        if self.held or fcntl is None:
            return ""
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            return f"{self._path}: {error.strerror}"
        try:
            if self._wait(file):
                self._file, file = file, -1
        except OSError as error:
            return f"{self._path}: {error.strerror}"
        finally:
            if file >= 0:
                os.close(file)
        return ""

    def drop(self) -> None:
        """Let another process have it."""
        if self.held:
            file, self._file = self._file, -1
            # Until the next holder has written who it is, nobody is named.
            with suppress(OSError):
                os.ftruncate(file, 0)
            os.close(file)

    def _wait(self, file: int) -> bool:
        begun = time.monotonic()
        told = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waited = time.monotonic() - begun
                who, age = _holder(file)
                if self._old is not None and waited > _CERTAIN and age > self._old:
                    return False
                if waited > self._patience:
                    _say(f"waited {self._patience:g} s for {who}; going on at its side")
                    return False
                if waited > TELL and not told:
                    _say(f"waiting for {who}, which runs in the same CM_REPOS")
                    told = True
                time.sleep(0.005)
            else:
                text = f"{os.getpid()} {os.uname().nodename} {time.time():.3f}\n".encode()
                with suppress(OSError):  # A full disk holds a lock as well.
                    os.ftruncate(file, 0)
                    os.pwrite(file, text, 0)
                return True


class Turn:
    """The right of one run to have the engine work in cache entries; ends with this object.

    Inside another turn of the same process it is that one, and changes nothing.
    """

    def __init__(self) -> None:
        self._told = False
        self._lock = None if _turns else Lock(_path("turn"), PATIENCE)
        if self._lock is not None:
            _turns.append(self._lock)
        self._finalizer = weakref.finalize(self, _end, self._lock)

    def end(self) -> None:
        """End it now."""
        self._finalizer()

    def take(self) -> None:
        """Wait for the turn; nobody's look-up waits meanwhile."""
        if self._lock is not None:
            leave()
            failure = self._lock.take()
            if failure and not self._told:
                self._told = True
                _say(f"runs at the same time are not kept apart: {failure}")

    def pause(self) -> None:
        """Let others have their turn."""
        if self._lock is not None:
            leave()
            self._lock.drop()

    def hold_look_ups(self) -> None:
        """Have nobody look up what the engine is about to write."""
        if self._lock is not None:
            _look_up().take()


_turns: list[Lock] = []
"""The turn of this process, if it has one."""
_look_ups: list[Lock] = []
"""The look-up of this process, if it is at one."""


def begin(run: dict[str, Any]) -> Turn:
    """Return the turn of a new run, which its ``run_script_input`` holds from now on."""
    turn = run[_KEY] = Turn()
    return turn


def of(run: dict[str, Any]) -> Turn:
    """Return the turn of a run that `begin` was called for."""
    turn: Turn = run[_KEY]
    return turn


def end(run: dict[str, Any]) -> None:
    """End look-up and turn of a run at once, whoever still holds its frames."""
    leave()
    turn = run.pop(_KEY, None)
    if turn is not None:
        turn.end()


def enter() -> None:
    """Begin a look-up: wait until no other run is looking up."""
    if not _turns:
        _look_up().take()


def leave() -> None:
    """End this process's look-up, if it is at one."""
    while _look_ups:
        _look_ups.pop().drop()


def _end(turn: Lock | None) -> None:
    if turn is not None:
        leave()
        turn.drop()
        _turns.remove(turn)


def _look_up() -> Lock:
    if not _look_ups:
        _look_ups.append(Lock(_path("look-up"), LOOK_UP_PATIENCE, OLD))
    return _look_ups[0]


def _path(name: str) -> str:
    # As cmind finds it. Options.read is not for a hit, and CM's env is not known here.
    home = os.environ.get("CM_REPOS", "").strip() or os.path.expanduser("~/CM")  # noqa: PTH111
    return os.path.join(home, f"cmx-resnet50-{name}.lock")  # noqa: PTH118


def _holder(file: int) -> tuple[str, float]:
    """Return who holds the lock, as told to a user, and for how many seconds."""
    try:
        pid, host, since = os.pread(file, 300, 0).decode("utf-8").split()
        return f"process {int(pid)} on {host}", time.time() - float(since)
    except (OSError, ValueError):
        return "another process", 0.0


def _say(line: str) -> None:
    sys.stderr.write(f"cmx-resnet50: {line}\n")
    sys.stderr.flush()
