"""The model in training: both towers, their optimizers, and the same weights for another size of picture."""

from collections import defaultdict

import torch
import torch.nn.functional as F
from export import MODEL
from open_clip.model import CLIP
from torch import Tensor, nn

MUON_RATE = 2e-3  # hidden matrices and convolutions
ADAM_RATE = 7e-4  # embeddings, norms, biases, projections
POSITIONS = "visual.attnpool.positional_embedding"
# without instructions for bf16 a processor multiplies in it fifty times slower than in fp32
BF16 = {"cpu": torch.cpu.get_capabilities().get("avx512_bf16", False), "cuda": True}


def build(size: int, state: dict[str, Tensor] | None, device: torch.device) -> CLIP:
    vision = {**MODEL["vision_cfg"], "image_size": size}
    model = CLIP(MODEL["embed_dim"], vision, MODEL["text_cfg"])
    for norm in norms(model):
        norm.momentum = 0.0  # a slice of a batch in each thread: `calibrate` measures the statistics afterwards
    if state is not None:
        grid = size // 32
        model.load_state_dict({**state, POSITIONS: resized(state[POSITIONS], grid)})
    return model.to(device)


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
    with fast_precision(pictures[0].device):
        for part in pictures:
            model.encode_image(channels_last(part))
    model.eval()


def fast_precision(device: torch.device) -> torch.autocast:
    """bf16 where the processor has instructions for it, else fp32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=BF16[device.type])


def channels_last(pictures: Tensor) -> Tensor:
    """In the order that the processor's convolutions are quick in."""
    return pictures.contiguous(memory_format=torch.channels_last)


class Muon(torch.optim.Optimizer):
    """torch's Muon in fp32, and for convolutions too: torch's own multiplies in bf16 on any processor.

    A convolution is the matrix [out, in x k x k] over the same memory. The formula is that of
    https://kellerjordan.github.io/posts/muon.
    """

    def __init__(self, parameters: list[nn.Parameter], rate: float) -> None:
        super().__init__(parameters, {"lr": rate, "weight_decay": 0.1, "momentum": 0.95})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            alike = defaultdict(list)  # by their shorter side
            for parameter in group["params"]:
                matrix = parameter.view(len(parameter), -1)
                gradient = parameter.grad.reshape(matrix.shape)
                state = self.state[parameter]
                if not state:
                    state["average"] = torch.zeros_like(gradient)
                state["average"].lerp_(gradient, 1 - group["momentum"])
                step = gradient.lerp(state["average"], group["momentum"])
                alike[min(matrix.shape)].append((matrix, step))
            for pairs in alike.values():
                for (matrix, _), step in zip(pairs, orthogonal([step for _, step in pairs]), strict=True):
                    matrix.mul_(1 - group["lr"] * group["weight_decay"])
                    # as large as a step of Adam: Liu et al. 2025, "Muon is scalable for LLM training"
                    matrix.add_(step, alpha=-group["lr"] * 0.2 * max(matrix.shape) ** 0.5)


def orthogonal(matrices: list[Tensor]) -> list[Tensor]:
    """Matrices of one shorter side, with all their singular values near one: five steps of a Newton-Schulz iteration.

    Each step multiplies x by a polynomial of x @ x.T. Here the polynomials are multiplied first, since they are small.
    """
    wide = [matrix.T if len(matrix) > matrix.shape[1] else matrix for matrix in matrices]
    wide = [x / x.norm().clamp(min=1e-7) for x in wide]
    gram = torch.stack([x @ x.T for x in wide])
    whole = torch.eye(len(wide[0]), device=gram.device).expand_as(gram)
    for _ in range(5):
        polynomial = torch.baddbmm(gram, gram, gram, beta=-4.7750, alpha=2.0315)
        polynomial.diagonal(dim1=1, dim2=2).add_(3.4445)
        whole = polynomial @ whole
        gram = polynomial @ gram @ polynomial
    steps = zip(matrices, (part @ x for part, x in zip(whole, wide, strict=True)), strict=True)
    return [step.T if len(matrix) > matrix.shape[1] else step for matrix, step in steps]


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
