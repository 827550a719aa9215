"""Tensors that are more than a view of a storage: they are named, as to leave them out would make another model."""

from __future__ import annotations

import re

from .pickled_values import Instance

# torch/_utils.py, torch/nested and torch/nn/parameter.py (2.14), and what numpy writes for an array.
KINDS = {
    "_rebuild_sparse_tensor": "sparse",
    "_rebuild_qtensor": "quantised",
    "_rebuild_meta_tensor_no_storage": "on torch's meta device, so its numbers were never saved",
    "_rebuild_nested_tensor": "nested",
    "_rebuild_njt": "nested",
    "_rebuild_wrapper_subclass": "of a class of its own, such as DTensor",
    "_rebuild_tensor_v2": "a negated, conjugated or damaged view",
    "_rebuild_tensor_v3": "a negated, conjugated or damaged view",
    "UninitializedParameter": "not initialised",
    "ShardedTensor": "one rank's part of a tensor",
    "_reconstruct": "a NumPy array",
}
OTHERS = re.compile(r"torch\S* _rebuild_\w+|\S+ \w*(Tensor|Parameter)")


def odd_kind(value: Instance) -> str | None:
    """What kind of tensor it would be, as the rest of "it is …"; None for what is no tensor."""
    kind = KINDS.get(value.name.rpartition(" ")[2])
    if kind is None and OTHERS.fullmatch(value.name):
        return f"of a kind that is not known here ({value.name[:80]})"
    return kind
