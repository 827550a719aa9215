"""What a torch file describes → a model's tensors by name, or a line that says what it is instead."""

from __future__ import annotations

from collections.abc import Iterator

from ...errors import UnsupportedModel, shown
from .files import TorchFile
from .pickled_values import Instance, Tensor

# Where training programs keep the model's tensors: open_clip (state_dict), and others as they are found on the hub.
PLACES = ("state_dict", "model_state_dict", "model", "module", "net", "weights")
OPTIMIZER = ("optimizer", "optimizer_state_dict", "param_groups")
DEEPEST = 2  # {"model": {"state_dict": {...}}}
MOST_ATTRIBUTES = 1_000_000  # of a TorchScript file's modules; the largest model has some 30,000
LONGEST_NAME = 1000
SAVE = "save its tensors with torch.save(model.state_dict(), path)"


def tensors_of(file: TorchFile) -> dict[str, Tensor]:
    """The model's tensors. What else a training checkpoint holds (optimizer, epoch, arguments) is left unread.

    Raises UnsupportedModel.
    """
    tensors = dict(_of_program(file)) if file.is_program else _of_dict(file.content)
    if not tensors:
        raise UnsupportedModel(f"{file.path} {_instead(file)}")
    return tensors


def _of_dict(content: object, deepest: int = DEEPEST) -> dict[str, Tensor]:
    """The tensors of the dict, or of one inside it at a known place."""
    if not isinstance(content, dict):
        return {}
    for place in PLACES if deepest else ():
        if tensors := _of_dict(content.get(place), deepest - 1):
            return tensors
    return {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Tensor)}


def _of_program(file: TorchFile) -> Iterator[tuple[str, Tensor]]:
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
    if isinstance(content, dict) and any(key in content for key in OPTIMIZER):
        return "holds an optimizer's state and no model: give the checkpoint with the model's tensors"
    return f"holds no model's tensors: {SAVE}"
