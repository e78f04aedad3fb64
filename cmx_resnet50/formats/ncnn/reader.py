"""The reader of ncnn models: a graph as text (`.param`) and its weights (`.bin`) next to it.

The weights have neither names nor lengths, so a `.bin` is complete if it is as long as the layers
of the `.param` need together, computed with ncnn's own rules of padding and tags.
"""

from __future__ import annotations

import mmap
import struct
from collections import Counter
from pathlib import Path

from cmx_resnet50.formats.classifier import Kind, count_classes
from cmx_resnet50.formats.classifier import Layer as HeadLayer
from cmx_resnet50.formats.facts import Damaged, ModelFacts, NotAModel, TensorInfo
from cmx_resnet50.formats.ncnn.layers import Layer, Weights, weights_of
from cmx_resnet50.formats.ncnn.param import Graph, read_graph
from cmx_resnet50.formats.protobuf import map_file
from cmx_resnet50.formats.tensors import precision_of, printable

_FLOAT16, _INT8, _SCALED = 0x01306B47, 0x000D4B38, 0x0002C056
_TABLE_BYTES = 256 * 4
_HEAD = {
    "ArgMax": Kind.ARGMAX,
    "Cast": Kind.PASS,
    "Clip": Kind.RECTIFY,
    "Convolution": Kind.CONVOLUTION,
    "Dropout": Kind.PASS,
    "ExpandDims": Kind.PASS,
    "Flatten": Kind.PASS,
    "InnerProduct": Kind.DENSE,
    "Noop": Kind.PASS,
    "Packing": Kind.PASS,
    "Reduction": Kind.POOL,
    "ReLU": Kind.RECTIFY,
    "Reshape": Kind.PASS,
    "Softmax": Kind.SOFTMAX,
    "Split": Kind.PASS,
    "Squeeze": Kind.PASS,
}
_PARAM, _BIN = ".param", ".bin"
_SHOWN = 5


def read_facts(path: Path) -> ModelFacts:
    """Read the facts of an ncnn model, given either file of the pair.

    The other file is next to it, under the same name with the other suffix. A graph without its
    weights has facts, too.

    Raises
    ------
    NotAModel
        If it is not an ncnn graph, or weights without one.
    Damaged
        If the graph contradicts itself, or the weights are shorter than its layers need.
    OSError
        If a file cannot be read.
    """
    graph_path, weights_path = pair(path)
    with map_file(graph_path) as document:
        graph = read_graph(document.data)
    warnings = list(graph.warnings)
    walked: tuple[int, Counter[str]] | None = None
    unknown = sorted({layer.kind for layer in graph.layers if weights_of(layer) is None})
    if not weights_path.is_file():
        warnings.append(
            f"its weights, {weights_path.name}, are not next to it: precision and parameters are"
            " not known"
        )
    elif unknown:
        shown = ", ".join(printable(kind) for kind in unknown[:_SHOWN])
        warnings.append(
            f"layers of a type that is not known here ({shown}): the length of"
            f" {weights_path.name} was not checked"
        )
    else:
        with map_file(weights_path) as document:
            count, by_dtype, left = _walk(document.data, graph.layers)
        walked = count, by_dtype
        if left:
            warnings.append(
                f"{left:,} bytes follow the weights in {weights_path.name}: it may be of another"
                " graph"
            )
    is_image = any(len(info.shape or ()) == 3 for info in graph.inputs) or _has_images(graph)
    classes = _classes(graph, is_image=is_image)
    return ModelFacts(
        format="ncnn",
        version={"magic": graph.magic},
        inputs=graph.inputs,
        outputs=_outputs(graph, classes),
        layout="NCHW" if is_image else None,
        precision=precision_of(walked[1]) if walked else None,
        classes=classes,
        parameter_count=walked[0] if walked else None,
        parameter_bytes=walked[1].total() if walked else None,
        warnings=tuple(warnings),
    )


def pair(path: Path) -> tuple[Path, Path]:
    """Return the paths of graph and weights, given either file of a pair.

    Raises
    ------
    NotAModel
        If `path` has neither suffix, or the graph is missing.
    """
    suffixes = {_PARAM: _BIN, _BIN: _PARAM}
    suffix = path.suffix.lower()
    if suffix not in suffixes:
        raise NotAModel(f"an ncnn model is a pair of files named {_PARAM} and {_BIN}")
    other = path.with_suffix(suffixes[suffix])
    if suffix == _PARAM:
        return path, other
    if not other.is_file():
        raise NotAModel(f"is half of an ncnn model: {other.name} is not next to it")
    return other, path


def _has_images(graph: Graph) -> bool:
    """Whether the layers are those of an image, where the input does not fix its shape."""
    return any(layer.kind in ("Convolution", "ConvolutionDepthWise") for layer in graph.layers)


def _walk(data: bytes | mmap.mmap, layers: tuple[Layer, ...]) -> tuple[int, Counter[str], int]:
    """Skip over the weights of all layers.

    Returns
    -------
    count : int
        The number of weights.
    by_dtype : Counter
        Their bytes by type.
    left : int
        How many bytes follow them, which ncnn ignores.

    Raises
    ------
    Damaged
        If the file is shorter than the weights.
    """
    count = 0
    by_dtype: Counter[str] = Counter()
    position = 0
    for layer in layers:
        for weights in weights_of(layer) or ():
            begin = position
            dtype, position, held = _weights(data, weights, position)
            if position > len(data):
                raise Damaged(
                    f"the weights of layer {layer.name!a} need {position - begin:,} bytes where"
                    f" {max(0, len(data) - begin):,} are left: it is cut, or of another graph",
                    begin,
                )
            count += weights.number
            by_dtype[dtype] += held
    return count, by_dtype, len(data) - position


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


def _outputs(graph: Graph, classes: int | None) -> tuple[TensorInfo, ...]:
    """Return the outputs, with the length of the scores where that is known."""
    shape = None if classes is None else (classes,)
    return tuple(
        TensorInfo(name, shape if len(graph.outputs) == 1 else None, "float32")
        for name in graph.outputs
    )


def _classes(graph: Graph, *, is_image: bool) -> int | None:
    makers = {name: layer for layer in graph.layers for name in layer.outputs}

    def layer_of(name: str) -> HeadLayer | None:
        layer = makers.get(name)
        if layer is None or not layer.inputs:
            return None
        kind = _HEAD.get(layer.kind)
        if layer.kind == "Pooling" and layer.integer(0) == 1:
            kind = Kind.POOL
        if kind is None:
            return None
        has_units = kind in (Kind.DENSE, Kind.CONVOLUTION)
        return HeadLayer(kind, layer.inputs[0], layer.integer(0) if has_units else None)

    outputs = [TensorInfo(name, None, "float32") for name in graph.outputs]
    return count_classes(graph.inputs, outputs, layer_of, is_image=is_image)
