"""The reader of PyTorch files: a state_dict in any of its three containers, or TorchScript."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from cmx_resnet50.formats.classifier import IMAGENET
from cmx_resnet50.formats.facts import Damaged, ModelFacts, NotAModel
from cmx_resnet50.formats.protobuf import map_file
from cmx_resnet50.formats.pytorch.containers import Contents, read_contents
from cmx_resnet50.formats.pytorch.records import TensorRecord
from cmx_resnet50.formats.tensors import precision_of, printable


def read_facts(path: Path, key: str | None = None) -> ModelFacts:
    """Read the facts of a PyTorch file; nothing in it is executed, no weights are loaded.

    Parameters
    ----------
    path : Path
        The file.
    key : str, optional
        Which state_dict of a checkpoint is meant, where there are several.

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
        matrices = [tensor for tensor in tensors if len(tensor.shape) == 2]
        classes = _classes(tensors, matrices[-1]) if matrices else None
        if not tensors:
            raise NotAModel("is TorchScript without weights")
    else:
        named = state_dict(contents, key)
        tensors = tuple(named.values())
        last = _last_linear(named)
        classes = None if last is None else _classes(tensors, last)
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
        # PyTorch's convolutions take channels first; without one the file says nothing of images.
        layout="NCHW" if any(len(tensor.shape) == 4 for tensor in tensors) else None,
        precision=precision_of(by_dtype),
        classes=classes,
        parameter_count=sum(tensor.numel for tensor in distinct),
        parameter_bytes=by_dtype.total(),
    )


def state_dict(contents: Contents, key: str | None = None) -> dict[str, TensorRecord]:
    """Return the named tensors of a state_dict, or of the one inside a checkpoint.

    Parameters
    ----------
    contents : Contents
        What the file contains.
    key : str, optional
        Which one of a checkpoint is meant, where there are several.

    Raises
    ------
    NotAModel
        If there is none, or several and `key` is not one of them.
    """
    value = contents.value
    found = _tensors_of(value)
    nested = _nested(value)
    if key is None and found:
        return found
    if key is None and len(nested) == 1:
        return next(iter(nested.values()))
    if key in nested:
        return nested[key]
    names = ", ".join(printable(name) for name in nested)
    if key is not None and not nested:
        raise NotAModel(f"has no state_dict under {key!a}: it is not a checkpoint")
    if not nested:
        raise NotAModel("contains no named weights: a state_dict is a dict of names to tensors")
    chosen = "" if key is None else f", but none under {key!a}"
    raise NotAModel(f"is a checkpoint with several state_dicts ({names}){chosen}: name one (--key)")


def is_checkpoint(contents: Contents) -> bool:
    """Whether the state_dicts are inside another dict."""
    return not _tensors_of(contents.value) and bool(_nested(contents.value))


def _tensors_of(value: object) -> dict[str, TensorRecord]:
    if not isinstance(value, dict):
        return {}
    return {str(name): one for name, one in value.items() if isinstance(one, TensorRecord)}


def _nested(value: object) -> dict[str, dict[str, TensorRecord]]:
    """Return the dicts inside a dict that contain nothing but named tensors."""
    if not isinstance(value, dict):
        return {}
    found = {}
    for name, inner in value.items():
        tensors = _tensors_of(inner)
        if tensors and len(tensors) == len(inner) and all(isinstance(one, str) for one in inner):
            found[str(name)] = tensors
    return found


def _last_linear(named: dict[str, TensorRecord]) -> TensorRecord | None:
    """Return the matrix of the last layer, if that is a linear one: ``fc.weight`` in a ResNet."""
    name = next(reversed(named), "")
    if name.endswith("bias"):
        name = name.removesuffix("bias") + "weight"
    weight = named.get(name)
    return weight if weight is not None and len(weight.shape) == 2 else None


def _classes(tensors: tuple[TensorRecord, ...], last: TensorRecord) -> int | None:
    """Return the rows of the last matrix, if it reads the pooled channels of a convolution."""
    channels = {tensor.shape[0] for tensor in tensors if len(tensor.shape) == 4}
    units, width = last.shape
    return units if width in channels or units in IMAGENET else None
