"""ncnn's graph: a text of one layer a line, parsed into layers, inputs and outputs.

The first line is a magic number, the second the numbers of layers and blobs, each further one is
``type name inputs outputs [blob names] [number=value]``, where an array is written as
``-23300-number=length,value,value``.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass

from cmx_resnet50.formats.facts import Damaged, NotAModel, TensorInfo
from cmx_resnet50.formats.ncnn.layers import Layer, Value

MAGIC = 7767517
_BYTES = 1 << 20
_LAYERS = 20_000
_WORDS = 100_000
_WORD = 256
"""Limits of the text: bytes, lines, words, bytes of a word; a ResNet-50 has 10 KB in 125 lines."""

_PARAMETERS = 32
_ARRAY = 23300
_DIGITS = 15
"""ncnn reads at most so many characters of a number."""


@dataclass(frozen=True)
class Graph:
    """The contents of a `.param`."""

    magic: int
    layers: tuple[Layer, ...]
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[str, ...]


def read_graph(data: bytes | mmap.mmap) -> Graph:
    """Read a `.param`.

    Raises
    ------
    NotAModel
        If it does not begin with ncnn's magic number.
    Damaged
        If a line contradicts the format, or uses a blob that no line before it produces.
    """
    if len(data) > _BYTES:
        raise NotAModel(f"is too long for an ncnn graph: {len(data):,} bytes", 0)
    lines = _lines(data[:])
    if not lines or lines[0][1] != [b"%d" % MAGIC]:
        raise NotAModel(f"is not an ncnn graph: it does not begin with {MAGIC}", 0)
    if len(lines) < 2 or len(lines[1][1]) != 2:
        raise Damaged("the graph lacks the numbers of its layers and blobs", len(data))
    at, words = lines[1]
    layer_count, blob_count = _integer(words[0], at), _integer(words[1], at)
    if len(lines) - 2 != layer_count:
        raise Damaged(
            f"the graph declares {layer_count:,} layers and has {len(lines) - 2:,}: it is cut", at
        )
    layers, inputs = [], []
    blobs: dict[str, bool] = {}  # whether a layer reads it
    for at, words in lines[2:]:
        layer, bottoms, tops = _layer(words, at)
        for bottom in bottoms:
            if bottom not in blobs:
                raise Damaged(f"layer {layer.name!a} reads {bottom!a}, which no layer produces", at)
            blobs[bottom] = True
        for top in tops:
            if top in blobs:
                raise Damaged(f"layer {layer.name!a} produces {top!a} a second time", at)
            blobs[top] = False
        if layer.kind == "Input":
            inputs += [TensorInfo(top, _input_shape(layer), "float32") for top in tops]
        layers.append(layer)
    if len(blobs) != blob_count:
        raise Damaged(
            f"the graph declares {blob_count:,} blobs and has {len(blobs):,}", lines[1][0]
        )
    outputs = tuple(name for name, taken in blobs.items() if not taken)
    return Graph(MAGIC, tuple(layers), tuple(inputs), outputs)


def _lines(content: bytes) -> list[tuple[int, list[bytes]]]:
    """Return offset and words of each line that is not empty."""
    lines = []
    at = words_seen = 0
    for line in content.split(b"\n"):
        words = line.split()
        words_seen += len(words)
        if words:
            lines.append((at, words))
        if len(lines) > _LAYERS + 2 or words_seen > _WORDS:
            raise Damaged(f"the graph has more than {_LAYERS:,} lines or {_WORDS:,} words", at)
        at += len(line) + 1
    return lines


def _layer(words: list[bytes], at: int) -> tuple[Layer, list[str], list[str]]:
    """Return a layer with the names of the blobs that it reads and produces."""
    if len(words) < 4:
        raise Damaged("a line of the graph is cut", at)
    taken, given = _integer(words[2], at), _integer(words[3], at)
    first = 4 + taken
    last = first + given
    if taken < 0 or given < 0 or last > len(words):
        raise Damaged("a line of the graph names fewer blobs than it declares", at)
    names = [_name(word, at) for word in words[:2]]
    values: dict[int, Value] = {}
    for word in words[last:]:
        number, value = _parameter(word, at)
        values[number] = value
    layer = Layer(names[0], names[1], values, at)
    return (
        layer,
        [_name(word, at) for word in words[4:first]],
        [_name(word, at) for word in words[first:last]],
    )


def _parameter(word: bytes, at: int) -> tuple[int, Value]:
    key, equals, text = word.partition(b"=")
    number = _integer(key, at)
    is_array = number <= -_ARRAY
    if is_array:
        number = -number - _ARRAY
    if not equals or not 0 <= number < _PARAMETERS:
        raise Damaged("a line of the graph has an invalid parameter", at)
    if not is_array:
        return number, _value(text, at)
    length, *values = text.split(b",")
    if _integer(length, at) != len(values):
        raise Damaged("an array of the graph has another length than it declares", at)
    return number, tuple(_value(one, at) for one in values)


def _value(text: bytes, at: int) -> int | float:
    if b"." in text or b"e" in text.lower():
        try:
            return float(text)
        except ValueError:
            raise Damaged("a parameter of the graph is not a number", at) from None
    return _integer(text, at)


def _integer(text: bytes, at: int) -> int:
    digits = text.removeprefix(b"-")
    if not digits.isdigit() or len(text) > _DIGITS:
        raise Damaged("the graph has something else in place of an integer", at)
    return int(text)


def _name(word: bytes, at: int) -> str:
    if len(word) > _WORD:
        raise Damaged("a name of the graph is too long", at)
    return word.decode("utf-8", "backslashreplace")


def _input_shape(layer: Layer) -> tuple[int, ...] | None:
    """Return the shape of an input, channels first, None where the graph does not fix it."""
    sizes = tuple(layer.size(number) for number in (2, 11, 1, 0))
    return tuple(size for size in sizes if size) or None
