"""Whose store a folder is: one's own, a group's, or another user's; and what that means.

*own*
    Its owner alone writes it. Nobody else can put anything in its folders, so whatever has a name
    of ours there is ours, and a file that others wrote is not believed.
*shared*
    Made so by ``cmx-resnet50 store init --shared``: the members of its group write it, and trust
    one another as far as its folders go. What they say of a file is not believed: each compares
    the bytes when they come into a store of his own.
*foreign*
    Any other: it is read as a shared one is, and never written.
"""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from enum import Enum
from pathlib import Path

from cmx_resnet50.errors import see
from cmx_resnet50.store.files import is_folder, is_mine
from cmx_resnet50.store.mark import FOLDERS, TAG, VERSION_FILE, Mark
from cmx_resnet50.store.model import StoreError, StoreReadOnly


class Access(Enum):
    """Whose store a folder is."""

    OWN = "own"
    SHARED = "shared"
    FOREIGN = "foreign"


def access(root: Path, mark: Mark | None) -> Access:
    """Return whose the store at `root` is; one that does not exist is own."""
    try:
        status = root.stat()
    except OSError:
        return Access.OWN
    if mark is not None and mark.shared:
        return Access.SHARED if _is_member(root, status) else Access.FOREIGN
    return Access.OWN if is_mine(status) else Access.FOREIGN


def folder_mode(name: str, *, shared: bool) -> int:
    """Return the mode of the store's folder `name` and those in it.

    Whoever can open a lock file can hold the lock, so others cannot get at them.
    """
    if shared:
        return 0o2770 if name == "locks" else 0o2775
    return 0o700 if name == "locks" else 0o755


def lock_mode(*, shared: bool) -> int:
    """Return the mode of a lock file."""
    return 0o660 if shared else 0o600


def require_own(folder: Path) -> None:
    """Make sure that a folder directly in an own store is this user's, and only theirs to write.

    Raises
    ------
    StoreError
        If it belongs to another user.
    """
    status = folder.lstat()
    if not is_mine(status):
        raise StoreError(
            f"{folder} belongs to another user (uid {status.st_uid}), in a store that is yours. "
            f"Take it back: sudo chown -R $(id -u) '{folder.parent}'"
        )
    wanted = folder_mode(folder.name, shared=False)
    if status.st_mode & 0o777 & ~wanted:
        with suppress(OSError):
            folder.chmod(status.st_mode & wanted)


def withdraw_write(root: Path) -> None:
    """Withdraw from others the right to write in the folder of an own store."""
    with suppress(OSError):
        mode = root.stat().st_mode
        if mode & 0o022:
            root.chmod(stat.S_IMODE(mode) & ~0o022)


def foreign_error(root: Path) -> StoreReadOnly:
    """Return the error for a store of another user that would have to be written."""
    return StoreReadOnly(
        f"The store {root} belongs to another user, and only its owner writes it. Name one of "
        "your own with CM_RESNET50_STORE; or let its owner share it with a group: "
        f"cmx-resnet50 store init --shared '{root}'. {see('clusters')}"
    )


def share(root: Path) -> None:
    """Let the group of the folder `root` write the store in it; its owner calls this.

    Raises
    ------
    OSError
        If the rights cannot be changed.
    """
    if sys.platform == "win32":
        raise StoreError("A store cannot be shared with a group on Windows.")
    group = root.stat().st_gid
    root.chmod(0o2775)
    for name in (VERSION_FILE, TAG):
        os.chown(root / name, -1, group, follow_symlinks=False)
    for name in FOLDERS:
        top = root / name
        if not is_folder(top):
            continue
        for folder, _, files in os.walk(top):
            path = Path(folder)
            os.chown(path, -1, group, follow_symlinks=False)
            path.chmod(folder_mode(name, shared=True))
            for file in files:
                inside = path / file
                os.chown(inside, -1, group, follow_symlinks=False)
                if inside.suffix == ".lock" and not inside.is_symlink():
                    inside.chmod(lock_mode(shared=True))


def _is_member(root: Path, status: os.stat_result) -> bool:
    if sys.platform == "win32":
        return False
    if not is_mine(status) and status.st_gid not in {os.getegid(), *os.getgroups()}:
        return False
    return bool(status.st_mode & 0o020) and os.access(root, os.W_OK)
