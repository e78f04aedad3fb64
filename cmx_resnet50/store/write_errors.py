"""What an error says where a file cannot be written: a full disk, a limit, a store to read only."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cmx_resnet50.errors import see
from cmx_resnet50.limits import limit_of, no_inode
from cmx_resnet50.store.model import StoreError, StoreFull, StoreReadOnly

FULL = (errno.ENOSPC, errno.EDQUOT)
"""Errors of a disk that is full, or of a quota that is used up."""


def require_space(folder: Path, need: int, what: str) -> None:
    """Make sure that `need` bytes are free in `folder`.

    Raises
    ------
    StoreFull
        If they are not; the text has the figures.
    """
    from shutil import disk_usage

    existing = next((path for path in (folder, *folder.parents) if path.is_dir()), folder)
    free = disk_usage(existing).free
    if free < need:
        raise StoreFull(
            f"No room for {what} in {folder}: it needs {need:,} bytes, {free:,} are free. "
            "Free some space (cmx-resnet50 prune shows what nothing uses), or name a folder on "
            "another disk; that of the store with CM_RESNET50_STORE."
        )


def disk_full_error(error: OSError, folder: Path, need: int | None, what: str) -> StoreFull | None:
    """Return the error to raise where `error` says that the disk is full, else None."""
    if error.errno not in FULL:
        return None
    if no_inode(next((path for path in (folder, *folder.parents) if path.is_dir()), folder)):
        return StoreFull(
            f"{what} cannot be written to {folder}: its file system has no inode for one more "
            "file (df -i). Remove files there, or name another folder; what is there is kept."
        )
    from shutil import disk_usage

    try:
        free = f"{disk_usage(folder).free:,} bytes are free"
    except OSError:
        free = "the free space is not known"
    size = "" if need is None else f"it has {need:,} bytes, "
    return StoreFull(
        f"The disk is full, or a quota is used up, while {what} was written to {folder}: "
        f"{size}{free}. Free some space and run again; what is there is kept."
    )


def read_only_error(root: Path, error: OSError) -> StoreError:
    """Return the error for a store that cannot be written."""
    full = disk_full_error(error, root, None, "what a store needs")
    if full is not None:
        return full
    limit = limit_of(error)
    reason = limit.what if limit else error.strerror or str(error)
    if error.filename:
        reason += f": {error.filename}"
    if limit is not None:
        # Without locks it still serves what it has, as one that can only be read.
        kinds = {
            errno.EFBIG: StoreFull,
            errno.ENOLCK: StoreReadOnly,
            errno.EOPNOTSUPP: StoreReadOnly,
        }
        return kinds.get(error.errno or 0, StoreError)(
            f"The store {root} cannot be written or locked ({reason}). {limit.advice}"
        )
    return StoreReadOnly(
        f"The store {root} cannot be written or locked ({reason}). Make it "
        "writable for this user, name another with CM_RESNET50_STORE, or fill it once where it "
        f"can be written: cmx-resnet50 prefetch. {see('clusters')}"
    )


@contextmanager
def explained(root: Path, name: str, size: int | None) -> Iterator[None]:
    """Turn a full disk and a store at `root` that cannot be written into errors that say so."""
    try:
        yield
    except OSError as error:
        said: StoreError | None = disk_full_error(error, root, size, name)
        where = str(error.filename or (root if limit_of(error) else ""))
        if said is None and where.startswith(str(root)):
            said = read_only_error(root, error)
        if said is None:
            raise
        raise said from error
