"""One run over an engine's env: prepare the file, complete it, export it, ensure it on each hit.

The hooks of an engine call these in their order. What is to be exported is left in the env that
they are given. Errors are raised, never printed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from cmx_resnet50.cached_run import receipt
from cmx_resnet50.catalog.request import RequestError, Resolution
from cmx_resnet50.catalog.table import Catalog
from cmx_resnet50.delivery.delivered import Delivery
from cmx_resnet50.delivery.pipeline import Pipeline
from cmx_resnet50.engines import downloader, outputs
from cmx_resnet50.engines.dialect import SHAPES, EnvView
from cmx_resnet50.engines.env_request import options_of, request_of
from cmx_resnet50.errors import Resnet50Error
from cmx_resnet50.options import Options
from cmx_resnet50.progress import progress_for
from cmx_resnet50.redaction import redact

PLACE = receipt.RUN + "PLACE"
"""Where the entry's own copy goes; set by the hooks, read by `finish`."""
OUTPUT = receipt.RUN + "OUTPUT"
"""The output folder of this run, made absolute."""
ORIGIN = receipt.RUN + "ORIGIN"
"""Where this run had the bytes from; set by `finish`, so that `ensure` does not say "store"."""
ENTRY = receipt.RUN + "ENTRY"
"""The folder of the cache entry; empty where nothing is cached."""
ENSURED = receipt.RUN + "ENSURED"
"""Set once `ensure` was called: the ensure script is then not run again for the same run."""
SAID = receipt.RUN + "SAID"
"""Set once the deviations of a request were printed, so that one run prints them once."""
PYTHON, ORIGINAL, BATCH = (receipt.RUN + name for name in ("PYTHON", "ORIGINAL", "BATCH"))
"""What the native step ``run-fix-input`` reads."""

_WAS = {"absent": "missing", "other bytes": "damaged", "link": "a link", "folder": "a folder"}


def forget_given(env: EnvView) -> None:
    """Remove what a run tells its own later steps, where the user or a caller gave it.

    It would have the engine skip a step that is needed.
    """
    for name in [*env]:
        if name.startswith(receipt.RUN) and name != receipt.SILENT:
            del env[name]


def print_notices(env: EnvView, notices: Iterable[str]) -> None:
    """Print what the user should know of a request to stderr, once a run."""
    if env.get(SAID) != "yes":
        env[SAID] = "yes"
        for notice in notices:
            text = env.dialect.wording.apply(notice)
            print(f"{env.prefix[:-1]} ResNet-50: {text}", file=sys.stderr)


def cache_tags(env: EnvView, resolution: Resolution) -> list[str]:
    """Return the tags that the run's cache entry has beside those that the engine gives it."""
    tags = [f"_{name}" for name in equal_variations(resolution)]
    if downloader.DELIVERED in env:
        # No entry of the downloader has them.
        tags += Catalog.load().meta["download_cache_tags"]
        for companion in resolution.companions:
            tags += companion.cache_tags
    return tags


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
        except RequestError:
            continue
        if (
            other.artifact.url == resolution.artifact.url
            and other.deviations == resolution.deviations
        ):
            equal.append(name)
    known = catalog.variations.by_name
    equal += [alias for name in equal if name in known for alias in known[name].aliases]
    return [name for name in equal if name != "none"]


def working_folder(env: EnvView, options: Options) -> Path:
    """Return the folder of the cache entry, or one of the store where nothing is cached."""
    return Path(env[ENTRY] or Pipeline(Catalog.load(), options).store.uncached())


def require_free_output(env: EnvView, resolution: Resolution, options: Options) -> None:
    """Make sure that the output folder of this run may be filled, before anything is fetched."""
    if env.get(OUTPUT):
        Pipeline(Catalog.load(), options).require_free(resolution, Path(env[OUTPUT]))


def prepare(env: EnvView, resolution: Resolution, options: Options, *, silent: bool) -> Delivery:
    """Obtain the published file and place it; the engine then leaves out its downloader.

    Where a batch is to be made true, that is for `complete`.

    Parameters
    ----------
    env : EnvView
        The env of the run. `PLACE` in it says where the entry's own copy goes.
    resolution, options
        What is delivered, and how.
    silent : bool
        Whether to print no progress.
    """
    pipeline = _pipeline(env, options, silent=silent)
    delivery = pipeline.obtain_published(resolution, downloader.further_urls(env))
    folder = _original_folder(env) if resolution.batch is not None else Path(env[PLACE]).parent
    pipeline.place(delivery, folder)
    delivery = inspected(pipeline, delivery, folder)
    file = delivery.resolution.artifact.file
    env[PLACE] = str(Path(env[PLACE]).with_name(file))
    env[downloader.DELIVERED] = "yes"
    return delivery


def needs_script(resolution: Resolution, delivery: Delivery, options: Options) -> bool:
    """Whether the native step ``run-fix-input`` has work to do."""
    if resolution.request.fix_shape != "yes" or resolution.artifact.format != "tensorflow":
        return False
    return not Pipeline(Catalog.load(), options).has_fixed_batch(delivery)


def for_script(env: EnvView, resolution: Resolution) -> None:
    """Tell the native step what to read, what to make of it, and with which Python."""
    env[PYTHON] = sys.executable
    env[ORIGINAL] = str(_original_folder(env) / resolution.artifact.file)
    env[BATCH] = str(resolution.batch)


def complete(env: EnvView, delivery: Delivery, options: Options, *, silent: bool) -> Delivery:
    """Make the batch true that was asked for, and fill the entry's place with the result."""
    if delivery.resolution.batch is None:
        return delivery
    pipeline = Pipeline(Catalog.load(), options, progress_for(not silent))
    made = Path(env[ENTRY] or ".") / delivery.resolution.artifact.file
    by_script = ORIGINAL in env
    shaped = pipeline.fix_batch(delivery, ready=made if by_script else None)
    pipeline.place(shaped, Path(env[PLACE]).parent)
    return shaped


def import_fetched(env: EnvView, resolution: Resolution, options: Options) -> Delivery:
    """Take what the downloader fetched with another tool, check it, and fill the place."""
    path = str(env.get(downloader.FETCHED) or env[outputs.FILE_WITH_PATH])
    pipeline = Pipeline(Catalog.load(), options, progress_for(True))
    try:
        local = replace(resolution, sources=(Path(path).as_uri(),))
        delivery = pipeline.obtain_published(local, by_other_tool=True)
    except Resnet50Error as error:
        raise Resnet50Error(
            f"{error}\nAnother download tool fetched this file. Remove it and run again:\n"
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
        print(f"ResNet-50: {problem}", file=sys.stderr)
    return inspected


def finish(env: EnvView, delivery: Delivery) -> None:
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
    if SHAPES in exported:
        exported[SHAPES] = env.dialect.as_text(exported[SHAPES])
    exported.update(outputs.forget(env, exported))
    env.update(exported)
    env[ORIGIN] = delivery.origin


def ensure(env: EnvView, const: EnvView, *, silent: bool) -> str:
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
    options = options_of(env, const)
    resolution = Catalog.load().resolve(request_of(env, const, None), strict=options.strict)
    print_notices(env, resolution.messages)
    pipeline = _pipeline(env, options, silent=silent)
    sha256 = str(env.get(outputs.SHA256, ""))
    place = Path(env[receipt.CACHED]).parent
    output = str(env.get(OUTPUT, ""))
    if output:
        pipeline.require_free(resolution, Path(output))
    delivery = pipeline.find_complete(resolution, sha256) or pipeline.reimport(
        resolution, place, sha256
    )
    if delivery is None:
        try:
            delivery = pipeline.obtain(resolution)
        except Resnet50Error as error:
            raise Resnet50Error(
                f"{env[receipt.CACHED]} ({int(env[outputs.SIZE]):,} bytes, "
                f"sha256 {sha256}) is damaged or gone, and cannot be repaired now.\n{error}"
            ) from error
        env.setdefault(PLACE, env.get(receipt.CACHED, ""))
        finish(env, delivery)
    if not place.parent.is_dir():
        place = pipeline.store.models(delivery.identity) / "model"
    placed = dict(pipeline.place(delivery, place))
    for path, done in placed.items():
        own = place == Path(env[receipt.CACHED]).parent
        if done.changed and (own or done.was != "absent"):
            was = _WAS.get(done.was, done.was)
            print(f"cmx-resnet50: {path} was {was}; filled from the store", file=sys.stderr)
    if output:
        pipeline.place(delivery, Path(output), named=True)
    located = outputs.locations(
        delivery.resolution.artifact, Path(output or place), delivery.resolution.companions
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
    if not output and not delivery.private:
        receipt.record(
            env.raw,
            const.raw,
            env.prefix,
            files,
            located=located,
            store=str(pipeline.store.root),
            notices=map(env.dialect.wording.apply, resolution.messages),
            summary=summary(env, replace(delivery, origin="store")),
        )
    return summary(env, replace(delivery, origin=str(env.get(ORIGIN) or delivery.origin)))


def _pipeline(env: EnvView, options: Options, *, silent: bool) -> Pipeline:
    """Return the pipeline of a run, which takes what the engine's cache has."""
    progress = progress_for(not silent)
    return Pipeline(Catalog.load(), options, progress, cache=env.dialect.cache_folder)


def _original_folder(env: EnvView) -> Path:
    return Path(env[PLACE]).parent.with_name("original")


def summary(env: EnvView, delivery: Delivery) -> str:
    """One line: the file, its bytes, its digest, and where it came from."""
    return (
        f"ResNet-50: {env[outputs.FILE_WITH_PATH]} ({delivery.model.size:,} bytes, "
        f"sha256 {delivery.model.sha256}, {delivery.origin})"
    )
