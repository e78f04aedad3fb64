"""The reader of PyTorch files: a state_dict in any of its three containers, or TorchScript."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from cmx_resnet50.formats.facts import Damaged, ModelFacts, NotAModel
from cmx_resnet50.formats.protobuf import map_file
from cmx_resnet50.formats.pytorch.containers import Contents, read_contents
from cmx_resnet50.formats.pytorch.records import TensorRecord
from cmx_resnet50.formats.tensors import precision_of


def read_facts(path: Path) -> ModelFacts:
    """Read the facts of a PyTorch file; nothing in it is executed, no weights are loaded.

    Raises
    ------
    NotAModel
        If it is not a PyTorch container, or has no tensors.
    Damaged
        If it contradicts itself, names anything that weights do not need, or a storage is not
        completely inside it.
    OSError
        If it cannot be read.
    """
    with map_file(path) as document:
        contents = read_contents(document.data)
        size = document.size
    if contents.container == "torchscript":
        tensors = contents.tensors
        classes = _rows_of_last_matrix(tensors)
    else:
        named = state_dict(contents)
        tensors = tuple(named.values())
        classes = _length_of_last_bias(named)
    if not tensors:
        raise NotAModel(_without_tensors(contents.value))
    # Two names of one tensor are one set of weights.
    distinct = {(tensor.at, tensor.numel): tensor for tensor in tensors}.values()
    by_dtype: Counter[str] = Counter()
    for tensor in distinct:
        by_dtype[tensor.storage.dtype] += tensor.nbytes
    if by_dtype.total() > size:
        raise Damaged("its tensors overlap: together they are larger than the file")
    return ModelFacts(
        format="pytorch",
        version={"container": contents.container},
        layout="NCHW",
        precision=precision_of(by_dtype),
        classes=classes,
        parameter_count=sum(tensor.numel for tensor in distinct),
        parameter_bytes=by_dtype.total(),
    )


def state_dict(contents: Contents) -> dict[str, TensorRecord]:
    """Return the named tensors of a state_dict; empty if the file contains something else."""
    if not isinstance(contents.value, dict):
        return {}
    return {
        str(name): value
        for name, value in contents.value.items()
        if isinstance(value, TensorRecord)
    }


def _length_of_last_bias(named: dict[str, TensorRecord]) -> int | None:
    """Return the number of scores of the last linear layer: ``fc.bias`` in a ResNet."""
    for name in reversed(named):
        weight = named.get(name.removesuffix("bias") + "weight")
        if name.endswith("bias") and weight is not None and len(weight.shape) == 2:
            return named[name].numel
    return None


def _rows_of_last_matrix(tensors: tuple[TensorRecord, ...]) -> int | None:
    """Return the rows of the last matrix; TorchScript packs weights without names."""
    matrices = [tensor for tensor in tensors if len(tensor.shape) == 2]
    return matrices[-1].shape[0] if matrices else None


def _without_tensors(value: object) -> str:
    """Explain why there are no weights to deliver."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if isinstance(inner, dict) and any(isinstance(x, TensorRecord) for x in inner.values()):
                return f"is a checkpoint: its weights are under {str(name)[:80]!a}"
    return "contains no named weights: a state_dict is a dict of names to tensors"
