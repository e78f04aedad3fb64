"""The user's own file in place of a download: found, unpacked, compared, taken or refused.

What is refused is described, as ``inspect`` does. Only a model of the right format that is not the
published one is offered to be taken unverified.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from cmx_resnet50.catalog.table import Artifact, Resolution
from cmx_resnet50.delivery.acquire import UNPACKED_LIMIT, Acquirer
from cmx_resnet50.errors import DigestError, Resnet50Error, see
from cmx_resnet50.limits import because
from cmx_resnet50.options import Options
from cmx_resnet50.store import Store, StoredObject
from cmx_resnet50.wording import ACCEPT_ANY

if TYPE_CHECKING:
    from cmx_resnet50.formats.facts import ModelFacts

_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"
_LOOKED_AT = 100
"""Members of a zip file at most; a model comes with few others."""
_SHOWN = 5
_TORCH = "data.pkl"
"""A member of each zip file that PyTorch writes: a model, not an archive with one."""
_ADVICE = "Give the model file itself, or a .gz or .zip file with it alone."


@dataclass(frozen=True)
class Taken:
    """What came of the file: objects, and the resolution with what is known of them now."""

    resolution: Resolution
    model: StoredObject
    companions: tuple[StoredObject, ...]
    verified: bool
    url: str


@dataclass(frozen=True)
class _File:
    """A file with what errors call it: the one given, or one unpacked from it."""

    path: Path
    name: str
    given: Path

    @property
    def url(self) -> str:
        return self.given.as_uri()


class GivenFile:
    """Takes the file that a request names into one store, with one set of options."""

    def __init__(self, store: Store, acquirer: Acquirer, options: Options) -> None:
        self._store = store
        self._acquirer = acquirer
        self._options = options

    def take(self, resolution: Resolution, given: Path) -> Taken:
        """Return the objects of the file `given`, or of the one in the folder of that name.

        Raises
        ------
        DigestError
            If it is another model than `resolution` means, and any is not accepted.
        Resnet50Error
            If it is missing, cannot be read, or is not a model of the right format.
        """
        artifact = resolution.artifact
        path = _located(given, artifact)
        try:
            if self._is_archive(artifact, path):
                # Only the archive's digest is published: its content cannot be compared itself.
                self._acquirer.import_archive(artifact, path)
                stored, _ = self._acquirer.fetch(artifact, [path.as_uri()])
                return Taken(resolution, stored, (), True, path.as_uri())
            with self._opened(artifact, path) as file:
                return self._take(resolution, file)
        except OSError as error:
            if error.filename != str(path):
                raise
            raise Resnet50Error(
                f"The given file {path} cannot be read "
                + because(error, "Make it readable for this user, or give another one.")
            ) from error

    def _take(self, resolution: Resolution, file: _File) -> Taken:
        artifact = resolution.artifact
        problem = self._problem(artifact, file.path)
        if problem is not None or not artifact.known:
            facts = _model(artifact, file, problem)
            if problem is not None and not self._options.accept_any:
                raise DigestError(
                    f"{_is_not(artifact, file)}: {problem}. "
                    f"To use it all the same, unverified, set {ACCEPT_ANY}. " + see("notes")
                )
            data = _data_files(resolution, facts, file)
            resolution = replace(resolution, companions=(*resolution.companions, *data))
        if problem is not None:
            unknown = replace(artifact, md5=None, sha256=None, bytes=None, top1=None, known=False)
            resolution = replace(resolution, artifact=unknown)
        stored = self._store.import_file(
            file.path,
            keys=artifact.store_keys if problem is None else (),
            record=self._acquirer.record(artifact, file.url),
            move=file.path != file.given,
            name=file.name,
        )
        others = tuple(self._beside(one, file.given.parent) for one in resolution.companions)
        return Taken(resolution, stored, others, problem is None, file.url)

    def _is_archive(self, artifact: Artifact, path: Path) -> bool:
        """Whether the file at `path` is the archive in which `artifact` is published."""
        from cmx_resnet50.digests import digest_file

        packed = artifact.expected_archive
        return (
            packed.verifiable
            and packed.implausible(path.stat().st_size) is None
            and packed.mismatch(digest_file(path)) is None
        )

    @staticmethod
    def _problem(artifact: Artifact, path: Path) -> str | None:
        """Say why the file at `path` is not known to be the artifact; None if it is."""
        from cmx_resnet50.digests import digest_file

        expected = artifact.expected
        if not expected.verifiable:
            return "no digest of it is known"
        # Read only if it can be the right one: it may have hundreds of GB.
        return expected.implausible(path.stat().st_size) or expected.mismatch(digest_file(path))

    @contextmanager
    def _opened(self, artifact: Artifact, path: Path) -> Iterator[_File]:
        """Yield the file, or what it holds where it is packed; that is removed in the end."""
        with open(path, "rb") as opened:
            magic = opened.read(4)
        if magic.startswith(_GZIP):
            with self._temporary(path) as target:
                self._gunzip(artifact, path, target)
                yield _File(target, f"{path} (gzip data, unpacked)", path)
        elif magic == _ZIP:
            with self._temporary(path) as target:
                member = self._unzip(artifact, path, target)
                name = f"{member} in {path}" if member else str(path)
                yield _File(target if member else path, name, path)
        else:
            yield _File(path, str(path), path)

    @contextmanager
    def _temporary(self, path: Path) -> Iterator[Path]:
        with self._store.writing(path.name, None):
            target = self._store.layout.temporary()
            try:
                yield target
            finally:
                target.unlink(missing_ok=True)

    def _limit(self, artifact: Artifact) -> int:
        """Return how many bytes an unpacked file may have."""
        most = None if self._options.accept_any else artifact.expected.most
        return UNPACKED_LIMIT if most is None else most

    def _gunzip(self, artifact: Artifact, path: Path, target: Path) -> None:
        from cmx_resnet50.gunzip import UnpackError, gunzip

        try:
            gunzip(path, target, limit=self._limit(artifact), name=str(path))
        except UnpackError as error:
            raise _refused(artifact, path, f"gzip data: {error}") from error

    def _unzip(self, artifact: Artifact, path: Path, target: Path) -> str:
        """Unpack the one model in a zip file; return its name, none if the file is a model."""
        from cmx_resnet50 import unzip
        from cmx_resnet50.formats.recognise import HEAD, recognise
        from cmx_resnet50.gunzip import UnpackError

        try:
            with unzip.opened(path) as archive:
                files = archive.files if archive is not None else []
                if archive is None and recognise(_ZIP) != artifact.format:
                    raise _refused(artifact, path, "a zip archive that is damaged or truncated")
                if archive is None or any(_base(info.filename) == _TORCH for info in files):
                    return ""
                found = [
                    info
                    for info in files[:_LOOKED_AT]
                    if _base(info.filename) == artifact.file
                    or recognise(archive.head(info, HEAD)) == artifact.format
                ]
                if len(found) != 1 or len(files) > _LOOKED_AT:
                    names = [_printable(info.filename) for info in files[:_SHOWN]]
                    rest = f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
                    held = f"{', '.join(names) or 'nothing'}{rest}"
                    raise _refused(
                        artifact,
                        path,
                        f"a zip archive that holds {held}; one of these, and only one, must be a "
                        f"model for {artifact.format}. Unpack it, and give the file",
                    )
                archive.extract(found[0], target, limit=self._limit(artifact))
        except UnpackError as error:
            raise _refused(artifact, path, f"a zip archive: {error}") from error
        return _printable(found[0].filename)

    def _beside(self, companion: Artifact, folder: Path) -> StoredObject:
        path = folder / companion.file
        if path.is_file() and (self._options.accept_any or not companion.known):
            return self._store.import_file(
                path, record=self._acquirer.record(companion, path.as_uri())
            )
        own = [path.as_uri()] if path.is_file() else []
        return self._acquirer.fetch(companion, [*own, companion.url, *companion.mirrors])[0]


def _located(given: Path, artifact: Artifact) -> Path:
    """Return the file, which may be in the folder `given` under its own name or its archive's."""
    path = given / artifact.file if given.is_dir() else given
    if given.is_dir() and not path.is_file() and (given / artifact.mirror_name).is_file():
        path = given / artifact.mirror_name
    if not path.is_file():
        raise Resnet50Error(f"The given file {path} does not exist, or is not a regular file.")
    return path


def _model(artifact: Artifact, file: _File, problem: str | None) -> ModelFacts:
    """Return the facts of a file that is not the published one.

    Raises
    ------
    Resnet50Error
        If it is not a model of the right format: it is not worth an offer to take it.
    """
    from cmx_resnet50.formats import read_facts
    from cmx_resnet50.formats.facts import Damaged, FormatError, NotAModel
    from cmx_resnet50.formats.recognise import HEAD, describe

    try:
        return read_facts(file.path, artifact.format)
    except NotAModel as error:
        with open(file.path, "rb") as opened:
            looks = describe(opened.read(HEAD))
        raise DigestError(
            f"{_is_not(artifact, file)} but {looks}. {_ADVICE} {see('notes')}"
        ) from error
    except FormatError as error:
        reason = str(error).replace(f"{file.path}: ", "").replace(str(file.path), "it")
        what = f"it is damaged: {reason}" if isinstance(error, Damaged) else reason
        why = f"{problem}. {what[0].upper()}{what[1:]}" if problem else what
        raise DigestError(f"{_is_not(artifact, file)}: {why}. {see('notes')}") from error


def _data_files(resolution: Resolution, facts: ModelFacts, file: _File) -> list[Artifact]:
    """Return the further files of an ONNX model whose weights are elsewhere, as artifacts.

    Raises
    ------
    Resnet50Error
        If one is not next to it or is cut, or cannot be delivered.
    """
    artifact = resolution.artifact
    if not facts.files:
        return []
    if not facts.complete:
        raise Resnet50Error(
            f"{file.name} is not complete: {facts.warnings[0]}. Give a folder that holds "
            f"{artifact.file} and that file as they were saved, or a model with its weights in it."
        )
    names = list(dict.fromkeys(str(PurePosixPath(name)) for name in facts.files))
    if artifact.file in names:
        raise Resnet50Error(
            f"{file.name} has its weights in {artifact.file}, the name under which the model "
            "itself is delivered. Save it with another name for its external data."
        )
    if resolution.batch is not None:
        raise Resnet50Error(
            f"{file.name} has its weights in other files ({', '.join(names[:_SHOWN])}), so its "
            "batch cannot be fixed here. Fix it first, which makes one file, and give that one: "
            f"cmx-resnet50 reshape '{file.given}' fixed.onnx --batch {resolution.batch}"
        )
    return [
        Artifact(
            url=(file.given.parent / name).as_uri(),
            name=f"{artifact.name}-data",
            file=name,
            format=artifact.format,
            known=False,
        )
        for name in names
    ]


def _refused(artifact: Artifact, path: Path, what: str) -> DigestError:
    return DigestError(
        f"The given file {path} is not {artifact.file} ({artifact.name}) but {what.rstrip('.')}. "
        f"{_ADVICE} {see('notes')}"
    )


def _is_not(artifact: Artifact, file: _File) -> str:
    return f"The given file {file.name} is not {artifact.file} ({artifact.name})"


def _base(name: str) -> str:
    return PurePosixPath(name).name


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text[:100])
