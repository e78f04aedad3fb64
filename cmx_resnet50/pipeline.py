"""From a resolution to files in place: the one module that joins catalog, fetch and store."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cmx_resnet50 import __version__
from cmx_resnet50.catalog import Artifact, Catalog, Resolution
from cmx_resnet50.errors import Resnet50Error
from cmx_resnet50.options import Options
from cmx_resnet50.store import Store, StoredObject

if TYPE_CHECKING:  # A cached run computes no digest, and does not pay for hashlib.
    from cmx_resnet50.digests import Digests, Expected

RESHAPE_REVISION = 1
"""Raised when ``reshape`` writes other bytes, so that old results answer no longer."""
BY_HAND = "any folder; then run again with CM_RESNET50_MIRROR=file:///THAT/FOLDER"
UNPACKED_LIMIT = 4 << 30
"""Bytes that an archive of unknown origin may unpack to; known ones state their own bound."""


@dataclass(frozen=True)
class Delivery:
    """The objects that a resolution came to, and where the bytes came from.

    `origin` is ``fetched``, ``store``, ``local`` or ``dummy``.
    """

    resolution: Resolution
    model: StoredObject
    companions: tuple[StoredObject, ...]
    origin: str
    verified: bool
    url: str
    original: StoredObject | None = None
    """The file before its batch was fixed, where `model` is derived from it."""

    @property
    def private(self) -> bool:
        """Whether this must never answer another request: random weights, unknown local files."""
        request = self.resolution.request
        return request.weights == "dummy" or (request.local is not None and not self.verified)

    def files(self) -> list[tuple[StoredObject, str]]:
        """Every object with its file name, the model first."""
        names = [self.resolution.artifact, *self.resolution.companions]
        objects = [self.model, *self.companions]
        return [(stored, artifact.file) for stored, artifact in zip(objects, names, strict=True)]


class Pipeline:
    """Obtains artifacts through one store with one set of options.

    Parameters
    ----------
    catalog : Catalog
        The table of artifacts.
    options : Options
        What the user set.
    silent : bool
        Whether to print no progress.
    """

    def __init__(self, catalog: Catalog, options: Options, *, silent: bool = False) -> None:
        self.catalog = catalog
        self.options = options
        self.silent = silent
        self.store = Store(options.store)

    def obtain(self, resolution: Resolution, extra_sources: Sequence[str] = ()) -> Delivery:
        """Return the objects of `resolution`, fetched or made only where the store lacks them.

        Parameters
        ----------
        resolution : Resolution
            What to obtain.
        extra_sources : sequence of str
            The user's own further URLs (``CM_DOWNLOAD_URL1..4``), asked last.

        Raises
        ------
        Resnet50Error
            If no source gives the right bytes.
        """
        return self.shape(self.plain(resolution, extra_sources))

    def plain(
        self, resolution: Resolution, extra_sources: Sequence[str] = (), *, brought: bool = False
    ) -> Delivery:
        """Do what `obtain` does, but leave the batch as it is in the published file.

        With `brought`, the source is a file that another tool fetched from the artifact's URL.
        """
        if resolution.request.weights == "dummy":
            return self._dummies(resolution)
        if resolution.request.local is not None:
            return self._adopted(resolution, Path(resolution.request.local))
        sources = [*resolution.sources, *extra_sources]
        named = resolution.request.url is not None
        model, made = self._fetched(
            resolution.artifact, sources, named_by_user=named, brought=brought
        )
        others = []
        for companion in resolution.companions:
            stored, fetched = self._fetched(companion, [companion.url, *companion.mirrors])
            others.append(stored)
            made = made or fetched
        return self._delivery(resolution, model, tuple(others), "fetched" if made else "store")

    def recall(self, resolution: Resolution, sha256: str) -> Delivery | None:
        """Return what the store holds whole of `resolution`, opening no socket; else None.

        Parameters
        ----------
        resolution : Resolution
            What the file must be.
        sha256 : str
            The digest of the file that was delivered before.
        """
        model = original = self._whole(f"sha256-{sha256}")
        if model is not None and resolution.batch is not None:
            origin = str(model.record.get("derived_from", ""))
            original = self._whole(f"sha256-{origin}") if origin else None
            if original is None or model.sha256 != self._derived(original, resolution.batch):
                return None
        if model is None or original is None or not self._is(resolution, original):
            return None
        names = dummy_keys if resolution.request.weights == "dummy" else keys
        others = [self._whole(*names(companion)) for companion in resolution.companions]
        present = tuple(stored for stored in others if stored is not None)
        if len(present) < len(others):
            return None
        delivery = self._delivery(resolution, original, present, "store")
        return delivery if model is original else replace(delivery, model=model, original=original)

    def inspect(self, delivery: Delivery, folder: Path) -> tuple[Delivery, list[str]]:
        """Read the model that lies in `folder`; return its facts in the delivery, and problems.

        Raises
        ------
        Resnet50Error
            If a file of unknown origin is not what is asked for.
        """
        from cmx_resnet50.truth import described

        resolution = delivery.resolution
        artifact, problems = described(resolution.artifact, folder / resolution.artifact.file)
        return replace(delivery, resolution=replace(resolution, artifact=artifact)), problems

    def shape(self, delivery: Delivery, ready: Path | None = None) -> Delivery:
        """Return `delivery` with the batch made true that was asked for, if any was.

        The result is an object of its own, made once for all who ask.

        Parameters
        ----------
        delivery : Delivery
            What `plain` returned.
        ready : Path, optional
            The result, if something else has made it; it is moved into the store.
        """
        resolution, original = delivery.resolution, delivery.model
        batch, name = resolution.batch, resolution.artifact.file
        if batch is None:
            return delivery

        def make(partial: Path) -> tuple[Digests, dict[str, Any]]:
            from cmx_resnet50.digests import digest_file
            from cmx_resnet50.reshape import reshape

            partial.unlink(missing_ok=True)
            if ready is None:
                reshape(original.path, partial, batch=batch)
            else:
                shutil.move(ready, partial)
            record = self.record(resolution.artifact, delivery.url)
            return digest_file(partial), {
                **record,
                "derived_from": original.sha256,
                "batch": batch,
            }

        model, _ = self.store.obtain([derived_key(original, batch)], make, name=name)
        return replace(delivery, model=model, original=original)

    def is_shaped(self, delivery: Delivery) -> bool:
        """Whether the store has the result of `shape` already."""
        batch = delivery.resolution.batch
        return batch is None or self._derived(delivery.model, batch) is not None

    def _derived(self, original: StoredObject, batch: int) -> str | None:
        found = self.store.find(derived_key(original, batch))
        return None if found is None else found.sha256

    def place(self, delivery: Delivery, folder: Path) -> list[tuple[Path, str]]:
        """Fill `folder` with the model and its companions, under their own names.

        Returns
        -------
        list of tuple
            Each file that had to be filled, and what stood there: see `Placement.was`.
        """
        placed = [(folder / name, stored) for stored, name in delivery.files()]
        done = [(path, self.store.place(stored, path)) for path, stored in placed]
        return [(path, placement.was) for path, placement in done if placement.changed]

    def restore(self, resolution: Resolution, folder: Path, sha256: str) -> Delivery | None:
        """Take what `folder` holds whole into a store that lost it; then as `recall`."""
        if resolution.batch is not None or resolution.request.weights == "dummy":
            return None
        from cmx_resnet50.digests import Expected, digest_file

        for artifact in (resolution.artifact, *resolution.companions):
            path = folder / artifact.file
            wanted = expected(artifact)
            if artifact is resolution.artifact:
                wanted = Expected(artifact.md5, sha256 or artifact.sha256, artifact.bytes)
            if not wanted.verifiable or path.is_symlink() or not path.is_file():
                continue
            if wanted.mismatch(digest_file(path)) is None:
                self.store.adopt(
                    path, keys=keys(artifact), record=self.record(artifact, path.as_uri())
                )
        return self.recall(resolution, sha256)

    def place_original(self, delivery: Delivery, folder: Path) -> None:
        """Fill `folder` with the file before its batch was fixed, if there is one."""
        if delivery.original is not None:
            self.store.place(delivery.original, folder / delivery.resolution.artifact.file)

    def _whole(self, *names: str) -> StoredObject | None:
        stored = self.store.find(*names)
        if stored is None or self.store.check(stored):
            return stored
        return self.store.salvage(stored.sha256)

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
        url = resolution.request.url or resolution.sources[0]
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

    def _fetched(
        self,
        artifact: Artifact,
        urls: Sequence[str],
        *,
        named_by_user: bool = False,
        brought: bool = False,
    ) -> tuple[StoredObject, bool]:
        def make(partial: Path) -> tuple[Digests, dict[str, Any]]:
            archive = artifact.archive
            target = partial if archive is None else partial.with_name(partial.name + ".archive")
            digests, url = self._bring(artifact, urls, target, named_by_user=named_by_user)
            record = self.record(artifact, artifact.url if brought else url)
            if archive is not None:
                from cmx_resnet50.unpack import gunzip

                record["archive"] = digests.__dict__
                limit = archive.get("max_unpacked_bytes") or UNPACKED_LIMIT
                digests = gunzip(target, partial, limit=limit)
                target.unlink()
            problem = expected(artifact).mismatch(digests)
            if problem is not None:
                partial.unlink()
                raise Resnet50Error(f"{artifact.file} from {url}: {problem}.")
            _refuse_other_formats(artifact, partial)
            return digests, record

        return self.store.obtain(keys(artifact), make, name=artifact.file)

    def _bring(
        self, artifact: Artifact, urls: Sequence[str], target: Path, *, named_by_user: bool
    ) -> tuple[Digests, str]:
        """Fetch what `artifact` is delivered as; return its digests, and the URL that gave it."""
        from cmx_resnet50.fetch import FetchError, FetchOptions, Source, fetch
        from cmx_resnet50.progress import progress_for

        options = self.options
        by_tool = artifact.tool is not None and artifact.url in urls and not options.offline
        sources = [Source(url, named_by_user=True) for url in self._site_urls(artifact)]
        sources += [
            Source(url, named_by_user=named_by_user and index == 0)
            for index, url in enumerate(urls)
            if not (by_tool and url == artifact.url)
        ]
        if sources:
            try:
                found = fetch(
                    sources,
                    expected(artifact) if artifact.archive is None else expected_archive(artifact),
                    target,
                    name=site_name(artifact),
                    options=FetchOptions(
                        connections=options.connections,
                        connect_timeout=options.connect_timeout,
                        read_timeout=options.read_timeout,
                        retry_budget=options.retry_budget,
                        stall_seconds=options.stall_seconds,
                        offline=options.offline,
                    ),
                    progress=progress_for(self.silent),
                    place_hint=BY_HAND,
                )
                return found.digests, found.url
            except FetchError:
                if not by_tool:
                    raise
        from cmx_resnet50 import drive
        from cmx_resnet50.digests import digest_file

        drive.download(artifact, target, silent=self.silent)
        return digest_file(target), artifact.url

    def _site_urls(self, artifact: Artifact) -> list[str]:
        what = artifact.archive or {"md5": artifact.md5, "sha256": artifact.sha256}
        names = [f"{kind}/{what[kind]}" for kind in ("sha256", "md5") if what.get(kind)]
        names.append(site_name(artifact))
        return [f"{prefix.rstrip('/')}/{name}" for prefix in self.options.mirror for name in names]

    def _adopted(self, resolution: Resolution, given: Path) -> Delivery:
        artifact = resolution.artifact
        path = given / artifact.file if given.is_dir() else given
        if given.is_dir() and not path.is_file() and (given / site_name(artifact)).is_file():
            path = given / site_name(artifact)
        if not path.is_file():
            raise Resnet50Error(f"The given file {path} does not exist, or is no file.")
        from cmx_resnet50.digests import digest_file

        digests = digest_file(path)
        packed = expected_archive(artifact)
        if packed.verifiable and packed.mismatch(digests) is None:
            # Only the archive's digest is published: what is in it cannot be compared itself.
            stored, _ = self._fetched(artifact, [path.as_uri()])
            delivery = self._delivery(resolution, stored, (), "local")
            return replace(delivery, verified=True, url=path.as_uri())
        problem = expected(artifact).mismatch(digests)
        if problem is None and not expected(artifact).verifiable:
            problem = "no digest of it is known"
        if problem is not None and not self.options.accept_any:
            raise Resnet50Error(
                f"The given file {path} is not {artifact.file} ({artifact.name}): {problem}. "
                "To use it all the same, unverified, set CM_RESNET50_ACCEPT_ANY=yes."
            )
        if problem is not None:
            from cmx_resnet50.formats import read_facts

            read_facts(path, artifact.format)
        names = keys(artifact) if problem is None else [f"sha256-{digests.sha256}"]
        stored = self.store.adopt(path, keys=names, record=self.record(artifact, path.as_uri()))
        others = tuple(self._beside(companion, path.parent) for companion in resolution.companions)
        if problem is not None:
            unknown = replace(artifact, md5=None, sha256=None, bytes=None, top1=None, known=False)
            resolution = replace(resolution, artifact=unknown)
        return replace(
            self._delivery(resolution, stored, others, "local"),
            verified=problem is None,
            url=path.as_uri(),
        )

    def _beside(self, companion: Artifact, folder: Path) -> StoredObject:
        path = folder / companion.file
        if path.is_file() and not self.options.accept_any:
            return self._fetched(companion, [path.as_uri(), companion.url, *companion.mirrors])[0]
        if path.is_file():
            return self.store.adopt(path, record=self.record(companion, path.as_uri()))
        return self._fetched(companion, [companion.url, *companion.mirrors])[0]

    def _dummies(self, resolution: Resolution) -> Delivery:
        artifact = resolution.artifact
        if artifact.dummy is None:
            raise Resnet50Error(
                f"_dummy-weights: no random weights are made for {artifact.name}, only for "
                + ", ".join(a.name for a in self.catalog.artifacts.values() if a.dummy)
                + "."
            )
        model, made = self._dummy(artifact)
        others = tuple(self._dummy(companion)[0] for companion in resolution.companions)
        return self._delivery(resolution, model, others, "dummy" if made else "store")

    def _dummy(self, artifact: Artifact) -> tuple[StoredObject, bool]:
        facts = artifact.dummy
        if facts is None:
            raise Resnet50Error(f"_dummy-weights: none are made for {artifact.name}.")

        def make(partial: Path) -> tuple[Digests, dict[str, Any]]:
            from cmx_resnet50.digests import Expected, digest_file
            from cmx_resnet50.dummy import write

            wanted = Expected(facts["md5"], facts["sha256"], facts["bytes"])

            write(artifact.name, partial)
            digests = digest_file(partial)
            problem = wanted.mismatch(digests)
            if problem is not None:
                raise Resnet50Error(f"The random weights made here are not the usual: {problem}.")
            return digests, self.record(artifact, f"dummy:{artifact.name}")

        return self.store.obtain(dummy_keys(artifact), make, name=artifact.file)

    def record(self, artifact: Artifact, url: str) -> dict[str, Any]:
        """Return the provenance of a file that comes from `url` now."""
        from datetime import datetime, timezone

        return {
            "artifact": artifact.name,
            "file": artifact.file,
            "url": url,
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "plugin": __version__,
            "licence": artifact.licence,
        }


def _refuse_other_formats(artifact: Artifact, partial: Path) -> None:
    """Refuse a file of unknown origin that is no model of its format, before it is an object."""
    if not artifact.verifiable:
        from cmx_resnet50.formats import read_facts

        try:
            read_facts(partial, artifact.format)
        except Resnet50Error as error:
            partial.unlink()
            text = str(error).replace(str(partial), artifact.url)
            raise Resnet50Error(f"{text}. It is not taken.") from error


def expected(artifact: Artifact) -> Expected:
    """Return what is known of the delivered file."""
    from cmx_resnet50.digests import Expected

    return Expected(artifact.md5, artifact.sha256, artifact.bytes)


def expected_archive(artifact: Artifact) -> Expected:
    """Return what is known of the archive that is fetched in place of the file."""
    from cmx_resnet50.digests import Expected

    archive = artifact.archive or {}
    return Expected(archive.get("md5"), archive.get("sha256"), archive.get("bytes"))


def keys(artifact: Artifact) -> list[str]:
    """Return the names under which the store may hold the file, the surest first."""
    archive = artifact.archive or {}
    names = [
        f"{prefix}-{digest}"
        for prefix, digest in (
            ("sha256", artifact.sha256),
            ("md5", artifact.md5),
            ("archive-sha256", archive.get("sha256")),
            ("archive-md5", archive.get("md5")),
        )
        if digest
    ]
    if not names:
        from hashlib import sha256

        names.append(f"url-{sha256(artifact.url.encode()).hexdigest()}")
    return names


def dummy_keys(artifact: Artifact) -> list[str]:
    """Return the name under which the store holds the random weights of `artifact`."""
    return [f"sha256-{artifact.dummy['sha256']}"] if artifact.dummy else []


def derived_key(original: StoredObject, batch: int) -> str:
    """Return the name under which the store holds `original` with a fixed batch."""
    return f"derived-{original.sha256}-batch-{batch}-r{RESHAPE_REVISION}"


def site_name(artifact: Artifact) -> str:
    """Return the name of the fetched file at a site mirror: the archive's where there is one."""
    name = urlsplit(artifact.url).path.rpartition("/")[2]
    return name if artifact.archive is not None and name else artifact.file
