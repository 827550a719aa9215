"""A stored tensor's name → its key in Weights, without what a training program puts before the towers' names."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from ..errors import CorruptCheckpoint, UnsupportedModel, shown
from .other_models import refuse_other_models

# Some checkpoints also hold these. Nothing reads them.
NEVER_READ = {"input_resolution", "context_length", "vocab_size", "attn_mask", "n_averaged"}
UNREAD_ENDS = (
    ".num_batches_tracked",  # an integer that BatchNorm counts in training
    ".position_ids",  # 0, 1, 2 …: of transformers before 4.31
    "embeddings.token_type_ids",  # all 0, likewise
    ".attn_mask",  # the text tower's causal mask, which TorchScript keeps
)

# Left by torch.compile, FSDP and activation checkpointing; DataParallel's "module." stands in front.
WRAPPERS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
# open_clip's image tower, and transformers' towers. A model lies at most this deep in others: "lit.student.clip.".
TOWER = re.compile(r"((?:[\w-]+\.){0,8}?)(?:visual|vision_model|text_model)\.")

MOST_TENSORS = 100_000  # the largest models here have some 3,000
LONGEST_KEY = 500  # characters; those of the models here have up to 75


def tower_keys(source: str, names: Collection[str]) -> dict[str, str]:
    """The stored name of each tensor by its key in Weights, without what nothing reads.

    Raises CorruptCheckpoint (two tensors of one key), UnsupportedModel (an adapter, another kind of model, several).
    """
    if len(names) > MOST_TENSORS:
        raise CorruptCheckpoint(f"{source} has {len(names):,} tensors, more than any model: it is damaged")
    refuse_other_models(source, [_unwrapped(name) for name in names], has_tower(names))
    found: dict[str, str] = {}
    outer = outer_name(source, names)
    for name in names:
        key = tower_key(name, outer)
        if key is None:
            continue
        if len(key) > LONGEST_KEY:
            raise CorruptCheckpoint(f"{source} has a tensor whose name has {len(key):,} characters: it is damaged")
        if key in found:
            raise CorruptCheckpoint(f"{source} has two tensors {key!r}, of which one has a prefix that training adds")
        found[key] = name
    return found


def outer_name(source: str, names: Iterable[str]) -> str:
    """What stands before all names of a model inside another one, such as Lightning's "model.": "" for none.

    Raises UnsupportedModel for a file with several models, such as a student and a teacher.
    """
    outer = {match[1] for name in names if (match := TOWER.match(_unwrapped(name)))}
    if len(outer) > 1 and "" not in outer:
        raise UnsupportedModel(
            f"{source} has several models ({shown(sorted(outer))[1:-1]}): save one of them with "
            "torch.save(model.state_dict(), path)"
        )
    return "" if "" in outer else next(iter(outer), "")


def has_tower(names: Iterable[str]) -> bool:
    """Whether these are names of a CLIP model, or of one of its towers."""
    return any(TOWER.match(_unwrapped(name)) for name in names)


def tower_key(name: str, outer: str = "") -> str | None:
    """A stored tensor's name → its key in Weights, or None for a tensor that nothing reads."""
    key = _unwrapped(name).removeprefix(outer)
    return None if key in NEVER_READ or key.endswith(UNREAD_ENDS) else key


def _unwrapped(name: str) -> str:
    for part in WRAPPERS:
        name = name.replace(part, "")
    return name.removeprefix("module.")
