"""A pickle machine that calls nothing: it builds plain values and hands calls to a vocabulary.

Python's own unpickler calls what a pickle names and trusts the sizes that it claims. This one
implements the opcodes of weight files (protocols 2 to 5, with the text integers that Python 2
mixed in), rejects all others, and has a budget of opcodes and of text, so that a hostile pickle
costs a fraction of a second and a few megabytes. The opcodes are specified by the module
`pickletools` of the standard library.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cmx_resnet50.formats.facts import Damaged, NotReadHere

OPCODES = 250_000
"""Opcodes run for one file; a ResNet-50 state_dict has about 13,000, its TorchScript 20,000."""

TEXT = 4 << 20
"""Bytes of text taken from one file, and `STRING` of them at once."""

STRING = 64 << 10
MARKS = 256
"""Open marks at a time: the depth to which tuples, lists and calls may be nested."""

_LINE = 512
_INTEGER = 16
"""Bytes of an integer: more than 64 bits, as the magic number of PyTorch has 80."""

_KEYS = (str, int, bytes)
"""Keys of a dict. No tuples: the hash of one that contains itself twice, nested, is a bomb."""


@dataclass(frozen=True)
class Global:
    """A name in a module, as a pickle writes it; it is never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Vocabulary(Protocol):
    """What the pickles of a kind of file may name, and what replaces it."""

    def knows(self, name: Global) -> bool:
        """Whether the pickle may name this at all."""

    def build(self, name: Global, args: tuple[object, ...], at: int) -> object:
        """Return what replaces the call of `name`; raise `Damaged` where it is invalid."""

    def resolve(self, persistent: object, at: int) -> object:
        """Return what a persistent id refers to; raise `Damaged` where it is invalid."""


class _Mark:
    """The place on the stack at which a tuple, list or dict begins."""


_MARK = _Mark()


class PickleReader:
    """Reads pickles out of one buffer; its budget is for all of them together.

    Parameters
    ----------
    data : bytes or mmap
        What contains the pickles.
    vocabulary : Vocabulary
        What they may name.
    base : int
        Offset of `data` in the file, for errors.
    """

    def __init__(self, data: bytes | mmap.mmap, vocabulary: Vocabulary, base: int = 0) -> None:
        self._data = data
        self._vocabulary = vocabulary
        self._base = base
        self._opcodes_left = OPCODES
        self._text_left = TEXT
        self._stack: list[object] = []
        self._memo: dict[int, object] = {}
        self._marks = 0
        self._position = self._stop = 0

    def load(self, start: int, stop: int) -> tuple[object, int]:
        """Read the one pickle that begins at `start` and ends before `stop`.

        Returns
        -------
        value : object
            What the pickle describes.
        end : int
            Offset of the first byte after it.

        Raises
        ------
        Damaged
            If it is cut, or contradicts itself.
        NotReadHere
            If it uses an opcode or a name that weights do not need, or exceeds the budget.
        """
        self._stack, self._memo, self._marks = [], {}, 0
        self._position, self._stop = start, min(stop, len(self._data))
        data, steps = self._data, _STEPS
        while self._position < self._stop:
            at = self._position
            opcode = data[at]
            self._position = at + 1
            self._opcodes_left -= 1
            if self._opcodes_left < 0:
                raise self._unread(
                    f"the pickle runs more than {OPCODES:,} opcodes, the limit here", at
                )
            if opcode == _STOP:
                value = self._pop()
                if self._stack:
                    raise self._damaged("the pickle ends with values left over", at)
                return value, self._position
            step = steps.get(opcode)
            if step is None:
                raise self._unread(f"the pickle has the opcode {opcode:#04x}, unknown here", at)
            step(self)
        raise self._damaged("the pickle is cut", self._stop)

    def _damaged(self, reason: str, at: int | None = None) -> Damaged:
        return Damaged(reason, self._base + (self._position - 1 if at is None else at))

    def _unread(self, reason: str, at: int | None = None) -> NotReadHere:
        return NotReadHere(reason, self._base + (self._position - 1 if at is None else at))

    # Bytes

    def _take(self, count: int) -> bytes:
        start = self._position
        end = start + count
        if end > self._stop:
            raise self._damaged(
                f"the pickle claims {count:,} bytes where {self._stop - start:,} are"
            )
        self._position = end
        return self._data[start:end]

    def _number(self, layout: str) -> int:
        (number,) = struct.unpack(layout, self._take(struct.calcsize(layout)))
        return int(number)

    def _line(self) -> str:
        start = self._position
        end = self._data.find(b"\n", start, min(start + _LINE, self._stop))
        if end < 0:
            if self._stop - start > _LINE:
                raise self._unread(f"a line of the pickle is longer than {_LINE} bytes")
            raise self._damaged("the pickle is cut in a line")
        self._position = end + 1
        return self._data[start:end].decode("utf-8", "backslashreplace")

    def _counted(self, layout: str) -> bytes:
        size = self._number(layout)
        if size < 0 or size > self._stop - self._position:
            raise self._damaged(f"a text of the pickle claims {size:,} bytes")
        self._text_left -= size
        if size > STRING or self._text_left < 0:
            raise self._unread(
                f"the pickle contains more text than the limit here: {STRING:,} bytes at once,"
                f" {TEXT:,} together"
            )
        return self._take(size)

    # Stack

    def _push(self, value: object) -> None:
        self._stack.append(value)

    def _pop(self) -> object:
        if not self._stack or self._stack[-1] is _MARK:
            raise self._damaged("the pickle pops a value that does not exist")
        return self._stack.pop()

    def _top(self) -> object:
        if not self._stack or self._stack[-1] is _MARK:
            raise self._damaged("the pickle uses a value that does not exist")
        return self._stack[-1]

    def _mark(self) -> None:
        self._marks += 1
        if self._marks > MARKS:
            raise self._unread(f"the pickle nests deeper than {MARKS}, the limit here")
        self._stack.append(_MARK)

    def _since_mark(self) -> list[object]:
        stack = self._stack
        index = len(stack) - 1
        while index >= 0 and stack[index] is not _MARK:
            index -= 1
        if index < 0:
            raise self._damaged("the pickle closes what it did not open")
        values = stack[index + 1 :]
        del stack[index:]
        self._marks -= 1
        return values

    # Opcodes

    def _protocol(self) -> None:
        version = self._number("<B")
        if not 2 <= version <= 5:
            raise self._unread(f"the pickle has protocol {version}, unknown here")

    def _text(self, layout: str) -> None:
        self._push(self._counted(layout).decode("utf-8", "backslashreplace"))

    def _text_integer(self) -> None:
        line = self._line().rstrip("L")
        if line in ("00", "01"):
            self._push(line == "01")
            return
        digits = line[1:] if line.startswith("-") else line
        if len(line) > 2 * _INTEGER or not (digits.isascii() and digits.isdigit()):
            raise self._damaged("the pickle has an invalid integer")
        self._push(int(line))

    def _long(self) -> None:
        size = self._number("<B")
        if size > _INTEGER:
            raise self._unread(
                f"the pickle has an integer of {size} bytes, more than the limit here of {_INTEGER}"
            )
        self._push(int.from_bytes(self._take(size), "little", signed=True))

    def _float(self) -> None:
        (number,) = struct.unpack(">d", self._take(8))
        self._push(number)

    def _tuple(self, count: int) -> None:
        values = [self._pop() for _ in range(count)]
        self._push(tuple(reversed(values)))

    def _append(self) -> None:
        value = self._pop()
        self._list().append(value)

    def _appends(self) -> None:
        values = self._since_mark()
        self._list().extend(values)

    def _list(self) -> list[object]:
        target = self._top()
        if not isinstance(target, list):
            raise self._damaged("the pickle appends to something other than a list")
        return target

    def _set_item(self) -> None:
        value = self._pop()
        self._set([self._pop(), value])

    def _set(self, values: list[object]) -> None:
        target = self._top()
        if not isinstance(target, dict):
            raise self._damaged("the pickle sets an item of something other than a dict")
        if len(values) % 2:
            raise self._damaged("the pickle sets a key without a value")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not isinstance(key, _KEYS):
                raise self._damaged(
                    "a dict of the pickle has a key that is neither text nor number"
                )
            target[key] = value

    def _put(self, index: int) -> None:
        self._memo[index] = self._top()

    def _get(self, index: int) -> None:
        if index not in self._memo:
            raise self._damaged(f"the pickle recalls value {index}, which it never stored")
        self._push(self._memo[index])

    def _global(self, module: object, name: object) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise self._damaged("the pickle has a name that is not text")
        found = Global(module, name)
        if not self._vocabulary.knows(found):
            raise self._unread(
                f"the pickle names {str(found)[:80]!a}, which weights do not need;"
                " it was not called"
            )
        self._push(found)

    def _stack_global(self) -> None:
        name = self._pop()
        self._global(self._pop(), name)

    def _call(self) -> None:
        args = self._pop()
        name = self._pop()
        if not isinstance(name, Global) or not isinstance(args, tuple):
            raise self._damaged("the pickle calls something without a name")
        self._push(self._vocabulary.build(name, args, self._base + self._position - 1))

    def _build(self) -> None:
        # The state of an object is attributes other than weights: hooks, flags, versions.
        self._pop()
        self._top()

    def _persistent(self) -> None:
        self._push(self._vocabulary.resolve(self._pop(), self._base + self._position - 1))


_STOP = ord(".")
_STEPS: dict[int, Callable[[PickleReader], object]] = {
    0x80: PickleReader._protocol,
    0x95: lambda reader: reader._take(8),  # FRAME: a hint for buffering
    ord("("): PickleReader._mark,
    ord("0"): PickleReader._pop,
    ord("N"): lambda reader: reader._push(None),
    0x88: lambda reader: reader._push(True),
    0x89: lambda reader: reader._push(False),
    ord("I"): PickleReader._text_integer,
    ord("L"): PickleReader._text_integer,
    ord("J"): lambda reader: reader._push(reader._number("<i")),
    ord("K"): lambda reader: reader._push(reader._number("<B")),
    ord("M"): lambda reader: reader._push(reader._number("<H")),
    0x8A: PickleReader._long,
    ord("G"): PickleReader._float,
    ord("T"): lambda reader: reader._text("<i"),
    ord("U"): lambda reader: reader._text("<B"),
    ord("X"): lambda reader: reader._text("<I"),
    0x8C: lambda reader: reader._text("<B"),
    0x8D: lambda reader: reader._text("<Q"),
    ord("B"): lambda reader: reader._push(reader._counted("<I")),
    ord("C"): lambda reader: reader._push(reader._counted("<B")),
    ord(")"): lambda reader: reader._push(()),
    0x85: lambda reader: reader._tuple(1),
    0x86: lambda reader: reader._tuple(2),
    0x87: lambda reader: reader._tuple(3),
    ord("t"): lambda reader: reader._push(tuple(reader._since_mark())),
    ord("]"): lambda reader: reader._push([]),
    ord("l"): lambda reader: reader._push(reader._since_mark()),
    ord("a"): PickleReader._append,
    ord("e"): PickleReader._appends,
    ord("}"): lambda reader: reader._push({}),
    ord("s"): PickleReader._set_item,
    ord("u"): lambda reader: reader._set(reader._since_mark()),
    ord("q"): lambda reader: reader._put(reader._number("<B")),
    ord("r"): lambda reader: reader._put(reader._number("<I")),
    0x94: lambda reader: reader._put(len(reader._memo)),
    ord("h"): lambda reader: reader._get(reader._number("<B")),
    ord("j"): lambda reader: reader._get(reader._number("<I")),
    ord("c"): lambda reader: reader._global(reader._line(), reader._line()),
    0x93: PickleReader._stack_global,
    ord("R"): PickleReader._call,
    0x81: PickleReader._call,
    ord("b"): PickleReader._build,
    ord("Q"): PickleReader._persistent,
}
"""Opcode to what it does."""
