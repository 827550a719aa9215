"""A pickle → a description of what it holds. Nothing in it is run: there is no import, no call and no attribute set.

`pickletools.genops` of the standard library splits the bytes into opcodes. The machine here is the one that they are
written for (stack, marks, memo), but for the opcodes that call something: a name stays a `Name`, what would be called
becomes an `Instance` of it, and torch's few constructors of tensors a `Tensor`. Source: CPython's Lib/pickle.py,
_Unpickler (3.11).
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .pickled_values import Instance, Name, NotReadable, Storage, as_dict, as_tuple, called, stored_by

# A training checkpoint of ViT-B-32, 302 tensors and three of each with the optimizer, has 113 KB and 37,000 opcodes;
# the largest models have some six times as many tensors. An opcode costs at most some 250 bytes of memory here.
MOST_BYTES = 32_000_000
MOST_OPCODES = 1_000_000
DEEPEST = 1000  # marks inside each other; Python itself writes no more than its recursion limit
LONGEST_NAME = 250  # characters
LONGEST_LINE = 4096  # bytes of an argument that ends with its line, such as a name or a decimal number

# Opcodes whose argument is the value itself.
VALUES = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES",
    "BINBYTES8", "BYTEARRAY8",
}  # fmt: skip
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
NO_EFFECT = {"PROTO", "FRAME", "STOP"}


class Pickles(io.BytesIO):
    """The start of a file, to read one pickle after the other from. No line is longer than LONGEST_LINE."""

    def readline(self, size: int | None = -1, /) -> bytes:
        return super().readline(LONGEST_LINE)


@dataclass(frozen=True, slots=True)
class Pickled:
    """content: plain values, lists, dicts, and the classes above; sets are lists, and all kinds of dicts plain ones.

    storages: the storages that it names, by key.
    """

    content: object
    storages: dict[str, Storage]


def load(stream: Pickles) -> Pickled:
    """What the next pickle of the stream describes. Raises NotReadable."""
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            machine.step(opcode.name, argument)
        return Pickled(machine.pop(), machine.storages)
    except (NotReadable, MemoryError):
        raise
    except Exception as error:  # a made-up pickle fails at many places
        raise NotReadable("its pickle is damaged or cut") from error


class _Machine:
    def __init__(self) -> None:
        self.stack: list[object] = []
        self.below: list[list[object]] = []  # the stacks below each mark
        self.memo: dict[int, object] = {}
        self.storages: dict[str, Storage] = {}
        self.steps = 0

    def step(self, opcode: str, argument: Any) -> None:
        self.steps += 1
        if self.steps > MOST_OPCODES:
            raise NotReadable(f"its pickle has more than {MOST_OPCODES:,} opcodes")
        if opcode in VALUES:
            self.stack.append(argument)
        elif opcode in CONSTANTS:
            self.stack.append(CONSTANTS[opcode])
        elif opcode in NEW:
            value = NEW[opcode](self)  # which may exchange the stack
            self.stack.append(value)
        elif opcode in STEPS:
            STEPS[opcode](self, argument)
        elif opcode not in NO_EFFECT:
            raise NotReadable(f"its pickle has the opcode {opcode}, which no file with tensors needs")

    def pop(self) -> object:
        return self.stack.pop()

    def pop_tuple(self) -> tuple[object, ...]:
        return as_tuple(self.stack.pop())

    def pop_mark(self) -> list[object]:
        """What was put on the stack since the last mark."""
        items, self.stack = self.stack, self.below.pop()
        return items

    def mark(self, _: None) -> None:
        if len(self.below) == DEEPEST:
            raise NotReadable(f"its pickle is nested deeper than {DEEPEST}")
        self.below.append(self.stack)
        self.stack = []

    def discard(self, _: None) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.pop_mark()

    def put(self, index: int | None) -> None:
        index = len(self.memo) if index is None else index
        if not 0 <= index < 1 << 32:  # larger ones can have equal hashes by the thousands
            raise NotReadable("its pickle has a memo index that is too large")
        self.memo[index] = self.stack[-1]

    def get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    def last_as_tuple(self, count: int) -> None:
        self.stack[-count:] = [tuple(self.stack[len(self.stack) - count :])]

    def extend(self, items: list[object]) -> None:
        if isinstance(target := self.stack[-1], list):
            target.extend(items)

    def set_items(self, items: list[object]) -> None:
        if isinstance(target := self.stack[-1], dict):
            target.update(as_dict(items))

    def name(self, text: str) -> None:
        self.stack.append(Name(text))

    def stack_name(self) -> Name:
        name, module = self.stack.pop(), self.stack.pop()
        if not isinstance(name, str) or not isinstance(module, str) or len(name) + len(module) > LONGEST_NAME:
            raise NotReadable("its pickle has a name that is no text, or is too long")
        return Name(f"{module} {name}")

    def called(self) -> object:
        arguments = self.pop_tuple()
        return called(self.pop(), arguments)

    def called_with_keywords(self) -> object:
        self.pop()
        return self.called()

    def called_in_marks(self) -> object:
        name, *arguments = self.pop_mark()
        return called(name, tuple(arguments))

    def instance(self, text: str) -> None:
        arguments = tuple(self.pop_mark())
        self.stack.append(called(Name(text), arguments))

    def stored(self) -> Storage | Name:
        stored = stored_by(self.pop_tuple())
        if isinstance(stored, Storage):
            self.storages[stored.key] = stored
        return stored

    def build(self, _: None) -> None:
        state = self.pop()
        if isinstance(target := self.stack[-1], Instance):
            target.state = state


# Opcodes that end with a new value on the stack.
NEW: dict[str, Callable[[_Machine], object]] = {
    "DUP": lambda machine: machine.stack[-1],
    "TUPLE": lambda machine: tuple(machine.pop_mark()),
    **dict.fromkeys(("EMPTY_LIST", "EMPTY_SET"), lambda machine: []),
    **dict.fromkeys(("LIST", "FROZENSET"), _Machine.pop_mark),
    "EMPTY_DICT": lambda machine: {},
    "DICT": lambda machine: as_dict(machine.pop_mark()),
    "STACK_GLOBAL": _Machine.stack_name,
    **dict.fromkeys(("REDUCE", "NEWOBJ"), _Machine.called),
    "NEWOBJ_EX": _Machine.called_with_keywords,
    "OBJ": _Machine.called_in_marks,
    "BINPERSID": _Machine.stored,
}
# Other opcodes, with their argument.
STEPS: dict[str, Callable[[_Machine, Any], object]] = {
    "MARK": _Machine.mark,
    "POP": _Machine.discard,
    "POP_MARK": lambda machine, _: machine.pop_mark(),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine.put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.get),
    "TUPLE1": lambda machine, _: machine.last_as_tuple(1),
    "TUPLE2": lambda machine, _: machine.last_as_tuple(2),
    "TUPLE3": lambda machine, _: machine.last_as_tuple(3),
    "APPEND": lambda machine, _: machine.extend([machine.pop()]),
    **dict.fromkeys(("APPENDS", "ADDITEMS"), lambda machine, _: machine.extend(machine.pop_mark())),
    "SETITEM": lambda machine, _: machine.set_items([machine.pop(), machine.pop()][::-1]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_mark()),
    "GLOBAL": _Machine.name,
    "INST": _Machine.instance,
    "BUILD": _Machine.build,
}
