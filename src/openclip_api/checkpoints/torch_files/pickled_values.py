"""The values of a pickle that is described and not run: see pickles.py. Source: torch/_utils.py (2.14)."""

from __future__ import annotations

from dataclasses import dataclass


class NotReadable(ValueError):
    """The pickle is damaged, or asks for what no file with tensors needs."""


@dataclass(frozen=True, slots=True)
class Name:
    """What the pickle calls "module name": a class or a function that stays unknown."""

    text: str


@dataclass(eq=False, slots=True)
class Instance:
    """What calling a name would have made. state: what it would have been filled with."""

    name: str
    state: object = None


@dataclass(frozen=True, slots=True)
class Storage:
    """kind: torch's class, as "torch FloatStorage". key: which of the file's storages. start, count: in its numbers."""

    kind: str
    key: str
    count: int
    start: int = 0


@dataclass(frozen=True, slots=True)
class Tensor:
    """A view of a storage, as written: nothing in it is checked yet. dtype: a name that the storage does not tell."""

    storage: Storage
    offset: object
    shape: object
    stride: object
    dtype: str | None = None


def as_dict(items: list[object]) -> dict[object, object]:
    """keys and values in turn → a dict."""
    return {_key(key): value for key, value in zip(items[::2], items[1::2], strict=True)}


def _key(key: object) -> object:
    """A key as it is, where nobody can choose its hash; thousands of equal hashes would cost minutes."""
    plain = isinstance(key, (str, bytes)) or (isinstance(key, int) and abs(key) < 1 << 63)
    return key if plain else Instance("")


def as_name(name: object) -> str:
    if not isinstance(name, Name):
        raise NotReadable("its pickle calls what is no name")
    return name.text


def as_tuple(value: object) -> tuple[object, ...]:
    if not isinstance(value, tuple):
        raise NotReadable("its pickle has something else where a tuple belongs")
    return value


def stored_by(identity: tuple[object, ...]) -> Storage | Name:
    """torch's persistent ids: ("storage", class, key, device, count), in the old form also a view (key, start, count).

    The old form also has ("module", class, file, source): an nn.Module's class with its source.
    """
    match identity:
        case ("module", Name() as name, *_):
            return name
        case ("storage", Name(text), str() as key, _, int() as count) | (
            "storage", Name(text), str() as key, _, int() as count, None
        ):  # fmt: skip
            return Storage(text, key, count)
        case ("storage", Name(text), str() as key, _, int(), (_, int() as start, int() as count)):
            return Storage(text, key, count, start)
    raise NotReadable("its pickle has a persistent id that is not torch's")


def called(what: object, arguments: tuple[object, ...]) -> object:
    """What the call would give, as a description. Takes no longer for longer arguments."""
    if isinstance(what, Instance):
        return Instance(what.name)
    name = as_name(what)
    if len(arguments) > MOST_ARGUMENTS:
        return Instance(name)
    if name in FROM_TYPE:
        name, arguments = as_name(arguments[0]), as_tuple(arguments[2])
    if name in DICTS:
        return _ordered_dict(arguments)
    if name in AS_THEY_ARE and isinstance(arguments[0], (Tensor, tuple)):
        return arguments[0]
    return _tensor(name, arguments) or Instance(name)


MOST_ARGUMENTS = 10  # torch's constructors have up to 8
# torch/_tensor.py: (constructor, class, its arguments, attributes), for a tensor of a subclass or with attributes.
FROM_TYPE = {
    "torch._tensor _rebuild_from_type_v2",
    "torch._tensor _rebuild_from_type",
    "torch.tensor _rebuild_from_type",
}
DICTS = {"collections OrderedDict", "collections defaultdict", "collections Counter"}
# Their first argument is the tensor, or for Size the tuple.
AS_THEY_ARE = {
    "torch Size",
    "torch.nn.parameter Parameter",
    "torch._utils _rebuild_parameter",
    "torch._utils _rebuild_parameter_with_state",
    "torch._utils _rebuild_device_tensor_from_cpu_tensor",
}


def _tensor(name: str, arguments: tuple[object, ...]) -> Tensor | None:
    """torch/_utils.py: _rebuild_tensor, _rebuild_tensor_v2 (requires_grad, hooks), _rebuild_tensor_v3 (and dtype)."""
    match name, arguments:
        case "torch._utils _rebuild_tensor", (Storage() as storage, offset, shape, stride):
            return Tensor(storage, offset, shape, stride)
        case "torch._utils _rebuild_tensor_v2", (Storage() as storage, offset, shape, stride, _, _, *metadata):
            return Tensor(storage, offset, shape, stride) if _is_plain(metadata) else None
        case "torch._utils _rebuild_tensor_v3", (
            Storage() as storage, offset, shape, stride, _, _, Name(dtype), *metadata
        ):  # fmt: skip
            return Tensor(storage, offset, shape, stride, dtype) if _is_plain(metadata) else None
    return None


def _is_plain(metadata: list[object]) -> bool:
    """Not so for a tensor that stands for its negative or its conjugate: torch/_utils.py, set_tensor_metadata."""
    facts = metadata[0] if metadata else None
    return not facts or (isinstance(facts, dict) and len(facts) < 9 and not any(facts.values()))


def _ordered_dict(arguments: tuple[object, ...]) -> dict[object, object]:
    """Python 2 wrote OrderedDict([[key, value], ...]). Since Python 3 there are no arguments, and SETITEMS follows."""
    pairs = arguments[0] if len(arguments) == 1 else None
    if not isinstance(pairs, list):
        return {}
    items = [item for pair in pairs if isinstance(pair, list) and len(pair) == 2 for item in pair]
    pairs.clear()  # so that a list is read once, however many times the pickle uses it
    return as_dict(items)
