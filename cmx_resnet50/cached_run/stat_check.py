"""The quickest look at a place: two inodes and one small file, and nothing imported but os."""

from __future__ import annotations

import os
import stat


def unchanged(root: str, sha256: str, place: str, stamp: str = "") -> bool:
    """Whether an object is as its stamp says, and `place` a hard link to it or as `stamp` says.

    False says nothing: then `Store.check` and `Store.place` have the last word.

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
        with open(f"{folder}/stamp", encoding="utf-8") as file:
            recorded = file.read(200)
        found = os.lstat(f"{folder}/data")
        there = os.lstat(place)
    except (OSError, ValueError):
        return False
    if not stat.S_ISREG(found.st_mode) or recorded != _stamp(found):
        return False
    return os.path.samestat(found, there) or (
        stat.S_ISREG(there.st_mode) and stamp == _stamp(there)
    )


def _stamp(status: os.stat_result) -> str:
    """Return what ``stamps.Stamp`` writes, which costs an import that a hit does not pay."""
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}\n"
