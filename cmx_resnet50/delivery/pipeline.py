"""From a resolution to files in place: joins catalog, store, reshape and inspect."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmx_resnet50.catalog.table import Artifact, Catalog, Resolution
from cmx_resnet50.delivery.acquire import Acquirer
from cmx_resnet50.delivery.delivered import Delivery, derived_key
from cmx_resnet50.delivery.read_only import explain_missing
from cmx_resnet50.errors import DigestError, Resnet50Error
from cmx_resnet50.options import Options, own_stores
from cmx_resnet50.progress import Progress
from cmx_resnet50.redaction import redact
from cmx_resnet50.store import ObjectMissing, Placement, StoredObject, open_store

if TYPE_CHECKING:  # A cached run computes no digest, and does not pay for hashlib.
    from cmx_resnet50.digests import Digests


class Pipeline:
    """Obtains artifacts through one store with one set of options.

    Parameters
    ----------
    catalog : Catalog
        The table of artifacts.
    options : Options
        What the user set.
    progress : Progress, optional
        Shows transfers; by default nothing does.
    notify : callable, optional
        Takes one line at a time: on whom the store waits, what it repaired. By default stderr.
    cache : Path, optional
        The cache of the engine that runs, which may have files that the store lacks.
    """

    def __init__(
        self,
        catalog: Catalog,
        options: Options,
        progress: Progress | None = None,
        *,
        notify: Callable[[str], None] | None = None,
        cache: Path | None = None,
    ) -> None:
        self.catalog = catalog
        self.options = options
        self.store = open_store(options.store, own_stores(), notify=notify)
        self._acquirer = Acquirer(self.store, options, progress or Progress(), cache)

    @property
    def visible(self) -> bool:
        """Whether transfers are shown."""
        return self._acquirer.progress.visible

    def alike(self, progress: Progress, is_stopped: Callable[[], bool]) -> Pipeline:
        """Return another one, for another thread, with a progress of its own.

        Once `is_stopped`, it says nothing: it would report its own threads as ended processes.
        """

        def notify(line: str) -> None:
            if not is_stopped():
                self.store.notify(line)

        cache = self._acquirer.cache
        return Pipeline(self.catalog, self.options, progress, notify=notify, cache=cache)

    def obtain(self, resolution: Resolution, extra_sources: Sequence[str] = ()) -> Delivery:
        """Return the objects of `resolution`, fetched or made only where the store lacks them.

        Parameters
        ----------
        resolution : Resolution
            What to obtain.
        extra_sources : sequence of str
            The user's own further URLs, asked last.

        Raises
        ------
        Resnet50Error
            If no source gives the right bytes.
        """
        return self.fix_batch(self.obtain_published(resolution, extra_sources))

    def obtain_published(
        self,
        resolution: Resolution,
        extra_sources: Sequence[str] = (),
        *,
        by_other_tool: bool = False,
    ) -> Delivery:
        """Do what `obtain` does, but leave the batch as it is in the published file.

        With `by_other_tool`, the source is a file that another tool fetched from the URL.
        """
        if resolution.request.weights == "dummy":
            return self._dummies(resolution)
        if resolution.request.local is not None:
            return self._given(resolution, Path(resolution.request.local))
        self._require_checksum(resolution)
        sources = [*resolution.sources, *extra_sources]
        named = resolution.request.url is not None
        others = []
        offline = self.options.offline
        with explain_missing(resolution, self.store.root, offline=offline):
            model, made = self._acquirer.fetch(
                resolution.artifact, sources, named_by_user=named, by_other_tool=by_other_tool
            )
            for companion in resolution.companions:
                stored, fetched = self._acquirer.fetch(
                    companion, [companion.url, *companion.mirrors]
                )
                others.append(stored)
                made = made or fetched
        return self._delivery(resolution, model, tuple(others), "fetched" if made else "store")

    def obtain_archive(self, resolution: Resolution) -> StoredObject | None:
        """Return the archive that the file comes in, fetched where the store lacks it.

        None where there is none whose digest is known: nobody could ask a mirror for it.

        Raises
        ------
        Resnet50Error
            If no source gives the right bytes.
        """
        artifact = resolution.artifact
        if resolution.request.weights == "dummy" or not artifact.archive_keys:
            return None
        return self._acquirer.fetch_archive(artifact, resolution.sources)

    def is_at_hand(self, artifact: Artifact) -> bool:
        """Whether the store names the file, or the engine's cache has it."""
        found = self.store.find(*artifact.store_keys)
        return found is not None or self._acquirer.cached(artifact) is not None

    def find(self, resolution: Resolution) -> Delivery | None:
        """Return what the store holds complete of `resolution`; open no socket, make nothing."""
        artifact = resolution.artifact
        dummy = resolution.request.weights == "dummy"
        found = self.store.find(*(artifact.dummy_keys if dummy else artifact.store_keys))
        if found is None:
            return None
        batch = resolution.batch
        sha256 = found.sha256 if batch is None else self._derived(found, batch)
        return None if sha256 is None else self.find_complete(resolution, sha256)

    def find_complete(self, resolution: Resolution, sha256: str) -> Delivery | None:
        """Return what the store holds whole of `resolution`, opening no socket; else None.

        Parameters
        ----------
        resolution : Resolution
            What the file must be.
        sha256 : str
            The digest of the file that was delivered before.
        """
        model = original = self.store.find_valid(f"sha256-{sha256}")
        if model is not None and resolution.batch is not None:
            origin = str(model.record.get("derived_from", ""))
            original = self.store.find_valid(f"sha256-{origin}") if origin else None
            if original is None or model.sha256 != self._derived(original, resolution.batch):
                return None
        if model is None or original is None or not self._is(resolution, original):
            return None
        dummy = resolution.request.weights == "dummy"
        others = [
            self.store.find_valid(*(companion.dummy_keys if dummy else companion.store_keys))
            for companion in resolution.companions
        ]
        present = tuple(stored for stored in others if stored is not None)
        if len(present) < len(others):
            return None
        delivery = self._delivery(resolution, original, present, "store")
        return delivery if model is original else replace(delivery, model=model, original=original)

    def inspect(self, delivery: Delivery, folder: Path) -> tuple[Delivery, list[str]]:
        """Read the model in `folder`; return its facts in the delivery, and problems.

        Raises
        ------
        Resnet50Error
            If a file of unknown origin is not what is asked for.
        """
        from cmx_resnet50.delivery.fact_check import check_facts

        resolution = delivery.resolution
        artifact, problems = check_facts(resolution.artifact, folder / resolution.artifact.file)
        return replace(delivery, resolution=replace(resolution, artifact=artifact)), problems

    def fix_batch(self, delivery: Delivery, ready: Path | None = None) -> Delivery:
        """Return `delivery` with the batch made true that was asked for, if any was.

        The result is an object of its own, made once for all who ask.

        Parameters
        ----------
        delivery : Delivery
            What `obtain_published` returned.
        ready : Path, optional
            The result, if something else has made it; it is moved into the store.
        """
        resolution, original = delivery.resolution, delivery.model
        batch, name = resolution.batch, resolution.artifact.file
        if batch is None:
            return delivery

        def make(partial: Path) -> tuple[Digests, dict[str, Any]]:
            from cmx_resnet50.digests import digest_file
            from cmx_resnet50.rewrite import reshape

            partial.unlink(missing_ok=True)
            if ready is None:
                reshape(original.path, partial, batch=batch)
            else:
                shutil.move(ready, partial)
            record = self._acquirer.record(resolution.artifact, delivery.url)
            return digest_file(partial), {
                **record,
                "derived_from": original.sha256,
                "batch": batch,
            }

        model, _ = self.store.obtain([derived_key(original, batch)], make, name=name)
        return replace(delivery, model=model, original=original)

    def has_fixed_batch(self, delivery: Delivery) -> bool:
        """Whether the store has the result of `fix_batch` already."""
        batch = delivery.resolution.batch
        return batch is None or self._derived(delivery.model, batch) is not None

    def _derived(self, original: StoredObject, batch: int) -> str | None:
        found = self.store.find(derived_key(original, batch))
        return None if found is None else found.sha256

    def require_free(self, resolution: Resolution, folder: Path) -> None:
        """Make sure that the files may be placed in `folder`, which the user named.

        To be called before anything is fetched.

        Raises
        ------
        PathTaken
            If a file of the user's has one of their names.
        StoreError
            If the folder cannot be written.
        """
        for artifact in (resolution.artifact, *resolution.companions):
            dummy = resolution.request.weights == "dummy"
            keys = artifact.dummy_keys if dummy else artifact.store_keys
            if artifact is resolution.artifact and resolution.batch is not None:
                original = self.store.find(*keys)
                keys = [] if original is None else [derived_key(original, resolution.batch)]
            self._require_free(folder / artifact.file, keys, resolution)

    def _require_free(self, path: Path, keys: Sequence[str], resolution: Resolution) -> None:
        given = resolution.request.local
        if given is None or not _same_file(Path(given), path):
            self.store.require_free(path, keys, force=self.options.force)

    def place(
        self, delivery: Delivery, folder: Path, *, named: bool = False
    ) -> list[tuple[Path, Placement]]:
        """Fill `folder` with the model and its companions, under their own names.

        Parameters
        ----------
        named : bool
            Whether the user named `folder`.

        Returns
        -------
        list of tuple
            Each file, the model first, and what was done.
        """
        placed = [(folder / name, stored) for stored, name in delivery.files()]
        # What a model names as its external data, the onnx package does not read from a hard link.
        link = all(companion.known for companion in delivery.resolution.companions)
        if named and not link:
            # All, before the first: which files the user's own model has is known only now.
            for path, stored in placed:
                self._require_free(path, [f"sha256-{stored.sha256}"], delivery.resolution)
        return [
            (path, self._filled(delivery, stored, path, named=named, link=link))
            for path, stored in placed
        ]

    def reimport(self, resolution: Resolution, folder: Path, sha256: str) -> Delivery | None:
        """Take what `folder` holds whole into a store that lost it; then as `find_complete`."""
        if resolution.batch is not None or resolution.request.weights == "dummy":
            return None
        from cmx_resnet50.digests import Expected, digest_file

        for artifact in (resolution.artifact, *resolution.companions):
            path = folder / artifact.file
            wanted = artifact.expected
            if artifact is resolution.artifact:
                wanted = Expected(artifact.md5, sha256 or artifact.sha256, artifact.bytes)
            if not wanted.verifiable or path.is_symlink() or not path.is_file():
                continue
            if wanted.mismatch(digest_file(path)) is None:
                self.store.import_file(
                    path,
                    keys=artifact.store_keys,
                    record=self._acquirer.record(artifact, path.as_uri()),
                )
        return self.find_complete(resolution, sha256)

    def place_original(self, delivery: Delivery, folder: Path) -> Placement | None:
        """Fill `folder` with the file before its batch was fixed, if there is one."""
        if delivery.original is None:
            return None
        return self._filled(delivery, delivery.original, folder / delivery.resolution.artifact.file)

    def _filled(
        self,
        delivery: Delivery,
        stored: StoredObject,
        path: Path,
        *,
        named: bool = False,
        link: bool = True,
    ) -> Placement:
        force = self.options.force
        try:
            return self.store.place(stored, path, named=named, force=force, link=link)
        except ObjectMissing:
            # Pruned since it was found: until it has a place, nothing says that it is used.
            with self.store.without_pruning(stored.name):
                self.obtain(delivery.resolution)
                return self.store.place(stored, path, named=named, force=force, link=link)

    def _require_checksum(self, resolution: Resolution) -> None:
        """Refuse a checksum of the user's that is not that of the published file, if it is here."""
        artifact = resolution.artifact
        expected = artifact.expected_download
        if resolution.request.checksum is None or not artifact.known or expected.md5 is None:
            return
        found = self.store.find_valid(f"md5-{expected.md5}")
        problem = None if found is None else expected.mismatch(found.digests)
        if problem is not None:
            raise DigestError(
                f"{artifact.mirror_name} ({artifact.name}) is not the file of the checksum that "
                f"you give: {problem}. Omit the checksum, or correct it."
            )

    @staticmethod
    def _is(resolution: Resolution, model: StoredObject) -> bool:
        artifact = resolution.artifact
        known = {"md5": artifact.md5, "sha256": artifact.sha256}
        if resolution.request.weights == "dummy":
            known = dict(artifact.dummy or {})
        return all(
            known.get(name) in (None, actual)
            for name, actual in (("md5", model.md5), ("sha256", model.sha256))
        )

    def _delivery(
        self,
        resolution: Resolution,
        model: StoredObject,
        companions: tuple[StoredObject, ...],
        origin: str,
    ) -> Delivery:
        artifact = resolution.artifact
        if resolution.request.weights == "dummy":
            url = f"dummy:{artifact.name}"
            return Delivery(resolution, model, companions, origin, True, url)
        url = redact(resolution.request.url or resolution.sources[0])
        if not artifact.known:
            found = self.catalog.find_digest(model.md5, model.sha256)
            if found is not None:
                if found.format != artifact.format:
                    raise Resnet50Error(
                        f"{url} is {found.file} ({found.name}), but {artifact.format} is asked "
                        f"for. Ask _{found.format} with it."
                    )
                artifact = found
                resolution = replace(resolution, artifact=found)
        return Delivery(resolution, model, companions, origin, artifact.verifiable, url)

    def _given(self, resolution: Resolution, given: Path) -> Delivery:
        from cmx_resnet50.delivery.given_file import GivenFile

        taken = GivenFile(self.store, self._acquirer, self.options).take(resolution, given)
        delivery = self._delivery(taken.resolution, taken.model, taken.companions, "local")
        return replace(delivery, verified=taken.verified, url=taken.url)

    def _dummies(self, resolution: Resolution) -> Delivery:
        artifact = resolution.artifact
        model, made = self._acquirer.make_dummy(artifact)
        others = tuple(
            self._acquirer.make_dummy(companion)[0] for companion in resolution.companions
        )
        return self._delivery(resolution, model, others, "dummy" if made else "store")


def _same_file(given: Path, path: Path) -> bool:
    """Whether the user gives the very file that is to be delivered, or the folder that has it."""
    try:
        return any(one.samefile(path) for one in (given, given / path.name) if one.exists())
    except OSError:
        return False
