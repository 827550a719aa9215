"""The model in training: both towers, their optimizers, and the same weights for another size of picture."""

import torch
import torch.nn.functional as F
from export import MODEL
from open_clip.model import CLIP
from torch import Tensor, nn

MUON_RATE = 2e-3  # hidden matrices and convolutions
ADAM_RATE = 7e-4  # embeddings, norms, biases, projections
POSITIONS = "visual.attnpool.positional_embedding"


def build(size: int, state: dict[str, Tensor] | None) -> CLIP:
    vision = {**MODEL["vision_cfg"], "image_size": size}
    model = CLIP(MODEL["embed_dim"], vision, MODEL["text_cfg"])
    for norm in norms(model):
        norm.momentum = 0.0  # a slice of a batch in each thread: `calibrate` measures the statistics afterwards
    if state is not None:
        grid = size // 32
        model.load_state_dict({**state, POSITIONS: resized(state[POSITIONS], grid)})
    return model


def norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]


def resized(positions: Tensor, grid: int) -> Tensor:
    """[1 + n², W] → [1 + grid², W]: the same places on a finer grid; the first is the mean of all."""
    side = round((len(positions) - 1) ** 0.5)
    if side == grid:
        return positions
    plane = positions[1:].T.reshape(1, -1, side, side)
    plane = F.interpolate(plane, (grid, grid), mode="bilinear", align_corners=False)
    return torch.cat([positions[:1], plane[0].flatten(1).T])


@torch.no_grad()
def calibrate(model: CLIP, pictures: list[Tensor]) -> None:
    """The batch norms' means and variances, over augmented pictures, for weights that are an average of many."""
    for norm in norms(model):
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all that comes
    model.train()
    with torch.autocast("cpu", torch.bfloat16):
        for part in pictures:
            model.encode_image(channels_last(part))
    model.eval()


def channels_last(pictures: Tensor) -> Tensor:
    """In the order that the processor's convolutions are quick in."""
    return pictures.contiguous(memory_format=torch.channels_last)


class Muon(torch.optim.Muon):
    """torch's takes matrices only: a convolution is the matrix [out, in x k x k] over the same memory."""

    def __init__(self, parameters: list[nn.Parameter], rate: float) -> None:
        self.parameters = parameters
        self.matrices = [nn.Parameter(parameter.data.view(len(parameter), -1)) for parameter in parameters]
        super().__init__(self.matrices, rate, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")

    def step(self) -> None:
        for parameter, matrix in zip(self.parameters, self.matrices, strict=True):
            matrix.grad = parameter.grad.reshape(matrix.shape)
        super().step()


def optimizers(model: CLIP, anchors: nn.Module) -> list[torch.optim.Optimizer]:
    """Muon, in two parts of like size that run side by side, for the hidden matrices; Adam for the rest."""
    named = list(model.named_parameters())
    # the pool's large matrices would take Muon longer than all others together
    hidden = [p for name, p in named if p.ndim >= 2 and ("resblocks" in name or "visual.layer" in name)]
    chosen = {id(parameter) for parameter in hidden}
    vectors = [parameter for _, parameter in named if parameter.ndim < 2]
    other = [p for _, p in named if p.ndim >= 2 and id(p) not in chosen]
    muons = [Muon(hidden[part::2], MUON_RATE) for part in (0, 1)]
    decay = {"params": other, "weight_decay": 0.1}
    no_decay = {"params": [*vectors, *anchors.parameters()], "weight_decay": 0.0}
    adam = torch.optim.AdamW([decay, no_decay], ADAM_RATE, betas=(0.9, 0.98))
    for optim in (*muons, adam):
        for group in optim.param_groups:
            group["initial_lr"] = group["lr"]
    return [*muons, adam]
