"""What a torch file describes → a model's tensors by name, or a line that says what it is instead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...errors import UnsupportedModel, shown
from ..tower_keys import has_tower
from .files import TorchFile
from .odd_tensors import odd_kind
from .pickled_values import Instance, Tensor

# Where training programs keep the model's tensors: open_clip (state_dict), and others as they are found on the hub.
# Elsewhere are running averages of them and other models, such as a teacher.
PLACES = ("state_dict", "model_state_dict", "model", "module", "net", "weights")
# What else a training program saves, by keys that tell.
STATES = (
    (("optimizer", "optimizer_state_dict", "param_groups"), "an optimizer's state"),
    (("base_lrs", "last_epoch", "_last_lr"), "a learning rate scheduler's state"),
    (("growth_factor", "growth_tracker"), "a gradient scaler's state"),
)
DEEPEST = 4  # {"checkpoint": {"model": {"state_dict": {...}}}}
MOST_ATTRIBUTES = 1_000_000  # of a TorchScript file's modules; the largest model has some 30,000
LONGEST_NAME = 1000
SAVE = "save its tensors with torch.save(model.state_dict(), path)"


def tensors_of(file: TorchFile) -> dict[str, Tensor | Instance]:
    """The model's tensors. What else a training checkpoint holds (optimizer, epoch, arguments) is left unread.

    An Instance is a tensor of a kind that is not read. Raises UnsupportedModel.
    """
    if file.is_program:
        tensors = dict(_of_program(file))
    else:
        tensors = _of_towers(file.path, file.content, set()) or _of_dict(file.content)
    if not tensors:
        raise UnsupportedModel(f"{file.path} {_instead(file)}")
    return tensors


def is_inside(file: TorchFile) -> bool:
    """Whether it is a training program's, with more than tensors, such as the epoch."""
    return isinstance(file.content, dict) and not _tensors(file.content)


def _of_towers(path: Path, content: object, seen: set[int], deepest: int = DEEPEST) -> dict[str, Tensor | Instance]:
    """The dict with a model's towers: at a place of PLACES, else here, else at the one other place that has them.

    Raises UnsupportedModel where several have them.
    """
    if not isinstance(content, dict) or deepest < 0 or id(content) in seen:  # one dict may stand at thousands of places
        return {}
    seen.add(id(content))
    places = [place for place in PLACES if place in content]
    for place in places:
        if tensors := _of_towers(path, content[place], seen, deepest - 1):
            return tensors
    if has_tower(own := _tensors(content)):
        return own
    others = [place for place in content if isinstance(place, str) and place not in places and "optim" not in place]
    found = {place: tensors for place in others if (tensors := _of_towers(path, content[place], seen, deepest - 1))}
    if len(found) > 1:
        raise UnsupportedModel(
            f"{path} holds several models ({shown(list(found))[1:-1]}): save one of them with "
            f"torch.save(torch.load({path.name!r})[{next(iter(found))!r}], 'model.pt')"
        )
    return next(iter(found.values()), {})


def _of_dict(content: object, deepest: int = DEEPEST) -> dict[str, Tensor | Instance]:
    """Without towers: the tensors at a place of PLACES, or here."""
    if not isinstance(content, dict):
        return {}
    for place in PLACES if deepest else ():
        if tensors := _of_dict(content.get(place), deepest - 1):
            return tensors
    return _tensors(content)


def _tensors(content: dict[object, object]) -> dict[str, Tensor | Instance]:
    return {
        key: value
        for key, value in content.items()
        if isinstance(key, str) and (isinstance(value, Tensor) or (isinstance(value, Instance) and odd_kind(value)))
    }


def _of_program(file: TorchFile) -> Iterator[tuple[str, Tensor | Instance]]:
    """A TorchScript module is an instance with its tensors and the modules in it as attributes."""
    waiting, seen = [("", file.content)], 0
    while waiting:
        prefix, module = waiting.pop()
        attributes = _attributes(module)
        seen += len(attributes)
        if seen > MOST_ATTRIBUTES or len(prefix) > LONGEST_NAME:
            raise UnsupportedModel(f"{file.path} has more TorchScript modules inside each other than any model")
        for name, value in attributes.items():
            if not isinstance(name, str):
                continue
            if isinstance(value, Tensor):
                yield f"{prefix}{name}", value
            elif isinstance(value, Instance):
                waiting.append((f"{prefix}{name}.", value))


def _attributes(module: object) -> dict[object, object]:
    state = module.state if isinstance(module, Instance) else None
    return state if isinstance(state, dict) else {}


def _instead(file: TorchFile) -> str:
    """What a file without tensors is: the rest of a sentence that begins with its path."""
    if file.is_program:
        return f"is a TorchScript file whose tensors are frozen into its code: {SAVE}"
    content = file.content
    whole = content if isinstance(content, Instance) else None
    if isinstance(content, dict):
        whole = next((content[place] for place in PLACES if isinstance(content.get(place), Instance)), None)
    if isinstance(whole, Instance):
        kind = shown(whole.name.replace(" ", "."))
        return f"holds a whole pickled module or other object ({kind}), which only its own code can read: {SAVE}"
    for keys, what in STATES:
        if isinstance(content, dict) and any(key in content for key in keys):
            return f"holds {what}, but no model: give the checkpoint with the model's tensors"
    if isinstance(content, Tensor):
        return f"holds one tensor, not a model: {SAVE}"
    return f"holds no model's tensors: {SAVE}"
