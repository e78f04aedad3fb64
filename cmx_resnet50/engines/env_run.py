"""The steps of one run, on plain env dictionaries: check, resolve, prepare, finish, ensure.

``customize.py`` and ``ensure/customize.py`` hand over CM's env and const; what is to be
exported comes back in that env. Errors are raised, never printed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from cmx_resnet50 import shell_values
from cmx_resnet50.cached_run import receipt
from cmx_resnet50.catalog.table import Catalog, Refusal, Request, Resolution
from cmx_resnet50.delivery import google_drive
from cmx_resnet50.delivery.pipeline import Delivery, Pipeline
from cmx_resnet50.engines import outputs
from cmx_resnet50.errors import Resnet50Error
from cmx_resnet50.options import Options, absolute
from cmx_resnet50.progress import progress_for
from cmx_resnet50.redaction import redact
from cmx_resnet50.shell_values import Place, UnsafeValue

PLACE = receipt.RUN + "PLACE"
"""Where the entry's own copy shall lie; set by `prepare`, read by `finish`."""
OUTPUT = receipt.RUN + "OUTPUT"
"""The output folder of this run, made absolute."""
LOCAL = receipt.RUN + "LOCAL_FILE"
"""The user's own file, kept before the downloader's key for it is given the entry's copy."""
CHECKSUM = receipt.RUN + "CM_DOWNLOAD_CHECKSUM"
"""The user's own checksum, kept before the downloader's key for it is emptied."""
URL = receipt.RUN + "CM_PACKAGE_URL"
"""The user's own URL, kept before the downloader's key for it loses its secrets."""
ORIGIN = receipt.RUN + "ORIGIN"
"""Where this run had the bytes from; set by `finish`, so that `ensure` does not say "store"."""
ENTRY = receipt.RUN + "ENTRY"
"""The folder of the cache entry; empty where nothing is cached."""
ENSURED = receipt.RUN + "ENSURED"
"""Set once `ensure` was called: the ensure script is then not run again for the same run."""
SAID = receipt.RUN + "SAID"
"""Set once the notes of a request were printed, so that one run says them once."""

_WAS = {"absent": "missing", "other bytes": "damaged", "link": "a link", "folder": "a folder"}

_BATCH = re.compile(r"[1-9][0-9]{0,5}")

Env = MutableMapping[str, Any]


def check_values(env: Mapping[str, Any], patterns: Iterable[str]) -> None:
    """Refuse values that would act in the shell scripts into which the engine writes env.

    Raises
    ------
    UnsafeValue
        For a value that would not stay text, of a key that one of `patterns` matches.
    """
    patterns = tuple(patterns)
    for key, value in env.items():
        if any(fnmatchcase(key, pattern) for pattern in patterns):
            shell_values.check(key, str(value), Place.QUOTED)
    batch = str(env.get("CM_ML_MODEL_BATCH_SIZE", "")).strip()
    if batch and not _BATCH.fullmatch(batch):
        raise UnsafeValue(
            f"CM_ML_MODEL_BATCH_SIZE={batch}: a batch size is a positive integer of at most "
            "6 digits, say _batch_size.8."
        )
    name = str(env.get("CM_DOWNLOAD_FILENAME", ""))
    if "/" in name or "\\" in name or name in (".", ".."):
        raise UnsafeValue(f"CM_DOWNLOAD_FILENAME={name} is not a plain file name.")


def request_of(
    env: Mapping[str, Any], const: Mapping[str, Any], explicit: Sequence[str] | None
) -> Request:
    """Read the request from env, const and, where known, the variations asked by name.

    Raises
    ------
    Refusal
        For a batch size that is no positive integer, or for two of them.
    """
    batches = {v for v in explicit or () if v.startswith("batch_size.")}
    if len(batches) > 1:
        raise Refusal(f"Two batch sizes are asked for: {', '.join(sorted(batches))}. Ask one.")
    request = Request.from_env(
        env,
        url=_text(const.get(URL) or const.get("CM_PACKAGE_URL")),
        checksum=_text(const.get(CHECKSUM) or const.get("CM_DOWNLOAD_CHECKSUM")),
        local=_text(env[LOCAL] if LOCAL in env else local_file(env)),
        explicit=explicit,
    )
    if request.batch != "dynamic" and not _BATCH.fullmatch(request.batch):
        raise Refusal(
            f"_batch_size.{request.batch}: a batch size is a positive integer of at most "
            "6 digits, say _batch_size.8."
        )
    if "," in (request.url or ""):
        raise Refusal(
            f"CM_PACKAGE_URL={redact(request.url or '')}: CM cannot carry a comma there. "
            "Write it as %2C."
        )
    return request


def resolve(request: Request, options: Options) -> Resolution:
    """Return what `request` means, or raise its refusal."""
    return Catalog.load().resolve(request, strict=options.strict)


def say_notes(env: Env, notes: Iterable[str]) -> None:
    """Print the notes on a request to stderr, once a run."""
    if env.get(SAID) != "yes":
        env[SAID] = "yes"
        for note in notes:
            print(f"CM ResNet-50: {note}", file=sys.stderr)


def equal_variations(resolution: Resolution) -> list[str]:
    """Name the variations that hold for this request, asked for or not.

    A cache entry that carries them all answers every way to ask for the same thing, so that
    two entries never compete for one request.
    """
    catalog, request = Catalog.load(), resolution.request
    names = [request.framework, request.precision, request.output]
    names += [] if request.opset == "none" else [f"opset-{request.opset}"]
    equal = []
    for name in names:
        explicit = frozenset({*(request.explicit or ()), name})
        try:
            other = catalog.resolve(replace(request, explicit=explicit))
        except Refusal:
            continue
        if other.artifact.url == resolution.artifact.url and other.notes == resolution.notes:
            equal.append(name)
    for name, variation in catalog.meta["variations"].items():
        if variation.get("alias") in equal:
            equal.append(name)
    return [name for name in equal if name != "none"]


def prepare(
    env: Env, const: Env, resolution: Resolution, options: Options, *, silent: bool
) -> Delivery:
    """Obtain the published file, place it, and hand it to the downloader as a local file.

    Where a batch is to be made true, that is for `complete`.

    Parameters
    ----------
    env, const
        CM's env and const; what the downloader reads is changed in both. `PLACE` in env says
        where the entry's own copy shall lie.
    resolution, options
        What is delivered, and how.
    silent : bool
        Whether to print no progress.
    """
    pipeline = Pipeline(Catalog.load(), options, progress_for(not silent))
    further = [str(env.get(f"CM_DOWNLOAD_URL{index}", "")) for index in range(1, 5)]
    delivery = pipeline.plain(resolution, [url for url in further if url])
    folder = _original_folder(env) if resolution.batch is not None else Path(env[PLACE]).parent
    pipeline.place(delivery, folder)
    delivery = inspected(pipeline, delivery, folder)
    for kept, name in ((CHECKSUM, "CM_DOWNLOAD_CHECKSUM"), (URL, "CM_PACKAGE_URL")):
        if name in const:
            const[kept] = const[name]
    file = delivery.resolution.artifact.file
    env[PLACE] = str(Path(env[PLACE]).with_name(file))
    wiring = {
        # Always the published file: the downloader's own cache entry lives on, and answers
        # for its URL.
        "CM_DOWNLOAD_LOCAL_FILE_PATH": str(folder / file),
        "CM_DOWNLOAD_CHECKSUM": "",
        "CM_DAE_EXTRACT_DOWNLOADED": "no",
        "CM_PACKAGE_URL": delivery.url,
    }
    env.update(wiring)
    const.update({name: value for name, value in wiring.items() if name in const})
    return delivery


def needs_script(resolution: Resolution, delivery: Delivery, options: Options) -> bool:
    """Whether the native step ``run-fix-input`` has work to do."""
    if resolution.request.fix_shape != "yes" or resolution.artifact.format != "tensorflow":
        return False
    return not Pipeline(Catalog.load(), options).is_shaped(delivery)


def for_script(env: Env, resolution: Resolution) -> None:
    """Tell the native step what to read, what to make of it, and with which Python."""
    env[receipt.RUN + "PYTHON"] = sys.executable
    env[receipt.RUN + "ORIGINAL"] = str(_original_folder(env) / resolution.artifact.file)
    env[receipt.RUN + "BATCH"] = str(resolution.batch)


def complete(env: Env, delivery: Delivery, options: Options, *, silent: bool) -> Delivery:
    """Make the batch true that was asked for, and fill the entry's place with the result."""
    if delivery.resolution.batch is None:
        return delivery
    pipeline = Pipeline(Catalog.load(), options, progress_for(not silent))
    made = Path(env[ENTRY] or ".") / delivery.resolution.artifact.file
    by_script = receipt.RUN + "ORIGINAL" in env
    shaped = pipeline.shape(delivery, ready=made if by_script else None)
    pipeline.place(shaped, Path(env[PLACE]).parent)
    return shaped


def tool_for(resolution: Resolution, asked: Sequence[str], options: Options) -> str:
    """Name the downloader's variation that shall fetch the file, say ``_wget``; empty for ours.

    That is the tool that the user named, or gdown from the engine for a file that lies on
    Google Drive only and while no gdown is here. Neither is needed where a local file or the
    store has the file, or perhaps a site's own mirror what lies on Drive.

    Parameters
    ----------
    resolution : Resolution
        What is delivered.
    asked : sequence of str
        The variations that user and meta ask of the downloader together.
    options : Options
        How it is delivered.
    """
    request, artifact = resolution.request, resolution.artifact
    if options.offline or request.weights == "dummy" or request.local:
        return ""
    declared = declared_tool(resolution)
    named = [tag for tag in asked if tag != declared]
    if not named and (not declared or options.mirror or google_drive.installed()):
        return ""
    pipeline = Pipeline(Catalog.load(), options)
    if pipeline.store.find(*artifact.store_keys) is not None:
        return ""
    return named[-1] if named else declared


def declared_tool(resolution: Resolution) -> str:
    """Name the downloader's variation that the meta declares for the file, or an empty text."""
    tool = resolution.artifact.tool
    return f"_{tool}" if tool else ""


def for_downloader(resolution: Resolution) -> dict[str, str]:
    """Return what the downloader needs to fetch the file that `resolution` means."""
    artifact = resolution.artifact
    return {
        "CM_PACKAGE_URL": resolution.sources[0],
        "CM_DOWNLOAD_CHECKSUM": artifact.expected_download.md5 or "",
        "CM_DOWNLOAD_FILENAME": "" if artifact.archive else artifact.file,
        "CM_DAE_EXTRACT_DOWNLOADED": "yes" if artifact.archive else "no",
        "CM_ML_MODEL_FILE": artifact.file,
    }


def adopt(env: Env, resolution: Resolution, options: Options) -> Delivery:
    """Take what the downloader fetched with another tool, check it, and fill the place."""
    path = str(env.get("CM_DOWNLOAD_DOWNLOADED_PATH") or env[outputs.FILE_WITH_PATH])
    pipeline = Pipeline(Catalog.load(), options, progress_for(True))
    try:
        local = replace(resolution, sources=(Path(path).as_uri(),))
        delivery = pipeline.plain(local, brought=True)
    except Resnet50Error as error:
        raise Resnet50Error(
            f"{error}\nAnother download tool brought this file. Remove it and run again:\n"
            f"  rm '{path}'"
        ) from error
    delivery = replace(delivery, url=redact(resolution.sources[0]), origin="fetched")
    folder = _original_folder(env) if resolution.batch is not None else Path(env[PLACE]).parent
    pipeline.place(delivery, folder)
    return inspected(pipeline, delivery, folder)


def inspected(pipeline: Pipeline, delivery: Delivery, folder: Path) -> Delivery:
    """Return `delivery` with what its file says of itself; a contradiction is printed."""
    inspected, problems = pipeline.inspect(delivery, folder)
    for problem in problems:
        print(f"CM ResNet-50: {problem}", file=sys.stderr)
    return inspected


def finish(env: Env, delivery: Delivery) -> None:
    """Export what `delivery` is, and where the entry's own copy lies."""
    resolution, model = delivery.resolution, delivery.model
    exported = outputs.facts(
        resolution,
        md5=model.md5,
        sha256=model.sha256,
        size=model.size,
        verified=delivery.verified,
        url=delivery.url,
    )
    exported.update(
        outputs.locations(resolution.artifact, Path(env[PLACE]).parent, resolution.companions)
    )
    exported[receipt.CACHED] = env[PLACE]
    if delivery.original is not None:
        exported[outputs.ORIGINAL] = str(_original_folder(env) / resolution.artifact.file)
    exported.update(outputs.forget(env, exported))
    env.update(exported)
    env[ORIGIN] = delivery.origin


def ensure(env: Env, const: Mapping[str, Any], *, silent: bool) -> str:
    """Make sure that the object is whole and every place that this run asked for is filled.

    Runs after a cold run and on every cache hit; env holds what the entry exported, and then
    what this run exports.

    Returns
    -------
    str
        One line: the file, its bytes, its digest, and where it came from.

    Raises
    ------
    Resnet50Error
        If the request is refused now, or a damaged file cannot be repaired.
    """
    options = Options.read(env)
    resolution = resolve(request_of(env, const, None), options)
    say_notes(env, [*resolution.notes, *resolution.remarks])
    pipeline = Pipeline(Catalog.load(), options, progress_for(not silent))
    sha256 = str(env.get(outputs.PREFIX + "SHA256", ""))
    place = Path(env[receipt.CACHED]).parent
    delivery = pipeline.find_complete(resolution, sha256) or pipeline.reimport(
        resolution, place, sha256
    )
    if delivery is None:
        try:
            delivery = pipeline.obtain(resolution)
        except Resnet50Error as error:
            raise Resnet50Error(
                f"{env[receipt.CACHED]} ({int(env[outputs.PREFIX + 'SIZE']):,} bytes, "
                f"sha256 {sha256}) is damaged or gone, and cannot be repaired now.\n{error}"
            ) from error
        env.setdefault(PLACE, env.get(receipt.CACHED, ""))
        finish(env, delivery)
    if not place.parent.is_dir():
        place = options.store / "places" / delivery.model.sha256 / "model"
    folders = [place, *(Path(folder) for folder in (env.get(OUTPUT),) if folder)]
    placed = {path: done for folder in folders for path, done in pipeline.place(delivery, folder)}
    for path, done in placed.items():
        own = path.parent == Path(env[receipt.CACHED]).parent
        if done.changed and (own or done.was != "absent"):
            was = _WAS.get(done.was, done.was)
            if done.was == "other bytes" and not own:
                was = "another file"  # In a folder of the user's, perhaps another model.
            print(f"cmx-resnet50: {path} was {was}; filled from the store", file=sys.stderr)
    located = outputs.locations(
        delivery.resolution.artifact, folders[-1], delivery.resolution.companions
    )
    files = [
        (stored.sha256, str(place / name), placed[place / name].stamp)
        for stored, name in delivery.files()
    ]
    original = place.with_name("original")
    filled = pipeline.place_original(delivery, original)
    if delivery.original is not None and filled is not None:
        file = str(original / delivery.resolution.artifact.file)
        located[outputs.ORIGINAL] = file
        files.append((delivery.original.sha256, file, filled.stamp))
    env.update(located)
    if len(folders) == 1 and not delivery.private:
        receipt.record(
            env,
            const,
            files,
            located=located,
            store=str(options.store),
            notes=[*resolution.notes, *resolution.remarks],
            summary=summary(env, replace(delivery, origin="store")),
        )
    return summary(env, replace(delivery, origin=str(env.get(ORIGIN) or delivery.origin)))


def _original_folder(env: Mapping[str, Any]) -> Path:
    return Path(env[PLACE]).parent.with_name("original")


def local_file(env: Mapping[str, Any], base: str = "") -> str:
    """Return the path of the user's own file, if one is given (``--checkpoint`` and the like).

    Parameters
    ----------
    env : mapping
        CM's env.
    base : str
        The folder that a relative path starts from; the working folder where none is given.

    Raises
    ------
    OptionError
        If ``~somebody`` is nobody here.
    """
    for name in ("CM_RESNET50_CHECKPOINT", "CM_DOWNLOAD_LOCAL_FILE_PATH"):
        path = str(env.get(name) or "").strip()
        if path:
            return str(absolute(name, path, Path(base) if base else None))
    return ""


def output_folder(env: Mapping[str, Any], base: str) -> str:
    """Return the output folder that this run asked for, absolute, or an empty text."""
    for name in ("CM_OUTDIRNAME", "CM_RESNET50_TO"):
        folder = str(env.get(name, "")).strip()
        if folder:
            return str(absolute(name, folder, Path(base)))
    return ""


def summary(env: Mapping[str, Any], delivery: Delivery) -> str:
    """One line: the file, its bytes, its digest, and where it came from."""
    return (
        f"ResNet-50: {env[outputs.FILE_WITH_PATH]} ({delivery.model.size:,} bytes, "
        f"sha256 {delivery.model.sha256}, {delivery.origin})"
    )


def _text(value: object) -> str | None:
    text = "" if value is None else str(value).strip()
    return text or None
