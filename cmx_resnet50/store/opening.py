"""Which store is used where a user names a folder, and how a folder is made one."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from cmx_resnet50.errors import see
from cmx_resnet50.store.access import Access, share
from cmx_resnet50.store.layout import Layout
from cmx_resnet50.store.mark import Mark, require_store_content, write_mark
from cmx_resnet50.store.model import NotAStore, StoreError, StoreReadOnly
from cmx_resnet50.store.store import Store, to_stderr


def open_store(
    root: Path, own: Sequence[Path] = (), *, notify: Callable[[str], None] | None = None
) -> Store:
    """Return the store to use where the user names `root`.

    That is `root`, where it is this user's own or does not exist yet. A store of another user or
    of a group is read through a store of this user's own: see ``upstream``.

    Parameters
    ----------
    root : Path
        The folder that the user names.
    own : sequence of Path
        Where this user's own store may be instead, in order.
    notify : callable, optional
        As for `Store`; by default lines go to stderr.

    Raises
    ------
    StoreError
        If `root` is not a store, or there is no folder for an own one.
    """
    notify = notify or to_stderr
    named = Layout(root)
    if named.access() is Access.OWN:
        return Store(root, notify=notify)
    from cmx_resnet50.store.upstream import CopyingStore, OtherStore

    upstream = OtherStore(root, notify=notify)
    return CopyingStore(_own_root(own, named.root), upstream, notify=notify)


def init_store(root: Path, *, shared: bool = False) -> Store:
    """Make the folder `root` a store, if it is empty or holds what a store holds.

    Parameters
    ----------
    shared : bool
        Whether the folder's group writes it.

    Raises
    ------
    NotAStore
        If it holds anything else.
    StoreError
        If it is another user's, or cannot be written.
    """
    store = Store(root)
    with store.writing(str(root), None):
        try:
            mark = store.layout.require()
        except NotAStore:
            require_store_content(store.root)
            mark = None
        if mark is None or shared:
            write_mark(store.root, Mark(shared=shared))
        if shared:
            share(store.root)
    opened = Store(root)
    opened.layout.require()
    return opened


def _own_root(candidates: Sequence[Path], named: Path) -> Path:
    for folder in candidates:
        layout = Layout(folder)
        with suppress(StoreError):
            if (
                layout.root != named
                and layout.access() is Access.OWN
                and _can_be_written(layout.root)
            ):
                return layout.root
    tried = ", ".join(map(str, candidates)) or "HOME is not set"
    raise StoreReadOnly(
        f"The store {named} belongs to another user and is only read, and no folder for a store of "
        f"your own can be written: {tried}. Set HOME, or XDG_CACHE_HOME, to a folder that you can "
        "write; or ask the owner of the store to share it with a group: "
        f"cmx-resnet50 store init --shared '{named}'. {see('clusters')}"
    )


def _can_be_written(folder: Path) -> bool:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
