"""Bundles: the store's objects on their way to other machines.

A bundle is a folder or a plain ``.tar`` file that holds

- ``sha256/<hex>``: the bytes of each object, once;
- ``md5/<hex>`` and ``<file name>``: further names of the same bytes, for those who use the folder
  as a mirror. A file name that two objects share is left out;
- ``manifest.json`` and, in a folder, ``entries/``: see ``manifest``.

Only the manifest and the files in ``sha256/`` are read back. The store knows nothing of bundles:
they are written from its objects and read through its public methods.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cmx_resnet50.mirror import bundle_folder, bundle_tar, manifest
from cmx_resnet50.mirror.errors import MirrorError
from cmx_resnet50.progress import Progress
from cmx_resnet50.store.layout import checked_key, is_digest, plain

if TYPE_CHECKING:
    from cmx_resnet50.mirror.manifest import Entry
    from cmx_resnet50.store import Store, StoredObject

_COMPRESSED = (
    *(".7z", ".br", ".bz2", ".gz", ".lz", ".lz4", ".lzma", ".rar", ".tbz", ".tbz2", ".tgz"),
    *(".txz", ".tzst", ".xz", ".z", ".zip", ".zst"),
)


def check_target(target: Path) -> None:
    """Check that `target` can be the name of a bundle.

    Raises
    ------
    MirrorError
        If it is that of a compressed file.
    """
    if target.suffix.lower() in _COMPRESSED:
        raise MirrorError(
            f"{target} is not written: a bundle is not compressed, since weights hardly get "
            "smaller. Name a folder, or a file that ends in .tar."
        )


def export(
    store: Store, chosen: Iterable[StoredObject], target: Path, progress: Progress | None = None
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

    Raises
    ------
    MirrorError, StoreError
        If an object is damaged, there is no room, or `target` cannot be written.
    """
    objects = list(chosen)
    for stored in objects:
        store.require(stored)
    target = plain(target)
    check_target(target)
    entries = manifest.entries_of(store, objects)
    shown = progress or Progress()
    if target.suffix.lower() != ".tar":
        return bundle_folder.write(objects, entries, target, shown)
    bundle_tar.write(objects, entries, target, shown)
    return objects


def import_(store: Store, source: Path) -> list[StoredObject]:
    """Take every object of the bundle `source`, a folder or a ``.tar`` file, into the store.

    Each is compared with its digest. Keys that are not digests are the bundle's word: they are
    taken where the store knows no complete object by that key.

    Raises
    ------
    MirrorError, StoreError
        If it is not a bundle, or anything in it is not what its manifest says.
    """
    taken = []
    with store.writing(str(source), None), _opened(source, store) as items:
        for entry, path in items:
            keys = [checked_key(key) for key in (f"sha256-{entry['sha256']}", *entry["keys"])]
            new = [key for key in keys if is_digest(key) or not _known(store, key)]
            move = not source.is_dir()
            taken.append(store.import_file(path, keys=new, record=entry["record"], move=move))
    return taken


@contextmanager
def _opened(source: Path, store: Store) -> Iterator[Iterator[tuple[Entry, Path]]]:
    if source.is_dir():
        yield bundle_folder.read(source)
    else:
        with bundle_tar.opened(source, store.layout) as items:
            yield items


def _known(store: Store, key: str) -> bool:
    found = store.find(key)
    return found is not None and store.check(found)
