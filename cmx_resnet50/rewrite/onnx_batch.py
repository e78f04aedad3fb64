"""Fix the batch size of an ONNX model.

The graph without its weights is a model of some 100 KB, in which each weight is an input. The
``onnx`` package infers every shape of it and checks it in milliseconds. Then only the records of
inputs, outputs and inner values are replaced in the file, and the old batch size where a Reshape
has it as a number; weights, operators and everything else stay the same, byte for byte. Weights
that are in another file are put into this one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cmx_resnet50.formats.facts import Damaged
from cmx_resnet50.formats.onnx.records import (
    read_tensor,
    read_value_info,
)
from cmx_resnet50.formats.protobuf import (
    Document,
    Field,
    encode_bytes,
    encode_length_prefix,
    map_file,
)
from cmx_resnet50.rewrite.errors import ReshapeError
from cmx_resnet50.rewrite.onnx_inference import infer
from cmx_resnet50.rewrite.onnx_skeleton import (
    GRAPH,
    INITIALIZER,
    INPUT,
    NODE,
    OUTPUT,
    VALUE_INFO,
    Layout,
    embedded,
    read_layout,
    read_skeleton,
)
from cmx_resnet50.rewrite.splice import Extent, Piece, size_of

if TYPE_CHECKING:
    import onnx


_MAX_GRAPH = (1 << 31) - (1 << 20)
"""Bytes of a graph that protobuf can read in one file."""


def plan(source: Path, batch: int) -> list[Piece]:
    """Return the pieces of the file in which the model at `source` has the batch size `batch`.

    Raises
    ------
    ReshapeError
        If the model has not exactly one input, a part of it binds another batch, or a shape
        stays unknown.
    FormatError
        If the file is damaged.
    """
    with map_file(source) as document:
        layout = read_layout(document, source.parent)
        try:
            skeleton = read_skeleton(document, layout)
            weights = {tensor.name for tensor in layout.weights.values()}
            image, changed = infer(skeleton, weights, batch)
            return _pieces(document, layout, skeleton.graph, image, changed)
        except (TypeError, UnicodeError):
            # What the protobuf library makes of such text depends on its version.
            raise Damaged("has text that is not UTF-8") from None
        except (LookupError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise Damaged(f"the onnx package does not take it ({reason})") from None


def _pieces(
    document: Document,
    layout: Layout,
    new: onnx.GraphProto,
    image: onnx.ValueInfoProto,
    changed: set[str],
) -> list[Piece]:
    """Lay out the new file: the old one with the records of values replaced by those of `new`."""
    outputs = iter(new.output)
    nodes = iter(new.node)
    tensors = {tensor.name: tensor for tensor in new.initializer if tensor.name in changed}
    graph: list[Piece] = []
    for part in layout.parts:
        if part.number == INPUT and read_value_info(document, part).name == image.name:
            graph.append(encode_bytes(INPUT, image.SerializeToString()))
        elif part.number == OUTPUT:
            graph.append(encode_bytes(OUTPUT, next(outputs).SerializeToString()))
        elif part.number == NODE:
            node = next(nodes)
            is_changed = node.op_type == "Constant" and node.output[0] in changed
            record = Extent(part.at, part.end)
            graph.append(encode_bytes(NODE, node.SerializeToString()) if is_changed else record)
        elif part.number == INITIALIZER and part not in layout.weights and tensors:
            name = read_tensor(document, part).name
            if name in tensors:
                graph.append(encode_bytes(INITIALIZER, tensors[name].SerializeToString()))
            else:
                graph += _kept(document, layout, part)
        elif part.number == INITIALIZER:
            graph += _kept(document, layout, part)
        elif part.number != VALUE_INFO:
            graph.append(Extent(part.at, part.end))
    graph += [encode_bytes(VALUE_INFO, value.SerializeToString()) for value in new.value_info]

    if size_of(graph) > _MAX_GRAPH:
        raise ReshapeError("it would be larger than 2 GB, with its weights in one file")
    pieces: list[Piece] = []
    for field in layout.model:
        if field is layout.graph:
            pieces.append(encode_length_prefix(GRAPH, size_of(graph)))
            pieces += graph
        else:
            pieces.append(Extent(field.at, field.end))
    return pieces


def _kept(document: Document, layout: Layout, part: Field) -> list[Piece]:
    """Lay out an initializer that stays, with its data in it."""
    if part in layout.external:
        return embedded(document, part, layout.external[part])
    return [Extent(part.at, part.end)]
