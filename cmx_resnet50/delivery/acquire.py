"""One artifact into the store: from its sources, or as random weights."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cmx_resnet50
from cmx_resnet50.catalog.table import Artifact
from cmx_resnet50.errors import DigestError, Resnet50Error
from cmx_resnet50.options import Options
from cmx_resnet50.progress import Progress
from cmx_resnet50.redaction import redact
from cmx_resnet50.store import Store, StoredObject
from cmx_resnet50.wording import RUN

if TYPE_CHECKING:  # A cached run computes no digest, and does not pay for hashlib.
    from cmx_resnet50.digests import Digests, Expected

UNPACKED_LIMIT = 4 << 30
"""Bytes that an archive of unknown origin may unpack to; known ones state their own bound."""


class Acquirer:
    """Fetches or makes single files for one store, with one set of options.

    Parameters
    ----------
    store : Store
        Where the objects go.
    options : Options
        What the user set.
    progress : Progress
        Shows transfers.
    cache : Path, optional
        The cache of the engine that runs, which may have the file already.
    """

    def __init__(
        self, store: Store, options: Options, progress: Progress, cache: Path | None = None
    ) -> None:
        self.store = store
        self.options = options
        self.progress = progress
        self.cache = cache

    def fetch(
        self,
        artifact: Artifact,
        urls: Sequence[str],
        *,
        named_by_user: bool = False,
        by_other_tool: bool = False,
    ) -> tuple[StoredObject, bool]:
        """Return the object of `artifact`, and whether it had to be fetched.

        Parameters
        ----------
        artifact : Artifact
            What to fetch.
        urls : sequence of str
            Where it may be, in order; a site's own mirrors are asked first.
        named_by_user : bool
            Whether the first URL is the user's own choice.
        by_other_tool : bool
            Whether the first URL is a file that another tool fetched from the artifact's URL.
        """

        def make(partial: Path) -> tuple[Digests, dict[str, Any]]:
            if artifact.archive is None:
                digests, url = self._download(artifact, urls, partial, named_by_user=named_by_user)
                record = self.record(artifact, artifact.url if by_other_tool else url)
            elif artifact.archive_keys:
                get = functools.partial(
                    self.fetch_archive,
                    artifact,
                    urls,
                    named_by_user=named_by_user,
                    by_other_tool=by_other_tool,
                )
                packed, digests = _unpacked(artifact, get, partial)
                url = str(packed.record.get("url", artifact.url))
                record = self._unpacked_record(artifact, url, packed.digests)
            else:
                # Nothing says that these bytes are right: they are not kept for a mirror.
                source = partial.with_name(f"{partial.name}.archive")
                given, url = self._download(artifact, urls, source, named_by_user=named_by_user)
                try:
                    digests = _unpack(artifact, source, partial)
                finally:
                    source.unlink()
                record = self._unpacked_record(
                    artifact, artifact.url if by_other_tool else url, given
                )
            problem = self._with_recorded(artifact.expected).mismatch(digests)
            if problem is not None:
                partial.unlink()
                raise DigestError(f"{artifact.file} from {url}: {problem}.")
            _reject_other_formats(artifact, partial)
            return digests, record

        with self.store.verified.explained(artifact.md5):
            stored, made = self.store.obtain(artifact.store_keys, make, name=artifact.file)
        if made and artifact.md5:
            self.store.verified.record(stored.md5, stored.sha256)
        return stored, made

    def fetch_archive(
        self,
        artifact: Artifact,
        urls: Sequence[str],
        *,
        named_by_user: bool = False,
        by_other_tool: bool = False,
    ) -> StoredObject:
        """Return the archive that `artifact` comes in, whose digest is known, as an object.

        It is kept beside what is in it, which about doubles the room on the disk: a site's
        mirror is asked for the archive, because nobody publishes a digest of the content.

        Parameters
        ----------
        artifact, urls, named_by_user, by_other_tool
            As for `fetch`.
        """

        def make(partial: Path) -> tuple[Digests, dict[str, Any]]:
            digests, url = self._download(artifact, urls, partial, named_by_user=named_by_user)
            return digests, self._archive_record(artifact, artifact.url if by_other_tool else url)

        name, md5 = artifact.mirror_name, (artifact.archive or {}).get("md5")
        with self.store.verified.explained(md5):
            stored, made = self.store.obtain(artifact.archive_keys, make, name=name)
        if made and md5:
            self.store.verified.record(stored.md5, stored.sha256)
        return stored

    def import_archive(self, artifact: Artifact, path: Path) -> None:
        """Take the user's own archive, which was compared already, as `fetch_archive` keeps it."""
        record = self._archive_record(artifact, path.as_uri())
        self.store.import_file(path, keys=artifact.archive_keys, record=record)

    def cached(self, artifact: Artifact) -> Path | None:
        """Return the file of the engine's cache with the very bytes that would be fetched."""
        if self.cache is None:
            return None
        from cmx_resnet50.delivery.engine_cache import find_cached

        expected = self._with_recorded(artifact.expected_download)
        return find_cached(self.cache, artifact.mirror_name, expected)

    def _download(
        self, artifact: Artifact, urls: Sequence[str], target: Path, *, named_by_user: bool
    ) -> tuple[Digests, str]:
        """Fetch what `artifact` is delivered as; return its digests, and the URL that gave it."""
        from cmx_resnet50.fetch import FetchOptions, Source, fetch

        options = self.options
        cached = self.cached(artifact)
        here = [] if cached is None else [cached.as_uri()]
        near = [*here, *site_urls(artifact, options.mirror)]
        sources = [Source(url, named_by_user=True, of_mirror=True) for url in near]
        sources += [
            Source(url, named_by_user=named_by_user and index == 0)
            for index, url in enumerate(urls)
        ]
        found = fetch(
            sources,
            self._with_recorded(artifact.expected_download),
            target,
            name=artifact.mirror_name,
            options=FetchOptions(
                connections=options.connections,
                connect_timeout=options.connect_timeout,
                read_timeout=options.read_timeout,
                retry_budget=options.retry_budget,
                stall_seconds=options.stall_seconds,
                offline=options.offline,
            ),
            progress=self.progress,
            place_hint=_place_hint(artifact),
        )
        if found.url not in here:
            return found.digests, found.url
        self.store.notify(f"{artifact.mirror_name}: taken from {cached}, not fetched")
        return found.digests, artifact.url

    def make_dummy(self, artifact: Artifact) -> tuple[StoredObject, bool]:
        """Return the object with random weights in place of `artifact`, and whether it was made."""
        if artifact.dummy is None:
            raise Resnet50Error(f"_dummy-weights: there are none for {artifact.name}.")

        def make(partial: Path) -> tuple[Digests, dict[str, Any]]:
            from cmx_resnet50.digests import digest_file
            from cmx_resnet50.dummy import write

            write(artifact.name, partial)
            digests = digest_file(partial)
            problem = artifact.expected_dummy.mismatch(digests)
            if problem is not None:
                raise DigestError(f"The random weights made here are not as usual: {problem}.")
            return digests, self.record(artifact, f"dummy:{artifact.name}")

        return self.store.obtain(artifact.dummy_keys, make, name=artifact.file)

    def _with_recorded(self, expected: Expected) -> Expected:
        """Return what is expected, with the sha256 that the first download of its md5 had."""
        if expected.sha256 is not None or expected.md5 is None:
            return expected
        return replace(expected, sha256=self.store.verified.sha256_of(expected.md5))

    def _archive_record(self, artifact: Artifact, url: str) -> dict[str, Any]:
        return {**self.record(artifact, url), "file": artifact.mirror_name}

    def _unpacked_record(self, artifact: Artifact, url: str, packed: Digests) -> dict[str, Any]:
        return {**self.record(artifact, url), "archive": dict(vars(packed))}

    def record(self, artifact: Artifact, url: str) -> dict[str, Any]:
        """Return the provenance of a file that comes from `url` now."""
        from datetime import datetime, timezone

        return {
            "artifact": artifact.name,
            "file": artifact.file,
            "url": redact(url),
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "plugin": cmx_resnet50.__version__,
            "license": artifact.license,
        }


def site_urls(artifact: Artifact, mirrors: Sequence[str]) -> list[str]:
    """Return where the site's `mirrors` may have the file, by digest and by name."""
    if not artifact.verifiable:
        # Without a digest, nothing would tell the mirror's file of that name from the user's.
        return []
    what = artifact.archive or {"md5": artifact.md5, "sha256": artifact.sha256}
    names = [f"{kind}/{what[kind]}" for kind in ("sha256", "md5") if what.get(kind)]
    names.append(artifact.mirror_name)
    return [_below(prefix, name) for prefix in mirrors for name in names]


def _place_hint(artifact: Artifact) -> str:
    """Return where a file fetched manually belongs, and how it is given."""
    if artifact.companions or artifact.companion_key is not None:
        return f"a folder with all files of the model; then run {RUN}VARIATIONS --checkpoint=FOLDER"
    return f"any folder; then run {RUN}VARIATIONS --checkpoint=FILE"


def _below(prefix: str, name: str) -> str:
    """Return the URL of `name` below a mirror's prefix; a query, often a key, stays the last."""
    if not prefix.startswith(("https://", "http://")):
        # Elsewhere these characters are part of a name.
        return f"{prefix.rstrip('/')}/{name}"
    path, mark, query = prefix.partition("?")
    return f"{path.rstrip('/')}/{name}{mark}{query}"


def _unpack(artifact: Artifact, source: Path, partial: Path) -> Digests:
    from cmx_resnet50.gunzip import gunzip

    limit = (artifact.archive or {}).get("max_unpacked_bytes") or UNPACKED_LIMIT
    return gunzip(source, partial, limit=limit, name=artifact.mirror_name)


def _unpacked(
    artifact: Artifact, packed: Callable[[], StoredObject], partial: Path
) -> tuple[StoredObject, Digests]:
    """Unpack an archive of the store, which `packed` returns."""
    while True:
        stored = packed()
        # Until its content is an object, nothing says that it is used: where it is pruned in
        # between, it is fetched again.
        with suppress(FileNotFoundError):
            return stored, _unpack(artifact, stored.path, partial)


def _reject_other_formats(artifact: Artifact, partial: Path) -> None:
    """Reject a file of unknown origin that is not a model of its format, before it is an object."""
    if not artifact.verifiable:
        from cmx_resnet50.formats import read_facts

        try:
            facts = read_facts(partial, artifact.format)
            if not facts.complete:
                raise Resnet50Error(
                    f"{partial}: {facts.warnings[0]}; a URL is that of one file, so fetch all of "
                    "them into a folder, and give that with --checkpoint=FOLDER"
                )
        except Resnet50Error as error:
            partial.unlink()
            text = str(error).replace(str(partial), redact(artifact.url))
            raise Resnet50Error(f"{text}. Rejected.") from error
