"""The reader of ONNX files: it parses the protobuf around the weights.

Parsing the complete file with the ``onnx`` package takes a third of a second for the import alone
and five times the file's size in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from cmx_resnet50.formats.facts import Damaged, ModelFacts, NotAModel
from cmx_resnet50.formats.onnx.graph import STANDARD, Graph, read_function, read_graph
from cmx_resnet50.formats.onnx.head import count_classes_of
from cmx_resnet50.formats.onnx.records import DTYPES, Tensor, external_file, read_opset, read_pair
from cmx_resnet50.formats.protobuf import LENGTH, VARINT, Document, map_file, peek
from cmx_resnet50.formats.tensors import (
    layout_of,
    precision_of,
    printable,
)

_MODEL_FIELDS = {
    1: VARINT,  # ir_version
    2: LENGTH,  # producer_name
    3: LENGTH,  # producer_version
    4: LENGTH,  # domain
    5: VARINT,  # model_version
    6: LENGTH,  # doc_string
    7: LENGTH,  # graph
    8: LENGTH,  # opset_import
    14: LENGTH,  # metadata_props
    20: LENGTH,  # training_info
    25: LENGTH,  # functions
    26: LENGTH,  # configuration
}

_SHOWN = 5


def sniff(head: bytes) -> bool:
    """Detect an ONNX model by the first bytes of the file."""
    fields = peek(head)
    if not fields or any(_MODEL_FIELDS.get(found.number) != found.wire for found in fields):
        return False
    numbers = {found.number for found in fields}
    # Writers put ir_version first. Other orders are legal, but one field is not enough: bzip2
    # data begins like an opset_import.
    if fields[0].number != 1:
        return {7, 8} <= numbers
    # A version alone is two bytes that many a message begins with.
    if numbers == {1}:
        return False
    # A TensorFlow SavedModel begins likewise, but its field 2 is a message that opens with field 1.
    return not any(
        found.number == 2 and head[found.value : found.value + 1] == b"\n" for found in fields
    )


def read_facts(path: Path) -> ModelFacts:
    """Read the facts of an ONNX file, without its weights.

    Raises
    ------
    NotAModel
        If `path` is not a regular file, or has no graph.
    Damaged
        If the file contradicts the format: cut, altered or hostile.
    NotReadHere
        If it exceeds a limit, or has types that are not known here.
    OSError
        If the file cannot be read.
    """
    with map_file(path) as document:
        return _read_model(document, path.parent)


def _read_model(document: Document, folder: Path) -> ModelFacts:
    version: dict[str, int | str] = {}
    metadata: dict[str, str] = {}
    producer = ["", ""]
    graph: Graph | None = None
    functions = Graph()
    defined: set[tuple[str, str]] = set()
    opsets = 0
    for item in document.fields():
        if item.number == 1:
            version["ir"] = document.integer(item)
        elif item.number in (2, 3):
            producer[item.number - 2] = document.text(item)
        elif item.number == 7:
            if graph is not None:
                raise Damaged("contains two graphs", item.at)
            graph = read_graph(document, item)
        elif item.number == 25:
            defined.add(read_function(document, item, functions))
        elif item.number == 8:
            opsets += 1
            domain, number = read_opset(document, item)
            if domain in ("", "ai.onnx"):
                version["opset"] = number
        elif item.number == 14:
            key, value = read_pair(document, item)
            metadata[key] = value
    if "ir" not in version or graph is None:
        raise NotAModel(
            "is a protobuf message without the graph of an ONNX model: another kind of file, or the"
            " beginning of a model"
        )
    # Required since IR version 3, and written after the weights.
    if int(version["ir"]) >= 3 and not opsets:
        raise Damaged(
            "ends without the version of its operator set: the file is cut", document.size
        )

    tensors = [*graph.parameters.values(), *graph.inner, *functions.inner]
    files, missing = _external_files(tensors, folder)
    sizes: Counter[str] = Counter()
    for tensor in tensors:
        sizes[DTYPES[tensor.dtype][0]] += tensor.size
    inputs = [info for info in graph.inputs if info.name not in graph.initializers]
    return ModelFacts(
        format="onnx",
        version=version,
        producer=" ".join(part for part in producer if part) or None,
        inputs=tuple(inputs),
        outputs=tuple(graph.outputs),
        layout=layout_of([info.shape for info in inputs]),
        precision=None if missing else precision_of(sizes),
        classes=count_classes_of(graph, inputs),
        parameter_count=None if missing else sum(tensor.elements for tensor in tensors),
        parameter_bytes=None if missing else sum(tensor.size for tensor in tensors),
        metadata=metadata,
        files=files,
        requires=(
            *_foreign_operators((graph, functions), defined),
            *(f"external data: the file {location[:200]!r}" for location in files),
        ),
        warnings=missing,
    )


def _external_files(
    tensors: Iterable[Tensor], folder: Path
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the files that hold weights, and what is wrong with them."""
    ends: dict[str, int] = {}
    for tensor in tensors:
        place = tensor.external
        if place is not None:
            length = tensor.size if place.length is None else max(place.length, tensor.size)
            ends[place.location] = max(ends.get(place.location, 0), place.offset + length)
    missing = []
    for location, end in ends.items():
        file = external_file(folder, location)
        if file is None or file.stat().st_size < end:
            state = "not next to it" if file is None else "cut"
            missing.append(
                f"weights are in the file {location[:200]!r}, which is {state}: precision and"
                " parameters are not known"
            )
    return tuple(ends), tuple(missing)


def _foreign_operators(graphs: Iterable[Graph], defined: set[tuple[str, str]]) -> Iterator[str]:
    """Describe the operators that neither ONNX nor the model itself defines."""
    foreign: dict[str, set[str]] = {}
    for graph in graphs:
        for domain, operators in graph.operators.items():
            if domain not in STANDARD:
                left = {op for op in operators if (domain, op) not in defined}
                foreign.setdefault(domain, set()).update(left)
    for domain, operators in sorted(foreign.items()):
        if operators:
            shown = ", ".join(printable(name) for name in sorted(operators)[:_SHOWN])
            more = f" and {len(operators) - _SHOWN} more" if len(operators) > _SHOWN else ""
            yield f"operators of {printable(domain)}: {shown}{more}"
