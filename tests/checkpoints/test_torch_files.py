"""Files of torch, read without torch. What torch itself writes is compared in parity/test_torch_forms.py."""

from __future__ import annotations

import codecs
import contextlib
import mmap
import os
import pickle
import struct
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from openclip_api.checkpoints.weight_files import read_weights
from openclip_api.errors import CorruptCheckpoint, StartupError, UnsupportedModel

from ..support.torch_files import (
    archive,
    call,
    legacy,
    mapping,
    name,
    number,
    numbers,
    refused,
    state_dict,
    storage,
    tensor,
    text,
)  # fmt: skip

FOUR = np.arange(4, dtype=np.float32)
STORED = {"0": FOUR.tobytes()}
GOOD = state_dict({"a": tensor("0", 4)})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "epoch_3.pt"


@pytest.mark.parametrize("write", [archive, legacy])
def test_a_state_dict(path: Path, write: Callable[..., bytes]):
    path.write_bytes(write(GOOD, STORED))
    weights = read_weights(path)

    np.testing.assert_array_equal(weights["a"], FOUR)
    assert weights["a"].dtype == np.float32


def test_an_archive_is_mapped_and_left_alone(path: Path):
    path.write_bytes(archive(GOOD, STORED))
    before = path.read_bytes()
    array: Any = read_weights(path)["a"]
    array[:] = 7
    while isinstance(array, np.ndarray):
        array = array.base

    assert isinstance(array, mmap.mmap)
    assert path.read_bytes() == before


PLACES = ("state_dict", "model_state_dict", "model", "module")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_a_training_checkpoint(path: Path, place: str, prefix: str):
    """The optimizer's storages are not there at all: they are never touched."""
    moments = mapping({"exp_avg": tensor("9", 1 << 40)})
    optimizer = mapping({"state": moments, "param_groups": b"]"})
    arguments = call(name("argparse", "Namespace")) + mapping({"lr": number(1)}) + b"b"
    inner = mapping({f"{prefix}visual.a": tensor("0", 4)})
    content = {"epoch": number(3), "optimizer": optimizer, "args": arguments, place: inner}
    path.write_bytes(archive(state_dict(content), STORED))

    assert list(read_weights(path).tensors()) == ["visual.a"]


def test_a_checkpoint_two_levels_down(path: Path):
    content = {"model": mapping({"state_dict": mapping({"a": tensor("0", 4)})})}
    path.write_bytes(archive(state_dict(content), STORED))

    assert "a" in read_weights(path)


@pytest.mark.parametrize(
    ("kind", "stored", "expected"),
    [
        ("HalfStorage", np.array([1, 2], np.float16), np.array([1, 2], np.float16)),
        ("BFloat16Storage", np.array([0x3F80, 0xC040], np.uint16), np.array([0x3F80, 0xC040], np.uint16)),
        ("DoubleStorage", np.array([0.1, 1e300]), np.array([0.1, np.inf], np.float32)),
    ],
)
def test_number_formats(path: Path, kind: str, stored: np.ndarray, expected: np.ndarray):
    path.write_bytes(archive(state_dict({"a": tensor("0", 2, kind)}), {"0": stored.tobytes()}))
    array = read_weights(path)["a"]

    assert array.dtype == expected.dtype
    np.testing.assert_array_equal(array, expected)


def test_views_with_strides_and_tied_tensors(path: Path):
    numbers = np.arange(24, dtype=np.float32)
    content = {
        "transposed": tensor("0", 24, shape=[6, 4], stride=[1, 6]),
        "part": tensor("0", 24, offset=5, shape=[2, 3], stride=[12, 2]),
        "one": tensor("0", 24, offset=7, shape=[], stride=[]),
        "again": tensor("0", 24, offset=7, shape=[1, 1], stride=[1 << 60, 5]),
        "none": tensor("0", 24, shape=[0, 4], stride=[4, 1]),
        "repeated": tensor("0", 24, shape=[3, 2], stride=[0, 1]),
    }
    path.write_bytes(archive(state_dict(content), {"0": numbers.tobytes()}))
    weights = read_weights(path)

    np.testing.assert_array_equal(weights["transposed"], numbers.reshape(4, 6).T)
    np.testing.assert_array_equal(weights["part"], [[5, 7, 9], [17, 19, 21]])
    np.testing.assert_array_equal(weights["one"], numbers[7])
    np.testing.assert_array_equal(weights["again"], [[7]])
    assert weights["none"].shape == (0, 4)
    np.testing.assert_array_equal(weights["repeated"], [[0, 1]] * 3)
    assert all(array.flags.c_contiguous and array.flags.aligned for array in weights.tensors().values())


@pytest.mark.parametrize("shift", range(4))
def test_a_tensor_at_an_odd_place_is_aligned(path: Path, shift: int):
    path.write_bytes(legacy(state_dict({"a" * (shift + 1): tensor("0", 4)}), STORED))
    (array,) = read_weights(path).tensors().values()

    assert array.flags.aligned
    np.testing.assert_array_equal(array, FOUR)


REBUILT = {
    "a parameter": call(name("torch._utils", "_rebuild_parameter"), tensor("0", 4), b"\x88", b"}"),
    "a parameter with attributes": call(
        name("torch._utils", "_rebuild_parameter_with_state"), tensor("0", 4), b"\x88", b"}", b"}"
    ),
    "of torch 0.3": call(
        name("torch._utils", "_rebuild_tensor"), storage("0", 4), number(0), numbers([4]), numbers([1])
    ),
    "of a subclass": call(
        name("torch._tensor", "_rebuild_from_type_v2"),
        name("torch._utils", "_rebuild_tensor_v2"),
        name("somebodys", "Tensor"),
        b"(" + storage("0", 4) + number(0) + numbers([4]) + numbers([1]) + b"\x89}t",
        b"}",
    ),
    "of an untyped storage": call(
        name("torch._utils", "_rebuild_tensor_v3"),
        storage("0", 16, "UntypedStorage"),
        number(0),
        numbers([4]),
        numbers([1]),
        b"\x89",
        b"}",
        name("torch", "float32"),
    ),
    "of a size that is a torch.Size": call(
        name("torch._utils", "_rebuild_tensor_v2"),
        storage("0", 4),
        number(0),
        call(name("torch", "Size"), numbers([4])),
        numbers([1]),
        b"\x89",
        b"}",
    ),
}


@pytest.mark.parametrize("kind", REBUILT)
def test_other_constructors_of_a_tensor(path: Path, kind: str):
    path.write_bytes(archive(state_dict({"a": REBUILT[kind]}), STORED))

    np.testing.assert_array_equal(read_weights(path)["a"], FOUR)


def test_a_view_of_a_storage_in_the_older_form(path: Path):
    view = b"(" + text("view") + number(1) + number(3) + b"t"
    stored = b"(" + text("storage") + name("torch", "FloatStorage") + text("0") + text("cpu") + number(4) + view + b"tQ"
    rebuilt = call(name("torch._utils", "_rebuild_tensor"), stored, number(1), numbers([2]), numbers([1]))
    path.write_bytes(legacy(state_dict({"a": rebuilt}), STORED))

    np.testing.assert_array_equal(read_weights(path)["a"], [2, 3])


def test_a_state_dict_of_python_2(path: Path):
    key = b"U\x01a"  # a byte string, as all were
    pairs = b"](" + b"]" + b"(" + key + tensor("0", 4) + b"e" + b"e"
    path.write_bytes(legacy(b"\x80\x02" + call(name("collections", "OrderedDict"), pairs) + b".", STORED))

    np.testing.assert_array_equal(read_weights(path)["a"], FOUR)


class Runs:
    """What a pickle may hold to run something when it is loaded."""

    def __init__(self, what: Callable[..., object], *arguments: object) -> None:
        self.call = what, arguments

    def __reduce__(self) -> Any:
        return self.call


def hostile(sentinel: Path) -> dict[str, bytes]:
    """Pieces of a pickle that leave one value on the stack; each would make the file `sentinel` if it were loaded."""
    make, python = f"touch {sentinel}", f"open({str(sentinel)!r}, 'w').close()"
    module = f"__import__('pathlib').Path({str(sentinel)!r}).touch()"
    system, evaluate = name("os", "system"), name("builtins", "eval")
    args = b"(" + text(make) + b"t"
    return {
        "GLOBAL, REDUCE": system + args + b"R",
        "posix": name("posix", "system") + args + b"R",
        "eval": evaluate + b"(" + text(module) + b"tR",
        "exec": name("builtins", "exec") + b"(" + text(python) + b"tR",
        "Python 2's name": name("__builtin__", "eval") + b"(" + text(module) + b"tR",
        "STACK_GLOBAL": text("os") + text("system") + b"\x93" + args + b"R",
        "a name with dots": text("builtins") + text("eval.__call__") + b"\x93" + b"(" + text(module) + b"tR",
        "INST": b"(" + text(make) + b"ios\nsystem\n",
        "OBJ": b"(" + system + text(make) + b"o",
        "NEWOBJ": name("subprocess", "Popen") + b"(" + text(make) + b"t\x81",
        "NEWOBJ_EX": name("subprocess", "Popen") + b"(" + text(make) + b"t}" + text("shell") + b"\x88s\x92",
        "BUILD with __setstate__": (
            name("torch._utils", "_rebuild_tensor_v2") + mapping({"__setstate__": system}) + b"b" + text(make) + b"b"
        ),
        "BUILD with slots": system + b"(}" + mapping({"__code__": text("x")}) + b"tb",
        "copyreg": (
            call(name("copyreg", "add_extension"), text("os"), text("system"), number(200)) + b"0\x82\xc8" + args + b"R"
        ),
        "an extension code": b"\x82\x01" + args + b"R",
        "a longer extension code": b"\x83\x01\x01" + args + b"R",
        "the longest extension code": b"\x84\x01\x01\x01\x01" + args + b"R",
        "getattr": call(name("builtins", "getattr"), name("os", "path"), text("os")) + args + b"R",
        "map": call(name("builtins", "list"), call(name("builtins", "map"), system, b"]" + text(make) + b"a")),
        "runpy": call(name("runpy", "_run_code"), text(module), b"}"),
        "pip": call(name("pip", "main"), b"]" + text("install") + b"a"),
        "a constructor given a call": call(
            name("torch._tensor", "_rebuild_from_type_v2"), system, name("torch", "Tensor"), args, b"}"
        ),
        "torch.load again": call(name("torch", "load"), text(str(sentinel))),
        "torch.jit.load": call(name("torch.jit", "load"), text(str(sentinel))),
        "numpy's pickles": call(name("numpy", "load"), text(str(sentinel))),
        "a default factory": call(name("collections", "defaultdict"), system) + text(make) + b"Ns",
        "a persistent id of text": b"Pos.system\n",
        "a persistent id of another kind": (
            b"(" + text("module") + text("os") + text(make) + text(make) + b"tQ" + args + b"R"
        ),
        "a persistent id that is a number": number(5) + b"Q",
        "a text called": text("system") + args + b"R",
        "a tuple called": b")" + args + b"R",
        "out-of-band data": b"\x97",
        "Python's own pickle of a call": pickle.dumps(Runs(os.mkdir, str(sentinel)), 2)[2:-1],
        "the same, of protocol 0": pickle.dumps(Runs(os.mkdir, str(sentinel)), 0)[:-1],
        "the same, of protocol 5": pickle.dumps(Runs(os.mkdir, str(sentinel)), 5)[11:-1],
    }  # fmt: skip


@pytest.mark.parametrize("kind", hostile(Path("x")))
@pytest.mark.parametrize("write", [archive, legacy])
def test_nothing_in_a_pickle_is_run(tmp_path: Path, path: Path, kind: str, write: Callable[..., bytes]):
    """Beside the tensors, as the whole of the file, and as a tensor."""
    sentinel = tmp_path / "it-ran"
    piece = hostile(sentinel)[kind]
    codecs.lookup("raw-unicode-escape")  # which Python's own reader of protocol 0 imports
    modules = set(sys.modules)
    for content in (
        state_dict({"a": tensor("0", 4), "extra": piece}),
        b"\x80\x02" + piece + b".",
        b"\x80\x04" + text("x") + piece + b"0" + state_dict({"a": tensor("0", 4)})[2:],
        state_dict({"state_dict": mapping({"a": tensor("0", 4), "b": piece})}),
        state_dict({"state_dict": piece}),
    ):
        path.write_bytes(write(content, STORED))
        with contextlib.suppress(StartupError):
            assert list(read_weights(path).tensors()) == ["a"]
    assert not sentinel.exists()
    assert set(sys.modules) == modules


def test_pythons_own_pickle_would_have_run_them(tmp_path: Path):
    """Else the test above would prove little."""
    for kind in ("eval", "exec", "Python's own pickle of a call"):  # those that start no process
        sentinel = tmp_path / kind
        pickle.loads(b"\x80\x02" + hostile(sentinel)[kind] + b".")
        assert sentinel.exists()


def test_the_wrong_names_stay_out_of_the_constructors(path: Path):
    """A value that is no tensor is left out, like an epoch's number."""
    content = {"a": tensor("0", 4), "b": call(name("somebodys._utils", "tensor"), number(1))}
    path.write_bytes(archive(state_dict(content), STORED))

    assert list(read_weights(path).tensors()) == ["a"]


WRONG_TENSORS = {
    "longer than its storage": (tensor("0", 5), "a storage of 5 numbers, more than the file holds"),
    "a view beyond its storage": (tensor("0", 4, offset=1, shape=[4]), "beyond its storage, which has 4 numbers"),
    "a step beyond its storage": (tensor("0", 4, shape=[2], stride=[4]), "reaches beyond its storage"),
    "an axis that is repeated": (tensor("0", 4, shape=[1 << 40, 4], stride=[0, 1]), "reaches beyond its storage"),
    "a size that overflows": (tensor("0", 4, shape=[1 << 61] * 4, stride=[0] * 4), "reaches beyond its storage"),
    "a negative offset": (tensor("0", 4, offset=-1), "is no number from 0"),
    "a negative step": (tensor("0", 4, shape=[4], stride=[-1], offset=3), "is no number from 0"),
    "a negative size": (tensor("0", 4, shape=[-4]), "is no number from 0"),
    "a huge number": (tensor("0", 4, offset=1 << 900), "is no number from 0"),
    "a huge count": (tensor("0", 1 << 62), "is no number from 0"),
    "a count below 0": (tensor("0", -4, shape=[4]), "is no number from 0"),
    "a step too many": (tensor("0", 4, shape=[4], stride=[1, 1]), "has 1 sizes and 2 steps"),
    "a thousand axes": (tensor("0", 4, shape=[1] * 1000, stride=[1] * 1000), "has 1000 sizes"),
    "an empty tensor of absurd sizes": (tensor("0", 4, shape=[0, 1 << 60, 1 << 60], stride=[1, 1, 1]), "tensor 'a'"),
    "no such storage": (tensor("7", 4), "has a storage that the file does not hold"),
    "a storage outside": (tensor("../../../etc/passwd", 4), "has a storage that the file does not hold"),
    "whole numbers": (tensor("0", 2, "LongStorage"), "has type Long, expected one of Float, Half, BFloat16, Double"),
    "an unknown type": (tensor("0", 2, "OddStorage"), "has type Odd, expected"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG_TENSORS)
def test_a_tensor_is_checked_against_its_storage(path: Path, kind: str):
    written, reason = WRONG_TENSORS[kind]
    message = refused(path, archive(state_dict({"a": written}), STORED))

    assert "tensor 'a'" in message
    assert reason in message


def test_views_of_one_storage_cannot_fill_the_memory(path: Path):
    """Each would be copied: 1000 times the file."""
    content = {str(n): tensor("0", 10_000, shape=[100, 100], stride=[1, 100]) for n in range(1000)}

    assert "more memory than the file has bytes" in refused(path, archive(state_dict(content), {"0": bytes(40_000)}))


def test_a_name_of_a_million_letters(path: Path):
    message = refused(path, archive(state_dict({"a" * 1_000_000: tensor("0", 4)}), STORED))

    assert "has a tensor whose name has 1,000,000 characters" in message


def test_an_archive_of_more_than_4_gb(path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its list of members has another form, which zipfile writes for small ones too if it is told to."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 10)
    content = archive(GOOD, STORED)
    monkeypatch.undo()
    path.write_bytes(content)

    assert b"PK\x06\x06" in content
    np.testing.assert_array_equal(read_weights(path)["a"], FOUR)


def module(attributes: bytes) -> bytes:
    """As TorchScript writes one."""
    return name("__torch__.towers", "Tower") + b")\x81" + attributes + b"b"


PROGRAM = {"archive/constants.pkl": b"\x80\x02).", "archive/code/__torch__.py": b"..."}


def test_a_torchscript_module(path: Path):
    inner = module(mapping({"weight": tensor("0", 4), "training": b"\x89"}))
    content = b"\x80\x02" + module(mapping({"visual": inner, "logit_scale": tensor("0", 4)})) + b"."
    path.write_bytes(archive(content, STORED, PROGRAM))

    assert sorted(read_weights(path).tensors()) == ["logit_scale", "visual.weight"]


@pytest.mark.slow
def test_torchscript_modules_that_multiply(path: Path):
    """Forty levels with the next one twice in each: 2**40 modules."""
    content = module(mapping({"weight": tensor("0", 4)}))
    for level in range(40):
        put = b"q" + bytes([level])
        content = content + put + b"0" + module(b"}(" + text("a") + b"h" + put[1:] + text("b") + b"h" + put[1:] + b"u")

    assert "more TorchScript modules" in refused(path, archive(b"\x80\x02" + content + b".", STORED, PROGRAM))


def test_a_torchscript_module_in_itself(path: Path):
    content = name("__torch__.towers", "Tower") + b")\x81q\x00}" + text("a") + b"h\x00sb"

    assert "more TorchScript modules" in refused(path, archive(b"\x80\x02" + content + b".", STORED, PROGRAM))


def nested(opcodes: bytes, count: int, close: bytes = b"") -> bytes:
    return b"\x80\x02" + opcodes * count + close * count + b"."


WRONG_PICKLES = {
    "empty": (b"", "damaged or cut"),
    "no end": (GOOD[:-1], "damaged or cut"),
    "cut": (GOOD[:40], "damaged or cut"),
    "nothing on the stack": (b"\x80\x02.", "damaged or cut"),
    "an unknown opcode": (b"\x80\x02\xff.", "damaged or cut"),
    "a text longer than the file": (b"\x80\x02X\xff\xff\xff\x7fabc.", "damaged or cut"),
    "bytes longer than the memory": (b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x7fabc.", "damaged or cut"),
    "a memo index that was never put": (b"\x80\x02j\xff\xff\xff\xff.", "damaged or cut"),
    "a huge decimal memo index": (b"\x80\x02Np99999999999999999999999\n.", "memo index that is too large"),
    "a huge memo index": (b"\x80\x02Nr\xff\xff\xff\xff.", "holds no model's tensors"),
    "marks inside each other": (nested(b"(", 100_000, b"t"), "nested deeper than 1000"),
    "tuples inside each other": (nested(b")" + b"\x85" * 300_000, 1), "holds no model's tensors"),
    "lists inside each other": (nested(b"]", 200_000, b"a")[:-2] + b".", "holds no model's tensors"),
    "a list in itself": (b"\x80\x02]q\x00h\x00a.", "holds no model's tensors"),
    "a dict in itself": (b"\x80\x02}q\x00" + text("model") + b"h\x00s.", "holds no model's tensors"),
    "too many opcodes": (nested(b"N0", 600_000), "more than 1,000,000 opcodes"),
    "a number of 100,000 digits": (b"\x80\x02I" + b"9" * 100_000 + b"\n.", "damaged or cut"),
    "a name of 100,000 letters": (b"\x80\x02c" + b"a" * 100_000 + b"\nb\n.", "damaged or cut"),
    "a name that grows": (text("a" * 9000) + text("b") + b"\x93.", "a name that is no text, or is too long"),
    "a mark too few": (b"\x80\x02t.", "damaged or cut"),
    "a key without a value": (b"\x80\x02}(" + text("a") + b"u.", "damaged or cut"),
    "a key that is a list": (b"\x80\x02}]Ns.", "holds no model's tensors"),
    "a key that is a deep tuple": (b"\x80\x02}" + b")" + b"\x85" * 100_000 + b"Ns.", "holds no model's tensors"),
}


@pytest.mark.parametrize("kind", WRONG_PICKLES)
def test_a_wrong_pickle_is_refused(path: Path, kind: str):
    content, reason = WRONG_PICKLES[kind]

    assert reason in refused(path, archive(content, STORED))


def test_keys_of_equal_hash_cost_no_more(path: Path):
    """Python's hash of a number is the number modulo 2**61 - 1: 100,000 of one hash in a dict would take minutes."""
    step = (1 << 61) - 1
    keys = b"".join(number(n * step) + b"N" for n in range(100_000))

    assert "holds no model's tensors" in refused(path, archive(b"\x80\x02}(" + keys + b"u."))


def test_a_pickle_is_no_longer_than_a_bound(path: Path):
    content = b"\x80\x02" + text("a" * 33_000_000) + b"."

    assert "its data.pkl has 33,000,008 bytes, more than 32,000,000" in refused(path, archive(content))


def test_a_legacy_storage_longer_than_the_file(path: Path):
    whole = legacy(GOOD, STORED)

    assert "was cut" in refused(path, whole[:-1])
    assert "was cut" in refused(path, whole.replace(struct.pack("<q", 4) + STORED["0"], b"\xff" * 8))


WRONG_ARCHIVES: dict[str, tuple[Callable[[], bytes], str]] = {
    "compressed": (lambda: archive(GOOD, STORED, compression=zipfile.ZIP_DEFLATED), "is a compressed zip archive"),
    "a zip bomb": (
        lambda: archive(b"\x80\x02" + b"N" * 10_000_000, compression=zipfile.ZIP_DEFLATED),
        "is a compressed zip archive",
    ),
    "big-endian": (lambda: archive(GOOD, STORED, {"archive/byteorder": b"big"}), "big-endian"),
    "another order": (lambda: archive(GOOD, STORED, {"archive/byteorder": b"little" * 9}), "big-endian"),
    "cut in the middle": (lambda: archive(GOOD, STORED)[:-150], "a download that was cut"),
    "its list of members damaged": (
        lambda: archive(GOOD, STORED).replace(b"PK\x01\x02", b"PK\x01\x03"),
        "damaged zip archive",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG_ARCHIVES)
def test_a_wrong_archive_is_refused(path: Path, kind: str):
    make, reason = WRONG_ARCHIVES[kind]

    assert any(part in refused(path, make()) for part in reason.split("|"))


def in_list(content: bytes, member: str, at: int, value: bytes) -> bytes:
    """The archive with another value in the list's entry of a member, `at` bytes behind its start."""
    entry = content.index(b"PK\x01\x02", content.index(member.encode()))
    while not content.startswith(member.encode(), entry + 46):
        entry = content.index(b"PK\x01\x02", entry + 4)
    return content[: entry + at] + value + content[entry + at + len(value) :]


LIES = {
    "a member of another place": (42, struct.pack("<I", 5), "is not where the archive says"),
    "a member beyond the file": (42, struct.pack("<I", 1 << 30), "damaged zip archive|not where the archive says"),
    "a size beyond the file": (20, struct.pack("<II", 1 << 30, 1 << 30), "lies over another or beyond the file's end"),
    "a size over the next member": (20, struct.pack("<II", 90, 90), "lies over another or beyond"),
    "encrypted": (8, b"\x01\x00", "is encrypted"),
}


@pytest.mark.parametrize("kind", LIES)
def test_a_list_of_members_that_lies(path: Path, kind: str):
    at, value, reason = LIES[kind]
    content = in_list(archive(GOOD, STORED, {"archive/version": b"3"}), "archive/data/0", at, value)

    assert any(part in refused(path, content) for part in reason.split("|"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name(path: Path):
    assert "the same name" in refused(path, archive(GOOD, STORED, {"archive/data/0": b"other"}))


def test_a_long_list_of_members(path: Path):
    """Each entry would take ten times its bytes."""
    entry = b"PK\x01\x02" + bytes(42)
    content = b"PK\x03\x04" + entry * 200_000
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 46 * 200_000, 4, 0)

    assert peak_of(lambda: refused(path, content + end)) < 60_000_000


def peak_of(act: Callable[[], object]) -> int:
    """The most bytes that Python's own objects had meanwhile."""
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.parametrize(
    "opcodes", [b"}\x94" * 499_000, b"]" * 999_000, b"(l\x94" * 330_000, b"}K\x01Ns" * 249_000, b"\x8f" * 999_000]
)
def test_a_million_opcodes_take_little_memory(path: Path, opcodes: bytes):
    """Each makes a container and keeps it."""
    content = archive(b"\x80\x04" + opcodes + b".")

    assert peak_of(lambda: refused(path, content)) < 200_000_000


@pytest.mark.parametrize("error", [CorruptCheckpoint, UnsupportedModel])
def test_what_is_damaged_is_told_from_what_is_something_else(path: Path, error: type[StartupError]):
    path.write_bytes(archive(GOOD[:40]) if error is CorruptCheckpoint else archive(state_dict({"epoch": number(3)})))

    with pytest.raises(error):
        read_weights(path)
