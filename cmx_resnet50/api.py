"""The public functions: get, find, models; inspect, reshape, convert.

They raise `Resnet50Error` and its subclasses, print nothing but progress, and may be called from
any number of threads and processes at the same time: a file is fetched once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from cmx_resnet50 import keywords
from cmx_resnet50.errors import Resnet50Error, Resnet50Warning
from cmx_resnet50.keywords import StrPath
from cmx_resnet50.options import BOUNDS, OptionError, Options, mirror_prefixes
from cmx_resnet50.progress import ProgressCallback, progress_for
from cmx_resnet50.wording import PYTHON

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from cmx_resnet50.delivery.delivered import Delivery
    from cmx_resnet50.delivery.pipeline import Pipeline
    from cmx_resnet50.formats.facts import ModelFacts
    from cmx_resnet50.model import KnownModel, Model

Framework = Literal["onnx", "pytorch", "tensorflow", "tflite", "ncnn"]
Precision = Literal["fp32", "int8", "uint8"]


class Settings(TypedDict, total=False):
    """What the environment sets (``CM_RESNET50_*``) and a keyword of the same name overrides."""

    store: StrPath
    """Folder of the store."""
    mirror: str | Sequence[str]
    """A site's own copies: URL prefixes, requested before all others."""
    offline: bool
    """Work offline."""
    strict: bool
    """Treat deviations from the request as errors."""
    accept_any: bool
    """Accept a given file whose digest is not known."""
    force: bool
    """Replace files of the user's in the folder `to`."""
    connections: int
    """How many connections one file may use."""
    connect_timeout: float
    """Seconds to wait for a connection."""
    read_timeout: float
    """Seconds to wait for the next bytes."""
    retry_budget: float
    """Seconds that all retries for one file may take together."""
    stall_seconds: float
    """Seconds after which a source that sends less than 10 KiB/s is stalled."""


def get(
    request: str = "",
    to: StrPath | None = None,
    *,
    framework: Framework | None = None,
    precision: Precision | None = None,
    argmax: bool | None = None,
    opset: int | str | None = None,
    batch: int | str | None = None,
    dummy: bool = False,
    checkpoint: StrPath | None = None,
    progress: bool | ProgressCallback = True,
    **settings: Unpack[Settings],
) -> Model:
    """Return the model that a request means, fetched only if the store lacks it.

    Parameters
    ----------
    request : str
        Variations as in CM's tags, in any case, with or without underscores and the script's tags:
        ``"_onnx,_opset-8"``, ``"onnx opset-8"``, ``"get,ml-model,resnet50,_onnx"``. What is left
        out takes its default. The keywords below mean the same as the variation of that name, and
        can be mixed with them.
    to : path, optional
        Place the files in this folder; by default in a folder of the store.
    framework : str, optional
        ``onnx`` (the default), ``pytorch``, ``tensorflow``, ``tflite`` or ``ncnn``.
    precision : str, optional
        ``fp32`` (the default), ``int8`` or ``uint8``.
    argmax : bool, optional
        Whether the model itself ends with an argmax, where both exist (TFLite).
    opset : int, optional
        11 (the default) or 8, for ONNX.
    batch : int, optional
        Fix the batch size in the file (ONNX, TensorFlow).
    dummy : bool
        Return random weights in the same graph, made on this machine.
    checkpoint : path, optional
        The user's own copy, or a folder that holds it, in place of a download; its digest is
        compared.
    progress : bool or callable
        Whether to show transfers on stderr. A function is called with the name of the file,
        the bytes that are there and the total, None while that is not known. What it raises
        ends the transfer; the next call resumes it. Unless it is True, what the store waits
        for or repairs goes to the logger ``cmx_resnet50``, level INFO.
    **settings
        ``store``, ``mirror``, ``offline``, ``strict``, ``accept_any``, ``force``,
        ``connections``,
        ``connect_timeout``, ``read_timeout``, ``retry_budget``, ``stall_seconds``. By default
        from the environment (``CM_RESNET50_*``); `cmx-resnet50 docs python` describes each.

    Raises
    ------
    RequestError
        If no file is what is requested; `nearest` has requests that mean one.
    OfflineError
        If the store lacks it and offline mode is on.
    FetchError
        If no source gives the right bytes; `attempts` has what each of them did.
    DigestError
        If the bytes, of `checkpoint` or of a source, are not those of the known file.
    DiskFullError
        If there is no room for it.
    StoreError
        If the store or the folder cannot be written, or the folder has another file of that
        name, which stays as it is unless ``force=True``.
    OptionError
        If a setting has no meaning.
    Resnet50Error
        The base of these and all others.

    Warns
    -----
    Resnet50Warning
        If what is delivered deviates from the request; an error with ``strict=True``.

    Examples
    --------
    >>> from cmx_resnet50 import RequestError, get
    >>> model = get("onnx opset-8", dummy=True, progress=False)
    >>> model.path.name, model.opset, model.verified
    ('resnet50_v1.onnx', 8, True)
    >>> get(framework="onnx", batch=4, dummy=True, progress=False).inputs
    (TensorInfo(name='input_tensor:0', shape=(4, 3, 224, 224), dtype='float32'),)
    >>> try:
    ...     get("ncnn", precision="int8")
    ... except RequestError as error:
    ...     print(error.nearest[0])
    _ncnn,_fp32
    """
    keywords.check_names(settings, _valid(get))
    names = _names(request, framework, precision, argmax, opset, batch, dummy)
    with _words_of_python():
        found = deliver(
            names, settings, to=to, checkpoint=checkpoint, progress=progress, warn=_warn
        )
    return found[0]


def find(
    request: str = "",
    to: StrPath | None = None,
    *,
    framework: Framework | None = None,
    precision: Precision | None = None,
    argmax: bool | None = None,
    opset: int | str | None = None,
    batch: int | str | None = None,
    dummy: bool = False,
    **settings: Unpack[Settings],
) -> Model | None:
    """Return the model that a request means if the store has it; open no socket, make nothing.

    Parameters
    ----------
    request, to, framework, precision, argmax, opset, batch, dummy, **settings
        As for `get`.

    Returns
    -------
    Model or None
        None also if the store has only a part of what belongs together, or it is damaged.

    Raises
    ------
    RequestError
        If no file is what is requested.
    StoreError
        If the folder cannot be written.

    Examples
    --------
    >>> from cmx_resnet50 import find
    >>> find("pytorch int8") is None
    True
    """
    from cmx_resnet50.catalog.table import Catalog
    from cmx_resnet50.delivery.describe import placed
    from cmx_resnet50.delivery.pipeline import Pipeline

    keywords.check_names(settings, _valid(find))
    names = _names(request, framework, precision, argmax, opset, batch, dummy)
    folder = None if to is None else keywords.absolute_path("to", to)
    options = _options(settings)
    catalog = Catalog.load()
    with _words_of_python():
        resolution = catalog.resolve(catalog.request(names), strict=options.strict)
    pipeline = Pipeline(catalog, options, notify=_log)
    delivery = pipeline.find(resolution)
    if delivery is None:
        return None
    model, _ = placed(pipeline, delivery, folder)
    for deviation in model.deviations:
        _warn(deviation, stacklevel=3)
    return model


def models() -> tuple[KnownModel, ...]:
    """Return every file that is published, with what is known of it.

    Examples
    --------
    >>> from cmx_resnet50 import models
    >>> for model in models():
    ...     if model.format == "onnx":
    ...         print(model.requests[0], model.file, model.opset, model.layout)
    _onnx,_fp32 resnet50_v1.onnx 11 NCHW
    _onnx,_fp32,_opset-8 resnet50_v1.onnx 8 NCHW
    _onnx,_fp32,_from-tf resnet50_v1_modified.onnx None NHWC
    """
    from cmx_resnet50.catalog.table import Catalog
    from cmx_resnet50.delivery.describe import known_model

    published = Catalog.load().published()
    return tuple(known_model(artifact, requests) for artifact, requests in published)


def inspect(path: StrPath, *, key: str | None = None) -> ModelFacts:
    """Return the facts that a model file states.

    Nothing in the file is executed, and no weight is loaded.

    Parameters
    ----------
    path : path
        An ONNX, TensorFlow (frozen graph), TFLite, PyTorch or ncnn file of any name.
    key : str, optional
        Which state_dict of a PyTorch checkpoint is meant, where there are several.

    Raises
    ------
    FormatError
        If it is not a model, is damaged, or exceeds what is read here; its text says which.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> from cmx_resnet50 import get, inspect
    >>> facts = inspect(get("onnx", dummy=True, progress=False).path)
    >>> facts.format, facts.version, facts.inputs[0].shape
    ('onnx', {'ir': 6, 'opset': 11}, ('N', 3, 224, 224))
    """
    from cmx_resnet50.formats import read_facts

    return read_facts(Path(keywords.path("path", path)), key=key)


def reshape(path: StrPath, out: StrPath, *, batch: int, force: bool = False) -> Path:
    """Write a copy of a model with its batch size fixed; weights and opset stay as they are.

    Parameters
    ----------
    path : path
        An ONNX model or a TensorFlow frozen graph.
    out : path
        The file to write. An existing file is kept: it is an error unless it is the same.
    batch : int
        The number of images that each run then takes, from 1 to 999,999.
    force : bool
        Replace a file that is at `out`.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    ReshapeError
        If the model cannot be given that batch size.
    OptionError
        If no model can.
    Resnet50Error
        If the model is damaged, or something else is at `out`.
    OSError
        If a file cannot be read or written.

    Examples
    --------
    >>> from cmx_resnet50 import get, inspect, reshape
    >>> model = get("onnx", dummy=True, progress=False)
    >>> inspect(reshape(model.path, "batch8.onnx", batch=8)).inputs[0].shape
    (8, 3, 224, 224)
    """
    from cmx_resnet50.rewrite import reshape as write
    from cmx_resnet50.rewrite.batch import has_batch
    from cmx_resnet50.rewrite.new_file import write_new

    size = keywords.batch_size(batch)
    source, target = Path(keywords.path("path", path)), Path(keywords.path("out", out))
    return write_new(
        target,
        lambda made: write(source, made, batch=size),
        may_be_ours=lambda there: has_batch(there, size),
        force=keywords.switch("force", force),
    )


def convert(path: StrPath, out: StrPath, *, key: str | None = None, force: bool = False) -> Path:
    """Write PyTorch weights in the container that current ``torch.load`` reads; the same tensors.

    Parameters
    ----------
    path : path
        A state_dict in the tar or legacy pickle container, as published, or a training checkpoint
        that contains one.
    out : path
        The file to write. An existing file is kept: it is an error unless it is the same.
    key : str, optional
        Which state_dict of a checkpoint is meant, where there are several.
    force : bool
        Replace a file that is at `out`.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    ConversionError
        If `path` is not such a state_dict.
    Resnet50Error
        If something else is at `out`.
    OSError
        If a file cannot be read or written.

    Examples
    --------
    >>> from cmx_resnet50 import convert, get, inspect
    >>> model = get("pytorch", dummy=True, progress=False)
    >>> inspect(convert(model.path, "resnet50.pth")).version
    {'container': 'zip'}
    """
    from cmx_resnet50.rewrite.new_file import write_new
    from cmx_resnet50.rewrite.pytorch_zip import convert as write
    from cmx_resnet50.rewrite.pytorch_zip import is_converted

    source, target = Path(keywords.path("path", path)), Path(keywords.path("out", out))
    return write_new(
        target,
        lambda made: write(source, made, key),
        may_be_ours=is_converted,
        force=keywords.switch("force", force),
    )


def deliver(
    names: Sequence[str],
    settings: Settings,
    *,
    to: StrPath | None,
    checkpoint: StrPath | None,
    progress: bool | ProgressCallback,
    warn: Callable[[str], None],
) -> tuple[Model, Delivery]:
    """Do what `get` does, for the command too, which also needs to know what was delivered.

    Parameters
    ----------
    names : sequence of str
        All variations of the request.
    warn : callable
        Takes each deviation, as soon as it is known.
    """
    from cmx_resnet50.catalog.table import Catalog
    from cmx_resnet50.delivery.describe import placed
    from cmx_resnet50.delivery.pipeline import Pipeline

    options = _options(settings)
    shown = keywords.progress(progress)
    folder = None if to is None else keywords.absolute_path("to", to)
    local = None if checkpoint is None else str(keywords.absolute_path("checkpoint", checkpoint))
    catalog = Catalog.load()
    resolution = catalog.resolve(catalog.request(names, local=local), strict=options.strict)
    for deviation in resolution.deviations:
        warn(deviation)
    notify = None if shown is True else _log
    pipeline = Pipeline(catalog, options, progress_for(shown), notify=notify)
    if folder is not None:
        pipeline.require_free(resolution, folder)
    model, delivery = placed(pipeline, pipeline.obtain(resolution), folder)
    for contradiction in model.deviations[len(resolution.deviations) :]:
        warn(contradiction)
    return model, delivery


def pipeline(settings: Settings, progress: bool | ProgressCallback) -> Pipeline:
    """Return a pipeline with these settings, for what takes several requests."""
    from cmx_resnet50.catalog.table import Catalog
    from cmx_resnet50.delivery.pipeline import Pipeline

    notify = None if progress is True else _log
    return Pipeline(Catalog.load(), _options(settings), progress_for(progress), notify=notify)


def _names(
    request: object,
    framework: object,
    precision: object,
    argmax: object,
    opset: object,
    batch: object,
    dummy: object,
) -> list[str]:
    """Return the variations of a request and of the keywords that were given with it."""
    from cmx_resnet50.catalog.request import names_in

    names = names_in(keywords.text("request", request, "onnx opset-8"))
    if framework is not None:
        names.append(keywords.text("framework", framework, "pytorch"))
    if precision is not None:
        names.append(keywords.text("precision", precision, "int8"))
    if argmax is not None:
        names.append("argmax" if keywords.switch("argmax", argmax) else "no-argmax")
    if opset is not None:
        names.append(f"opset-{keywords.number('opset', opset, prefix='opset-')}")
    if batch is not None:
        names.append(f"batch_size.{keywords.number('batch', batch, prefix='batch_size.')}")
    return [*names, "dummy-weights"] if keywords.switch("dummy", dummy) else names


@contextmanager
def _words_of_python() -> Iterator[None]:
    """Let errors name options as Python has them."""
    try:
        yield
    except Resnet50Error as error:
        error.wording = PYTHON
        raise


def _valid(function: Callable[..., object]) -> list[str]:
    """Return all keywords of `function`, which takes settings."""
    own = [name for name in function.__annotations__ if name not in ("settings", "return")]
    return [*own, *Settings.__annotations__]


def _options(settings: Settings) -> Options:
    """Return the options of the environment, with those that a caller set in their place."""
    given: dict[str, Any] = {key: value for key, value in settings.items() if value is not None}
    for field in ("offline", "strict", "accept_any", "force"):
        if field in given:
            given[field] = keywords.switch(field, given[field])
    if "store" in given:
        given["store"] = keywords.absolute_path("store", given["store"])
    if "mirror" in given:
        prefixes = given["mirror"]
        words = prefixes.split() if isinstance(prefixes, str) else prefixes
        if not isinstance(words, Iterable):
            raise keywords.wrong_type("mirror", prefixes, "a URL prefix, or a list of them")
        given["mirror"] = mirror_prefixes("mirror", words)
    for field, bounds in BOUNDS.items():
        if field in given and given[field] not in bounds:
            raise OptionError(f"{field}={given[field]}: must be {bounds}.")
    return replace(Options.read({}), **given)


def _warn(deviation: str, stacklevel: int = 4) -> None:
    warnings.warn(deviation, Resnet50Warning, stacklevel=stacklevel)


def _log(line: str) -> None:
    import logging

    logging.getLogger("cmx_resnet50").info(line)
