"""ncnn's graph: a text of one layer a line, parsed into layers, inputs and outputs.

The first line is a magic number, the second the numbers of layers and blobs, each further one is
``type name inputs outputs [blob names] [number=value]``. A value is an integer, a float, an array
(``1,2,3``, or in older files ``-23300-number=length,value,value``), or text (``"1w,1h,128"``).
Lines are read, as ncnn does, until all layers are there; what follows is ignored.
"""

from __future__ import annotations

import mmap
import re
from dataclasses import dataclass

from cmx_resnet50.formats.facts import Damaged, NotAModel, NotReadHere, TensorInfo
from cmx_resnet50.formats.ncnn.layers import Layer, Value
from cmx_resnet50.formats.tensors import printable

MAGIC = 7767517
_BYTES = 1 << 20
_LAYERS = 20_000
_WORDS = 100_000
_WORD = 255
"""Limits of the text: bytes, layers, words, bytes of a word; a ResNet-50 has 10 KB in 125 lines."""

_PARAMETERS = 32
_ARRAY = 23300
_DIGITS = 15
"""ncnn reads at most so many characters of a number."""

_SHOWN = 5
"""Warnings of one kind."""

_NEXT_WORD = re.compile(rb"\s*(\S+)")
_NEXT_KEY = re.compile(rb"[ \t\r]*([+-]?\d{1,15})=")
_TEXT = re.compile(rb'"([^"\n]{0,254})"|([A-Za-z][^\s"]*)')
_PLAIN = re.compile(rb"\S+")
_END_OF_LINE = re.compile(rb"[ \t\r]*(?:\n|\Z)")
_INTEGER = re.compile(rb"[+-]?\d+")


@dataclass(frozen=True)
class Graph:
    """The contents of a `.param`."""

    magic: int
    layers: tuple[Layer, ...]
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[str, ...]
    warnings: tuple[str, ...]


def read_graph(data: bytes | mmap.mmap) -> Graph:
    """Read a `.param`.

    Raises
    ------
    NotAModel
        If it does not begin with ncnn's magic number.
    Damaged
        If it contradicts the format, or has fewer layers than it declares.
    """
    if len(data) > _BYTES:
        raise NotReadHere(f"has {len(data):,} bytes; ncnn graphs are read here up to {_BYTES:,}", 0)
    text = _Text(data[:])
    if text.word_or_none() != b"%d" % MAGIC:
        raise NotAModel(f"is not an ncnn graph: it does not begin with {MAGIC}", 0)
    layer_count = text.integer("the numbers of its layers and blobs")
    counts_at = text.at
    blob_count = text.integer("the numbers of its layers and blobs")
    if layer_count <= 0 or blob_count <= 0:
        raise Damaged(f"the graph declares {layer_count:,} layers, {blob_count:,} blobs", counts_at)
    if layer_count > _LAYERS:
        raise NotReadHere(
            f"the graph declares {layer_count:,} layers, more than the limit here of {_LAYERS:,}",
            counts_at,
        )
    layers, inputs, warnings = [], [], []
    blobs: dict[str, bool] = {}  # whether a layer reads it
    for index in range(layer_count):
        if text.is_at_end():
            raise Damaged(
                f"the graph declares {layer_count:,} layers and has {index:,}: it is cut", text.at
            )
        layer = text.layer()
        for bottom in layer.inputs:
            if bottom not in blobs:
                warnings.append(
                    f"layer {printable(layer.name)} reads {printable(bottom)}, which no layer"
                    " before it produces"
                )
            blobs[bottom] = True
        for top in layer.outputs:
            blobs.setdefault(top, False)
        if layer.kind == "Input":
            inputs += [TensorInfo(top, _input_shape(layer), "float32") for top in layer.outputs]
        layers.append(layer)
    if len(blobs) > blob_count:
        raise Damaged(f"the graph declares {blob_count:,} blobs and has {len(blobs):,}", counts_at)
    outputs = tuple(name for name, is_read in blobs.items() if not is_read)
    return Graph(MAGIC, tuple(layers), tuple(inputs), outputs, tuple(warnings[:_SHOWN]))


class _Text:
    """The words of a graph, and how many may still be read."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._words_left = _WORDS
        self.at = 0
        """Offset of what is read next."""

    def is_at_end(self) -> bool:
        """Whether only white space is left."""
        return _NEXT_WORD.match(self._content, self.at) is None

    def word_or_none(self) -> bytes | None:
        """Return the next word, None at the end."""
        self._spend()
        found = _NEXT_WORD.match(self._content, self.at)
        if found is None:
            return None
        self.at = found.end()
        return found[1]

    def word(self, what: str = "a line") -> bytes:
        """Return the next word."""
        at = self.at
        found = self.word_or_none()
        if found is None:
            raise Damaged(f"the graph is cut before {what}", at)
        return found

    def name(self) -> str:
        """Return the next word as a name."""
        at = self.at
        found = self.word()
        if len(found) > _WORD:
            raise Damaged("a name of the graph is too long", at)
        return found.decode("utf-8", "backslashreplace")

    def integer(self, what: str = "a line") -> int:
        """Return the next word as an integer."""
        at = self.at
        return _integer(self.word(what), at)

    def layer(self) -> Layer:
        """Return the next layer."""
        at = self.at
        kind, name = self.name(), self.name()
        input_count, output_count = self.integer(), self.integer()
        if not 0 <= input_count <= _WORDS or not 0 <= output_count <= _WORDS:
            raise Damaged(
                f"layer {name!a} declares {input_count} inputs, {output_count} outputs", at
            )
        inputs = tuple(self.name() for _ in range(input_count))
        outputs = tuple(self.name() for _ in range(output_count))
        values: dict[int, Value] = {}
        while (key := _NEXT_KEY.match(self._content, self.at)) is not None:
            self._spend()
            self.at = key.end()
            number, value = self._parameter(int(key[1]))
            values[number] = value
        if _END_OF_LINE.match(self._content, self.at) is None:
            raise Damaged(f"layer {name!a} has an invalid parameter", self.at)
        return Layer(kind, name, values, at, inputs, outputs)

    def _parameter(self, number: int) -> tuple[int, Value]:
        at = self.at
        declares_length = number <= -_ARRAY
        if declares_length:
            number = -number - _ARRAY
        if not 0 <= number < _PARAMETERS:
            raise Damaged(f"the graph has the invalid parameter {number}", at)
        text = _TEXT.match(self._content, at)
        if text is not None and not declares_length:
            self.at = text.end()
            found = text[1] if text[2] is None else text[2]
            return number, found[:_WORD].decode("utf-8", "backslashreplace")
        plain = _PLAIN.match(self._content, at)
        if plain is None or self._content[at : at + 1].isspace():
            raise Damaged(f"parameter {number} of the graph has no value", at)
        self.at = plain.end()
        if not declares_length and b"," not in plain[0]:
            return number, _number(plain[0], at)
        items = plain[0].split(b",")
        self._words_left -= len(items)
        self._spend()
        if declares_length:
            length = _integer(items.pop(0), at)
            if length != len(items):
                raise Damaged("an array of the graph has another length than it declares", at)
        elif not items[-1]:
            items.pop()
        return number, tuple(_number(item, at) for item in items)

    def _spend(self) -> None:
        self._words_left -= 1
        if self._words_left < 0:
            raise NotReadHere(f"the graph has more than {_WORDS:,} words, the limit here", self.at)


def _number(text: bytes, at: int) -> int | float:
    if b"." in text or b"e" in text.lower():
        try:
            if len(text) <= _DIGITS:
                return float(text)
        except ValueError:
            pass
        raise Damaged("a parameter of the graph is not a number", at)
    return _integer(text, at)


def _integer(text: bytes, at: int) -> int:
    found = _INTEGER.fullmatch(text)
    if found is None or len(text) > _DIGITS:
        raise Damaged("the graph has something else in place of an integer", at)
    return int(found[0])


def _input_shape(layer: Layer) -> tuple[int, ...] | None:
    """Return the shape of an input, channels first, None where the graph does not fix it."""
    sizes = [layer.integer(number) for number in (2, 11, 1, 0)]
    if min(sizes) < 0:  # -233 is in place of a size that only the data has
        return None
    return tuple(size for size in sizes if size) or None
