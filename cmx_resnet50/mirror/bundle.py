"""Bundles: the store's objects on their way to other machines.

A bundle is a folder or a plain ``.tar`` file that holds

- ``sha256/<hex>``: the bytes of each object, once;
- ``md5/<hex>`` and ``<file name>``: further names of the same bytes, for those who use the folder
  as a mirror. A file name that two objects share is left out;
- ``manifest.json`` and, in a folder, ``entries/``: see ``manifest``.

Only the manifest and the files in ``sha256/`` are read back. The store does not know bundles:
they are written from its objects and read through its public methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cmx_resnet50.mirror import bundle_folder, bundle_tar, manifest
from cmx_resnet50.mirror.errors import MirrorError, rejected
from cmx_resnet50.progress import Progress
from cmx_resnet50.store import StoreError
from cmx_resnet50.store.layout import checked_key, is_digest, plain

if TYPE_CHECKING:
    from cmx_resnet50.mirror.manifest import Entry
    from cmx_resnet50.store import Store, StoredObject

_COMPRESSED = (
    *(".7z", ".br", ".bz2", ".gz", ".lz", ".lz4", ".lzma", ".rar", ".tbz", ".tbz2", ".tgz"),
    *(".txz", ".tzst", ".xz", ".z", ".zip", ".zst"),
)

MAX_CLAIMS = 16
"""Bound on the keys of one object that are not digests: to look into one takes seconds."""


def check_target(target: Path, names: Iterable[str] = (), *, force: bool = False) -> bool:
    """Check that a bundle can be written to `target`, as far as that shows before there are files.

    Parameters
    ----------
    names : iterable of str
        The names of files that will be in it.
    force : bool
        Whether the user gives up files of theirs that have these names, or that of `target`.

    Returns
    -------
    bool
        Whether a file is at `target`, which will be replaced.

    Raises
    ------
    MirrorError
        If it has the name of a compressed file, or something else is there.
    """
    if target.suffix.lower() in _COMPRESSED:
        raise MirrorError(
            f"{target} is not written: a bundle is not compressed, since weights hardly get "
            "smaller. Name a folder, or a file that ends in .tar."
        )
    if _is_tar(target):
        return bundle_tar.check_target(target, force=force)
    folder = bundle_folder.BundleFolder(target)
    folder.check_layout()
    folder.check_free(() if force else names)
    return False


def export(
    store: Store,
    chosen: Iterable[StoredObject],
    target: Path,
    progress: Progress | None = None,
    *,
    force: bool = False,
) -> list[StoredObject]:
    """Write a bundle of the objects `chosen`; return those whose bytes were written.

    Parameters
    ----------
    store : Store
        The store that has the objects.
    chosen : iterable of StoredObject
        What to export, each once.
    target : Path
        A name that ends in ``.tar`` means one file, which is written anew. Any other means a
        folder, to which is added what it lacks.
    progress : Progress, optional
        Where to show the bytes.
    force : bool
        Whether the user gives up files of theirs that are in the way.

    Raises
    ------
    MirrorError, StoreError
        If an object is damaged, there is no room, or `target` cannot be written.
    """
    target = plain(target)
    try:
        objects = [store.require(stored) for stored in chosen]
    except StoreError as error:
        raise type(error)(f"{target} is not written: {error}") from error
    check_target(target, force=force)
    entries = manifest.entries_of(store, objects)
    shown = progress or Progress()
    if not _is_tar(target):
        return bundle_folder.write(objects, entries, target, shown, force=force)
    bundle_tar.write(objects, entries, target, shown)
    return objects


def _is_tar(target: Path) -> bool:
    return target.suffix.lower() == ".tar"


Unconfirmed = Callable[["Store", "StoredObject", str], "str | None"]
"""Returns why a key that is not a digest is not known to be right for an object of the store."""


@dataclass(frozen=True)
class Imported:
    """An object that a bundle had, and the keys that it claimed and this machine does not believe.

    `unconfirmed` has the reason by key.
    """

    stored: StoredObject
    unconfirmed: Mapping[str, str]


def import_(store: Store, source: Path, unconfirmed: Unconfirmed) -> list[Imported]:
    """Take every object of the bundle `source`, a folder or a ``.tar`` file, into the store.

    Each is compared with its digest. A key that is not a digest is the bundle's word: it is taken
    only if `unconfirmed` has nothing against it when all objects are there.

    Raises
    ------
    MirrorError, StoreError
        If it is not a bundle, or anything in it is not as its manifest lists it.
    """
    taken: dict[str, tuple[StoredObject, dict[str, None]]] = {}
    with store.writing(str(source), None), _opened(source, store) as items:
        for entry, path in items:
            keys = _keys(entry, source)
            stored = store.import_file(
                path,
                keys=[key for key in keys if is_digest(key)],
                record=entry["record"],
                move=not source.is_dir(),
                name=f"{source}: {manifest.label(entry)}",
            )
            claims = taken.setdefault(stored.sha256, (stored, {}))[1]
            claims.update(dict.fromkeys(key for key in keys if not is_digest(key)))
        return [_claimed(store, stored, list(keys), unconfirmed) for stored, keys in taken.values()]


def _keys(entry: Entry, source: Path) -> list[str]:
    try:
        return [checked_key(key) for key in (f"sha256-{entry['sha256']}", *entry["keys"])]
    except StoreError as error:
        raise rejected(source, f"{manifest.label(entry)}: {error}".rstrip(".")) from None


def _claimed(
    store: Store, stored: StoredObject, keys: Sequence[str], unconfirmed: Unconfirmed
) -> Imported:
    doubts = {}
    for key in keys[:MAX_CLAIMS]:
        found = store.find(key)
        if found is not None and found.sha256 == stored.sha256:
            continue
        why = unconfirmed(store, stored, key)
        if why is None:
            store.bind(stored, [key])
        else:
            doubts[key] = why
    return Imported(stored, doubts)


@contextmanager
def _opened(source: Path, store: Store) -> Iterator[Iterator[tuple[Entry, Path]]]:
    if source.is_dir():
        yield bundle_folder.read(source)
    else:
        with bundle_tar.opened(source, store.layout) as items:
            yield items
