"""A delivery, or an artifact, as callers from Python see it: placed, read, and described."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cmx_resnet50.catalog.table import Artifact
from cmx_resnet50.delivery.delivered import Delivery
from cmx_resnet50.delivery.pipeline import Pipeline
from cmx_resnet50.formats.facts import FormatError, ModelFacts, TensorInfo
from cmx_resnet50.model import KnownModel, Model, Preprocessing
from cmx_resnet50.wording import COMMAND


def placed(pipeline: Pipeline, delivery: Delivery, to: Path | None) -> tuple[Model, Delivery]:
    """Place what was delivered in `to`, by default in a folder of the store.

    Returns
    -------
    Model
        What it is, and where.
    Delivery
        The same with what the file says of itself, where the table does not.

    Raises
    ------
    StoreError
        If the folder cannot be written.
    """
    own = pipeline.store.models(delivery.identity)
    folder = to or own / "model"
    files = _place(pipeline, delivery, folder, named=to is not None)
    # Not beside the model, as in a cache entry: the user has not named that folder.
    original = _place_original(pipeline, delivery, own / "original")
    seen = original.parent if original is not None and original.name == files[0].name else folder
    delivery, problems = pipeline.inspect(delivery, seen)
    return _model(delivery, files, original, problems), delivery


def known_model(artifact: Artifact, requests: Sequence[str]) -> KnownModel:
    """Return what is known of a published file, which `requests` mean."""
    return KnownModel(
        name=artifact.name,
        file=artifact.file,
        requests=tuple(sorted(requests, key=len)),
        format=artifact.format,
        precision=artifact.precision,
        opset=artifact.opset,
        inputs=_tensors((), artifact.inputs),
        outputs=_tensors((), artifact.outputs),
        classes=artifact.classes,
        layout=artifact.layout,
        preprocessing=_preprocessing(artifact),
        top1=_top1(artifact),
        sha256=artifact.sha256,
        md5=artifact.md5,
        size=artifact.bytes,
        approx_size=artifact.approx_bytes,
        url=artifact.url,
        mirrors=tuple(artifact.mirrors),
        license=artifact.license,
        dummy=artifact.dummy is not None,
    )


def _place(
    pipeline: Pipeline, delivery: Delivery, folder: Path, *, named: bool
) -> tuple[Path, ...]:
    """Fill `folder`; where it is ours and cannot be, say how to name another one."""
    from cmx_resnet50.store import ObjectMissing, StoreError

    try:
        return tuple(path for path, _ in pipeline.place(delivery, folder, named=named))
    except StoreError as error:
        if named or isinstance(error, ObjectMissing):
            raise
        hint = "Name a folder of your own: --to DIR, in Python to=DIR."
        raise type(error)(f"{error} {hint}") from error


def _place_original(pipeline: Pipeline, delivery: Delivery, folder: Path) -> Path | None:
    """Place the file before its batch was fixed, and return where it is; None without one.

    Of a store that can only be read, that is the object itself, which has another name.
    """
    from cmx_resnet50.store import ObjectMissing, StoreError

    if delivery.original is None:
        return None
    try:
        pipeline.place_original(delivery, folder)
    except StoreError as error:
        if isinstance(error, ObjectMissing):
            raise
        return delivery.original.path
    return folder / delivery.resolution.artifact.file


def _model(
    delivery: Delivery, files: tuple[Path, ...], original: Path | None, problems: Sequence[str]
) -> Model:
    resolution, stored = delivery.resolution, delivery.model
    artifact, request = resolution.artifact, resolution.request
    facts = _facts(files[0])
    precision = resolution.file_precision
    return Model(
        path=files[0],
        files=files,
        original=original,
        name=artifact.name,
        request=request.variations,
        sha256=stored.sha256,
        md5=stored.md5,
        size=stored.size,
        format=artifact.format,
        precision=None if precision == "none" else precision,
        opset=artifact.opset,
        inputs=_tensors(facts.inputs, artifact.inputs, resolution.batch),
        outputs=_tensors(facts.outputs, artifact.outputs, resolution.batch),
        classes=artifact.classes,
        layout=artifact.layout,
        preprocessing=_preprocessing(artifact),
        weights=request.weights,
        top1=None if request.weights == "dummy" else _top1(artifact),
        verified=delivery.verified,
        origin=delivery.origin,
        url=delivery.url,
        license=artifact.license if artifact.known else None,
        deviations=(*resolution.deviations, *problems),
        notices=tuple(map(COMMAND.apply, resolution.notices)),
    )


def _facts(path: Path) -> ModelFacts:
    """Read what the delivered file says of itself; nothing of one that cannot be read here."""
    from cmx_resnet50.formats import read_facts

    try:
        return read_facts(path)
    except FormatError:
        return ModelFacts("")  # That it is so was among the problems already.


def _tensors(
    found: tuple[TensorInfo, ...],
    declared: Sequence[Mapping[str, Any]] | None,
    batch: int | None = None,
) -> tuple[TensorInfo, ...]:
    """Return the tensors that the file names, else those declared; shapes from either."""
    known = [
        TensorInfo(tensor["name"] or "", _shape(tensor["shape"], batch), tensor["dtype"])
        for tensor in declared or ()
    ]
    shapes = {tensor.name: tensor.shape for tensor in known}
    return tuple(
        replace(tensor, shape=tensor.shape or shapes.get(tensor.name)) for tensor in found or known
    )


def _shape(
    declared: Sequence[int | str | None] | None, batch: int | None
) -> tuple[int | str | None, ...] | None:
    if declared is None:
        return None
    if batch is not None and declared and not isinstance(declared[0], int):
        return (batch, *declared[1:])
    return tuple(declared)


def _preprocessing(artifact: Artifact) -> Preprocessing | None:
    if artifact.preprocessing is None or not artifact.known:
        return None
    return Preprocessing.from_table(artifact.preprocessing)


def _top1(artifact: Artifact) -> float | None:
    return None if artifact.top1 is None else float(artifact.top1)
