"""Checks of the store: whether it can be written, by whom, and on which file system it is."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from cmx_resnet50.diagnosis.finding import Finding
from cmx_resnet50.options import Options, own_stores
from cmx_resnet50.store import open_store
from cmx_resnet50.store.access import Access
from cmx_resnet50.store.layout import Layout

AREA = "store"
LEAST_SPACE = 200 << 20
"""Bytes for one file, and for a copy of it."""
NETWORK = ("nfs", "cifs", "smb", "lustre", "gpfs", "beegfs", "ceph", "9p", "afs", "fuse.")


def place() -> Iterator[Finding]:
    """Yield where the store is, whose it is, and whether it can be written."""
    options = Options.read({})
    named = options.store
    access = Layout(named).access()
    state = "" if named.is_dir() else ", not made yet"
    whose = {
        Access.OWN: "yours alone",
        Access.SHARED: "shared with a group",
        Access.FOREIGN: "another user's, which is only read",
    }[access]
    yield Finding(AREA, f"{named}: {whose}{state}")
    root = open_store(named, own_stores(), notify=lambda line: None).root
    if root != named:
        yield Finding(AREA, f"files are copied to {root}, your own store")
    existing = next(folder for folder in (root, *root.parents) if folder.exists())
    writable = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
    yield Finding(
        AREA,
        f"{existing} can{'' if writable else 'not'} be written",
        "" if writable else "Files that the store has are served; no other can be fetched.",
        "" if writable else "export CM_RESNET50_STORE=$HOME/.cache/cmx-resnet50/store",
        writable,
    )
    yield from _disk(existing)


def _disk(folder: Path) -> Iterator[Finding]:
    kind = file_system(folder)
    remote = kind.startswith(NETWORK)
    note = "locks must work there between hosts: `cmx-resnet50 docs clusters`" if remote else ""
    yield Finding(AREA, f"file system {kind}{', of a network' if remote else ''}", note)
    free = shutil.disk_usage(folder).free
    ok = free >= LEAST_SPACE
    yield Finding(
        AREA,
        f"{free / 1e9:.1f} GB free",
        "" if ok else "One model of 102 MB, and a copy of it, may not fit.",
        "" if ok else "cmx-resnet50 prune --apply",
        ok,
    )


def file_system(folder: Path) -> str:
    """Return the type of the file system on which `folder` is, as the kernel calls it."""
    best, kind = -1, "unknown"
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return kind
    real = str(folder.resolve())
    for line in lines:
        before, _, after = line.partition(" - ")
        escaped = before.split()[4]
        mount = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), escaped)
        inside = real == mount or real.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= best:
            best, kind = len(mount), after.split()[0]
    return kind
