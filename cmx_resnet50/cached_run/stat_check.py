"""The check of a cache hit: two inodes and one small file, and nothing imported but os."""

from __future__ import annotations

import os
import stat

_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""Neither follows a link nor waits for the other end of a pipe."""


def unchanged(root: str, sha256: str, place: str, stamp: str = "") -> bool:
    """Whether an object is as its stamp says, and `place` a hard link to it or as `stamp` says.

    False decides nothing: then `Store.check` and `Store.place` look closer.

    Parameters
    ----------
    root : str
        The store's folder.
    sha256 : str
        The object.
    place : str
        Absolute path of the place.
    stamp : str
        See `Placement.stamp`.
    """
    folder = f"{root}/objects/{sha256[:2]}/{sha256}"
    try:
        file = os.open(f"{folder}/stamp", _READ)
        try:
            recorded = os.read(file, 200)
        finally:
            os.close(file)
        found = os.lstat(f"{folder}/data")
        there = os.lstat(place)
    except (OSError, ValueError):
        return False
    # The stamp of an object ends with the md5 that was compared; receipts answer for that.
    if not stat.S_ISREG(found.st_mode) or recorded.rpartition(b" ")[0] != _stamp(found).encode():
        return False
    return os.path.samestat(found, there) or (
        stat.S_ISREG(there.st_mode) and stamp == _stamp(there)
    )


def _stamp(status: os.stat_result) -> str:
    """Return what ``stat_stamp.Stamp`` writes; importing that would cost a hit too much."""
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
