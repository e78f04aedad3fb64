"""One run at a time, where the engine would let several of ours write in the same files.

The engine takes no lock: runs of one request at the same instant share one unfinished cache
entry and the scripts in it, and any run may read the JSON that another has just emptied to
write it anew. Two locks in the engine's home keep our runs apart:

*lookup lock*
    From the import of ``customize.py``, which the engine does before it looks the request up,
    until the entry is found or made; and again while the engine writes what look-ups read.
    Always short, so a hit never waits for somebody's work; nobody waits for it when it is old.
*run lock*
    From ``predeps`` to the end of the engine's part that called it, for whatever the engine
    does in cache entries. Released while we fetch: the store has locks for that.

The run lock ends with the `RunLock` that the engine's frame holds (in its ``run_script_input``),
and that is after the engine has saved the entry, or after any error; a process that dies loses
both locks. They are a safeguard, not a condition: where no lock can be taken, or nobody gives
way, a run goes on with a line on stderr.

``flock`` directly: a hit imports this file, and importing filelock takes as long as a hit's
whole part of ours. On Windows, which has no ``flock``, nothing is locked.
"""

from __future__ import annotations

import os
import sys
import time
import weakref
from contextlib import suppress
from typing import Any

RUN_TIMEOUT = 1800.0
"""Seconds to wait for another run, which may install a package."""
LOOKUP_TIMEOUT = 60.0
"""Seconds to wait, in all, until no other run is looking up."""
STALE = 10.0
"""Seconds after which a look-up counts as one that was never reported as ended."""
REPORT = 1.0
"""Seconds after which a line says whom we wait for."""
_OPEN = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
_KEY = "cmx_resnet50_run_lock"
_GRACE = 0.1
"""Seconds that a new holder has to write who it is."""


def _open(path: str) -> int:
    """Open a lock file; a new one only for those who can write in its folder anyway.

    Whoever can open it, even to read, can hold the lock.
    """
    try:
        return os.open(path, _OPEN)
    except FileNotFoundError:
        writers = os.stat(os.path.dirname(path)).st_mode & 0o022  # noqa: PTH116, PTH120
    mode = 0o600 | writers | writers << 1
    file = os.open(path, _OPEN | os.O_CREAT, mode)
    if sys.platform != "win32":  # whatever the umask
        with suppress(OSError):
            os.fchmod(file, mode)
    return file


class FileLock:
    """A lock file, held by at most one process of one machine or NFS server.

    Parameters
    ----------
    path : str
        The file; it holds who holds it.
    timeout : float
        Seconds to wait for another process.
    stale : float, optional
        Age of a hold, in seconds, from which on it is not waited for.
    """

    def __init__(self, path: str, timeout: float, stale: float | None = None) -> None:
        self._path = path
        self._timeout = timeout
        self._stale = stale
        self._file = -1

    @property
    def held(self) -> bool:
        """Whether this process holds it."""
        return self._file >= 0

    def acquire(self) -> str:
        """Hold the lock, or return why it cannot be taken."""
        if self.held or sys.platform == "win32":
            return ""
        try:
            file = _open(self._path)
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

    def release(self) -> None:
        """Let another process have it."""
        if self.held:
            file, self._file = self._file, -1
            # Until the next holder has written who it is, nobody is named.
            with suppress(OSError):
                os.ftruncate(file, 0)
            os.close(file)

    def _wait(self, file: int) -> bool:
        if sys.platform == "win32":  # Never: `acquire` has looked. For the type checker.
            return False
        import fcntl

        begun = time.monotonic()
        reported = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waited = time.monotonic() - begun
                who, age = _holder(file)
                if self._stale is not None and waited > _GRACE and age > self._stale:
                    return False
                if waited > self._timeout:
                    _say(f"waited {self._timeout:g} s for {who}; continuing beside it")
                    return False
                if waited > REPORT and not reported:
                    home = os.path.dirname(self._path)  # noqa: PTH120
                    _say(f"waiting for {who}, which runs in the same {home}")
                    reported = True
                time.sleep(0.005)
            else:
                text = f"{os.getpid()} {os.uname().nodename} {time.time():.3f}\n".encode()
                with suppress(OSError):  # A full disk holds a lock as well.
                    os.ftruncate(file, 0)
                    os.pwrite(file, text, 0)
                return True


class RunLock:
    """The right of one run to have the engine work in cache entries; ends with this object.

    Inside another run of the same process it is that one's, and changes nothing.
    """

    def __init__(self) -> None:
        self._reported = False
        self._lock = None if _run_locks else FileLock(_path("run"), RUN_TIMEOUT)
        if self._lock is not None:
            _run_locks.append(self._lock)
        self._finalizer = weakref.finalize(self, _end, self._lock)

    def end(self) -> None:
        """End it now."""
        self._finalizer()

    def acquire(self) -> None:
        """Wait for it; nobody's look-up waits meanwhile."""
        if self._lock is not None:
            end_lookup()
            failure = self._lock.acquire()
            if failure and not self._reported:
                self._reported = True
                _say(f"runs at the same time are not kept apart: {failure}")

    def release(self) -> None:
        """Let other runs have it."""
        if self._lock is not None:
            end_lookup()
            self._lock.release()

    def hold_lookups(self) -> None:
        """Keep others from looking up what the engine is about to write."""
        if self._lock is not None:
            _lookup().acquire()


_run_locks: list[FileLock] = []
"""The run lock of this process, if it has one."""
_home: list[str] = []
"""The engine's folder, in which the lock files are."""
_lookups: list[FileLock] = []
"""The lookup lock of this process, if it has one."""


def begin(run: dict[str, Any]) -> RunLock:
    """Return the lock of a new run, which its ``run_script_input`` holds from now on."""
    lock = run[_KEY] = RunLock()
    return lock


def of(run: dict[str, Any]) -> RunLock:
    """Return the lock of a run that `begin` was called for."""
    lock: RunLock = run[_KEY]
    return lock


def end(run: dict[str, Any]) -> None:
    """Release both locks of a run at once, whoever still holds its frames."""
    end_lookup()
    lock = run.pop(_KEY, None)
    if lock is not None:
        lock.end()


def begin_lookup(home: str) -> None:
    """Begin a look-up: wait until no other run in the engine's folder `home` is looking up."""
    _home[:] = [home]
    if not _run_locks:
        _lookup().acquire()


def end_lookup() -> None:
    """End this process's look-up, if it is at one."""
    while _lookups:
        _lookups.pop().release()


def _end(lock: FileLock | None) -> None:
    if lock is not None:
        end_lookup()
        lock.release()
        _run_locks.remove(lock)


def _lookup() -> FileLock:
    if not _lookups:
        _lookups.append(FileLock(_path("lookup"), LOOKUP_TIMEOUT, STALE))
    return _lookups[0]


def _path(name: str) -> str:
    return os.path.join(_home[0], f"cmx-resnet50-{name}.lock")  # noqa: PTH118


def _holder(file: int) -> tuple[str, float]:
    """Return who holds the lock, as reported to a user, and for how many seconds."""
    if sys.platform == "win32":
        return "another process", 0.0
    try:
        pid, host, since = os.pread(file, 300, 0).decode("utf-8").split()
        return f"process {int(pid)} on {host}", time.time() - float(since)
    except (OSError, ValueError):
        return "another process", 0.0


def _say(line: str) -> None:
    sys.stderr.write(f"cmx-resnet50: {line}\n")
    sys.stderr.flush()
