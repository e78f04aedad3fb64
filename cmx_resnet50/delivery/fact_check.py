"""Compares what is declared of a file with its own facts: the file is right.

What the table does not know is filled from the file; what both know must agree. For a file of
unknown origin the facts decide what is exported, so names that it carries are checked before
they come near a shell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from cmx_resnet50.catalog.table import Artifact
from cmx_resnet50.formats.facts import FormatError, ModelFacts, TensorInfo
from cmx_resnet50.shell_values import Place, check


def check_facts(artifact: Artifact, path: Path) -> tuple[Artifact, list[str]]:
    """Read the file at `path` and fill what is not declared of it.

    Returns
    -------
    Artifact
        The artifact, with what the file says where nothing was known.
    list of str
        What contradicts the declaration of a known file: a defect of our table or our reader.

    Raises
    ------
    FormatError
        If a file of unknown origin is not a complete model of the format that is asked for.
    UnsafeValue
        If it names its inputs or outputs with characters that a shell would act on.
    """
    from cmx_resnet50.formats import read_facts

    try:
        facts = read_facts(path, artifact.format)
    except FormatError as error:
        if not artifact.known:
            raise
        return artifact, [f"{artifact.file} ({artifact.name}) cannot be read here: {error}"]
    if artifact.known:
        problems = [
            f"{artifact.file} ({artifact.name}) has {name} {found}, declared is {declared}"
            for name, declared, found in _differences(artifact, facts)
        ]
        return _filled(artifact, facts), [f"{text}. Please report this." for text in problems]
    if not facts.complete:
        raise FormatError(f"{path} is not complete: {facts.warnings[0]}")
    for tensor in (*facts.inputs, *facts.outputs):
        check(f"The name of a tensor in {path}", tensor.name, Place.NAME)
    precision = facts.precision or artifact.precision
    return _filled(replace(artifact, precision=precision), facts), []


def _filled(artifact: Artifact, facts: ModelFacts) -> Artifact:
    return replace(
        artifact,
        opset=artifact.opset or facts.opset,
        layout=artifact.layout or facts.layout,
        classes=artifact.classes or facts.classes,
        inputs=artifact.inputs or _listed(facts.inputs),
        outputs=artifact.outputs or _listed(facts.outputs),
    )


def _differences(artifact: Artifact, facts: ModelFacts) -> Iterator[tuple[str, object, object]]:
    pairs: list[tuple[str, object, object]] = [
        ("opset", artifact.opset, facts.opset),
        ("layout", artifact.layout, facts.layout),
        ("classes", artifact.classes, facts.classes),
        ("weights of", artifact.precision, facts.precision),
        ("inputs", _names(artifact.inputs), [tensor.name for tensor in facts.inputs] or None),
        ("outputs", _names(artifact.outputs), [tensor.name for tensor in facts.outputs] or None),
    ]
    for name, declared, found in pairs:
        if declared is not None and found is not None and declared != found:
            yield name, declared, found


def _names(tensors: Sequence[Mapping[str, object]] | None) -> list[object] | None:
    names = [tensor["name"] for tensor in tensors or ()]
    return names if names and None not in names else None


def _listed(tensors: tuple[TensorInfo, ...]) -> list[dict[str, object]] | None:
    return [
        {"name": tensor.name, "shape": tensor.shape, "dtype": tensor.dtype} for tensor in tensors
    ] or None
