"""One lock a name, held by at most one process on all hosts that share the store.

The lock is the kernel's (``flock``, through filelock), so it ends with the process that holds
it, however that ends. On NFS, Linux passes ``flock`` to the server: the folder must be mounted
with locking (NFSv4, or NFSv3 with lockd running) and without ``nolock`` or
``local_lock=flock``, which keep locks on the host. Where a file system knows no locks at all,
filelock falls back to a lock by existence of a file. The side file ``.holder`` says who holds
the lock; it is only for messages.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cmx_resnet50.store.access import lock_mode
from cmx_resnet50.store.files import read_json
from cmx_resnet50.store.layout import Layout
from cmx_resnet50.store.model import StoreError
from cmx_resnet50.store.write_errors import read_only_error

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK_TIMEOUT = 4 * 3600.0
"""Seconds to wait for another process that makes the same object; it has limits of its own."""

LOOK_AGAIN = 1.0
"""Seconds after which a waiting process looks again who holds the lock."""

THREAD = "another thread of this process"
"""Who is waited for where the lock is held here; a process that waits has not ended."""

PRUNING = "prune"
"""Name of the lock without which no object is removed."""

_held: set[Path] = set()
"""The locks that threads of this process hold."""


class Locks:
    """The locks of one store.

    Parameters
    ----------
    layout : Layout
        Whose locks.
    timeout : float
        Seconds to wait for a lock that another process holds.
    notify : callable
        Takes the line that says which process, or thread of this one, is waited for.
    """

    advise_after = 60.0
    """Seconds of waiting after which a line says how to go on without the holder."""

    def __init__(self, layout: Layout, timeout: float, notify: Callable[[str], None]) -> None:
        self._layout = layout
        self._timeout = timeout
        self._notify = notify

    @contextmanager
    def hold(self, name: str, purpose: str) -> Iterator[str | None]:
        """Hold the lock `name`; yields which other process was waited for, or None.

        Parameters
        ----------
        purpose : str
            What the lock is held for, as others read it: "prepares resnet50_v1.onnx".

        Raises
        ------
        StoreReadOnly
            If the lock file cannot be made or locked.
        StoreError
            If another process holds the lock for too long.
        """
        path = self._layout.lock(name)
        holder = path.with_suffix(".holder")
        try:
            self._layout.make_folder(path.parent)
            lock = self._lock(path)
            waited = self._acquire(lock, holder)
        except OSError as error:
            raise read_only_error(self._layout.root, error) from error
        _held.add(path)
        try:
            with suppress(OSError, StoreError):
                from socket import gethostname

                who = {"pid": os.getpid(), "host": gethostname(), "purpose": purpose}
                self._layout.write(holder, json.dumps(who), durable=False)
            yield waited
        finally:
            with suppress(OSError):
                holder.unlink(missing_ok=True)
            _held.discard(path)
            lock.release()

    @contextmanager
    def free(self, name: str) -> Iterator[bool]:
        """Hold the lock `name` if nobody else does; yields whether it is held."""
        from filelock import Timeout

        try:
            self._layout.make_folder(self._layout.lock(name).parent)
            lock = self._lock(self._layout.lock(name))
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        except OSError as error:
            raise read_only_error(self._layout.root, error) from error
        try:
            yield True
        finally:
            lock.release()

    def _lock(self, path: Path) -> BaseFileLock:
        from filelock import FileLock

        # Whoever can open the file can hold the lock.
        return FileLock(path, mode=lock_mode(shared=self._layout.shared))

    def _acquire(self, lock: BaseFileLock, holder: Path) -> str | None:
        from filelock import Timeout

        begun = time.monotonic()
        deadline = begun + self._timeout
        waited: str | None = None
        advised: str | None = None
        # The first wait is short, and long enough for a holder to write its side file.
        wait = 0.2
        while True:
            left = max(0.0, deadline - time.monotonic())
            try:
                lock.acquire(timeout=min(wait, left))
            except Timeout as error:
                other = _holder(holder, here=Path(lock.lock_file) in _held)
                ours = other.startswith(THREAD)
                if left <= wait:
                    advice = "Run again later." if ours else "End that process, or run again later."
                    raise StoreError(
                        f"Waited {self._timeout:g} s for {other}, which holds "
                        f"{lock.lock_file}. {advice}"
                    ) from error
                if other != waited:
                    self._notify(f"waiting for {other}")
                    waited = other
                if time.monotonic() - begun > self.advise_after and other != advised and not ours:
                    self._notify(
                        f"still waiting for {other}: a slow transfer, or a process that hangs. "
                        "To go on without it, end it on its host, or name another store with "
                        f"CM_RESNET50_STORE. It holds {lock.lock_file}"
                    )
                    advised = other
                wait = LOOK_AGAIN
            else:
                return None if waited is None or waited.startswith(THREAD) else waited


def _holder(path: Path, *, here: bool) -> str:
    """Return who holds a lock, for messages.

    Parameters
    ----------
    path : Path
        The side file.
    here : bool
        Whether this process holds it. The number of a process alone does not tell: containers
        that share a store number their processes alike.
    """
    who = read_json(path) or {}
    if here and who.get("pid", os.getpid()) == os.getpid():
        text = THREAD + (f", which {who['purpose']}" if "purpose" in who else "")
    elif not who:
        return "another process"
    else:
        text = f"process {who.get('pid')} on {who.get('host')}, which {who.get('purpose')}"
    return "".join(character for character in text if character.isprintable())
