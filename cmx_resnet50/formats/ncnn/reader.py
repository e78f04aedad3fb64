"""The reader of ncnn models: a graph as text (`.param`) and its weights (`.bin`) next to it.

The weights have neither names nor lengths, so a `.bin` is complete if its length is the sum of
what the layers of the `.param` need, computed with ncnn's own rules of padding and tags.
"""

from __future__ import annotations

import mmap
import struct
from collections import Counter
from pathlib import Path

from cmx_resnet50.formats.facts import Damaged, ModelFacts, NotAModel, TensorInfo
from cmx_resnet50.formats.ncnn.layers import Layer, Weights, weights_of
from cmx_resnet50.formats.ncnn.param import Graph, read_graph
from cmx_resnet50.formats.protobuf import map_file
from cmx_resnet50.formats.tensors import precision_of

_FLOAT16, _INT8, _SCALED = 0x01306B47, 0x000D4B38, 0x0002C056
_TABLE_BYTES = 256 * 4
_PARAM, _BIN = ".param", ".bin"


def read_facts(path: Path) -> ModelFacts:
    """Read the facts of an ncnn model, given either file of the pair.

    The other file is next to it, under the same name with the other suffix.

    Raises
    ------
    NotAModel
        If it is not an ncnn graph, or the other file of the pair is missing.
    Damaged
        If the graph contradicts itself, or the weights have another length than its layers need.
    OSError
        If a file cannot be read.
    """
    graph_path, weights_path = pair(path)
    with map_file(graph_path) as document:
        graph = read_graph(document.data)
    with map_file(weights_path) as document:
        count, by_dtype = _walk(document.data, graph.layers)
    return ModelFacts(
        format="ncnn",
        version={"magic": graph.magic},
        inputs=graph.inputs,
        outputs=_outputs(graph),
        layout="NCHW",
        precision=precision_of(by_dtype),
        classes=_classes(graph),
        parameter_count=count,
        parameter_bytes=by_dtype.total(),
    )


def pair(path: Path) -> tuple[Path, Path]:
    """Return the paths of graph and weights, given either file of a pair.

    Raises
    ------
    NotAModel
        If `path` has neither suffix, or the other file is missing.
    """
    endings = {_PARAM: _BIN, _BIN: _PARAM}
    ending = path.suffix.lower()
    if ending not in endings:
        raise NotAModel(f"an ncnn model is a pair of files named {_PARAM} and {_BIN}")
    other = path.with_suffix(endings[ending])
    if not other.is_file():
        raise NotAModel(f"is half of an ncnn model: {other.name} is not next to it")
    return (path, other) if ending == _PARAM else (other, path)


def _walk(data: bytes | mmap.mmap, layers: tuple[Layer, ...]) -> tuple[int, Counter[str]]:
    """Skip over the weights of all layers; return their number, and their bytes by type.

    Raises
    ------
    Damaged
        If the file is shorter or longer than the weights.
    """
    count = 0
    by_dtype: Counter[str] = Counter()
    position = 0
    for layer in layers:
        for weights in weights_of(layer):
            begin = position
            dtype, position, held = _weights(data, weights, position)
            if position > len(data):
                raise Damaged(
                    f"the weights of layer {layer.name!a} claim {position - begin:,} bytes where"
                    f" {len(data) - begin:,} are left: the file is cut, or of another graph",
                    begin,
                )
            count += weights.number
            by_dtype[dtype] += held
    if position != len(data):
        raise Damaged(
            f"{len(data) - position:,} bytes follow the weights of the last layer: the file is of"
            " another graph, or altered",
            position,
        )
    return count, by_dtype


def _weights(data: bytes | mmap.mmap, weights: Weights, position: int) -> tuple[str, int, int]:
    """Return the type of the weights at `position`, their end, and their bytes."""
    if not weights.tagged:
        return "float32", position + 4 * weights.number, 4 * weights.number
    tag = 0
    if position + 4 <= len(data):
        (tag,) = struct.unpack_from("<I", data, position)
    position += 4
    if tag == _FLOAT16:
        return "float16", position + _aligned(2 * weights.number), 2 * weights.number
    if tag == _INT8:
        return "int8", position + _aligned(weights.number), weights.number
    if tag in (0, _SCALED):
        return "float32", position + 4 * weights.number, 4 * weights.number
    # Any other tag: a table of 256 floats, and an index byte for each weight.
    return "uint8", position + _TABLE_BYTES + _aligned(weights.number), weights.number


def _aligned(size: int) -> int:
    return -(-size // 4) * 4


def _outputs(graph: Graph) -> tuple[TensorInfo, ...]:
    """Return the outputs, with the length of the scores where the last layer defines it."""
    classes = _classes(graph)
    shape = None if classes is None else (classes,)
    return tuple(
        TensorInfo(name, shape if len(graph.outputs) == 1 else None, "float32")
        for name in graph.outputs
    )


def _classes(graph: Graph) -> int | None:
    """Return the number of scores of the last linear layer."""
    for layer in reversed(graph.layers):
        if layer.kind == "InnerProduct":
            return layer.integer(0)
    return None
