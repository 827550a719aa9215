"""Turn flat art into pictures such as people have: any background, place, size, colour and hand.

All steps work on a whole batch of tensors at once; one loop over pictures would cost more than the model. Which
pictures a step changes is drawn on the CPU: asking a GPU which they are would wait for all that it has still to do.
"""

import torch
import torch.nn.functional as F
from colours import luma
from torch import Tensor

MEAN = STD = 0.5


def augment(art: Tensor, monochrome: Tensor, size: int, strength: float, keep: Tensor) -> Tensor:
    """art: uint8 [N, 4, H, W], premultiplied; monochrome: bool [N]; strength: how many pictures are spoiled, 0 to 1.

    keep: bool [N], the pictures whose colours must stay, since their captions name them.
    Gives float [N, 3, size, size], normalised.
    """
    art = art.float()
    if rows(1) and art.shape[-1] >= 2 * size:
        art = F.avg_pool2d(art, 2)  # half of the batches keep the sharp edges that plain resizing gives
    art = move(art, size).mul_(1 / 255)
    colour, alpha = art[:, :3], art[:, 3:]
    easy = (colour + 1 - alpha).clamp(0, 1)
    colour = torch.where((monochrome & ~keep).view(-1, 1, 1, 1), ink(alpha), colour)
    colour = torch.where(keep.view(-1, 1, 1, 1), colour, jitter(colour, alpha))
    inked = rows(len(art), 0.35)
    if inked:
        colour[inked], alpha[inked] = outline(colour[inked], alpha[inked])
    back = background(len(art), size)
    # ink on a background as dark as itself would show nothing
    clash = monochrome.view(-1, 1, 1, 1) & (
        (luma(colour).sum((2, 3), True) / alpha.sum((2, 3), True).clamp(1) - luma(back).mean((2, 3), True)).abs() < 0.3
    )
    back = torch.where(clash, 1 - 0.8 * back * (luma(colour).amax((2, 3), True) > 0.5), back)
    picture = colour + back * (1 - alpha)
    picture = torch.where(some(len(art), strength), spoil(picture).clamp(0, 1), easy)
    return (picture - MEAN) / STD


def plain(art: Tensor, size: int) -> Tensor:
    """The art on white, as evaluation shows it."""
    art = art.float() / 255
    picture = art[:, :3] + 1 - art[:, 3:]
    picture = F.interpolate(picture, (size, size), mode="bicubic", antialias=True)
    return (picture.clamp(0, 1) - MEAN) / STD


def chance(n: int, probability: float = 0.5) -> Tensor:
    return torch.rand(n) < probability


def rows(n: int, probability: float = 0.5) -> list[int]:
    """Which of n it happens to."""
    return (torch.rand(n, device="cpu") < probability).nonzero()[:, 0].tolist()


def some(n: int, probability: float) -> Tensor:
    return chance(n, probability).view(n, 1, 1, 1)


def uniform(n: int, low: float, high: float) -> Tensor:
    return (low + (high - low) * torch.rand(n)).view(n, 1, 1, 1)


def move(art: Tensor, size: int) -> Tensor:
    """Scale, stretch, turn and shift; sometimes so far that the edge crops it. No mirror: arrows have a side."""
    n = len(art)
    scale = torch.where(chance(n, 0.7), 0.65 + 0.4 * torch.rand(n), 0.5 + 0.75 * torch.rand(n))
    stretch = torch.exp(0.08 * torch.randn(n))
    angle = torch.where(chance(n, 0.6), torch.zeros(n), 0.15 * torch.randn(n))
    room = 0.7 * (1 - scale).abs() + 0.04
    cos, sin = angle.cos() / scale, angle.sin() / scale
    shift_x, shift_y = (room * (2 * torch.rand(n) - 1) / scale for _ in "xy")
    matrices = torch.stack([cos * stretch, -sin * stretch, shift_x, sin / stretch, cos / stretch, shift_y], dim=1)
    grid = F.affine_grid(matrices.view(n, 2, 3), [n, 4, size, size], align_corners=False)
    return F.grid_sample(art, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def ink(alpha: Tensor) -> Tensor:
    """A colour for art that has none: mostly black."""
    n = len(alpha)
    colour = torch.rand(n, 3, 1, 1) * some(n, 0.4)
    return colour * alpha


def jitter(colour: Tensor, alpha: Tensor) -> Tensor:
    """Brightness, contrast, saturation, hue, grey, posterised. Premultiplied colours: offsets scale with alpha."""
    n = len(colour)
    grey = luma(colour)
    saturation = torch.where(some(n, 0.08), 0.0, uniform(n, 0.5, 1.6))
    colour = grey + (colour - grey) * saturation
    # mixing the channels a little turns the hue
    mix = torch.eye(3) + 0.12 * torch.randn(n, 3, 3) * some(n, 0.6).view(n, 1, 1)
    mix = mix / mix.sum(2, keepdim=True)
    colour = torch.einsum("nij,njhw->nihw", mix, colour)
    contrast = uniform(n, 0.7, 1.3)
    colour = (colour - 0.5 * alpha) * contrast + (0.5 + uniform(n, -0.12, 0.12)) * alpha
    posterised = rows(n, 0.08)
    levels = uniform(len(posterised), 2, 6).round()
    colour[posterised] = (colour[posterised] * levels).round() / levels
    return torch.minimum(colour.clamp(min=0), alpha)


def outline(colour: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
    """Ink the edges, on some almost nothing else: vendors differ most in whether they draw lines or surfaces."""
    n = len(colour)
    radius = 5 if alpha.shape[-1] > 64 and rows(1) else 3
    full = torch.cat([colour + 1 - alpha, alpha], 1)
    edge = ((widest(full, radius) + widest(-full, radius)).amax(1, keepdim=True) * 3 - 0.45).clamp(0, 1)
    paper = colour + (alpha - colour) * uniform(n, 0.65, 1.0)
    colour = torch.where(some(n, 0.3), paper, colour)
    edge = edge * uniform(n, 0.5, 1.0)
    return colour * (1 - edge), torch.maximum(alpha, edge)


def widest(values: Tensor, radius: int) -> Tensor:
    """A square's maximum, one direction after the other; shifted views are several times as quick as a pooling."""
    for axis in (2, 3):
        size = values.shape[axis]
        padded = F.pad(values, (radius // 2,) * 2 if axis == 3 else (0, 0, radius // 2, radius // 2), value=-1e9)
        wide = padded.narrow(axis, 0, size)
        for shift in range(1, radius):
            wide = torch.maximum(wide, padded.narrow(axis, shift, size))
        values = wide
    return values


def background(n: int, size: int) -> Tensor:
    """White often, as users have it; else one colour, a gradient, soft blotches, or a grainy texture."""
    kind = torch.rand(n).view(n, 1, 1, 1)
    soft = F.interpolate(torch.rand(n, 3, 2, 2), (size, size), mode="bilinear", align_corners=True)
    blotches = F.interpolate(torch.rand(n, 3, 6, 6), (size, size), mode="bilinear", align_corners=True)
    grain = F.interpolate(torch.rand(n, 1, size // 2, size // 2), (size, size), mode="nearest")
    one = torch.rand(n, 3, 1, 1).expand(-1, -1, size, size)
    one = torch.where(some(n, 0.4), 0.75 + 0.25 * one, one)  # pale is commoner than loud
    back = torch.where(kind < 0.45, torch.ones_like(one), one)
    back = torch.where(kind > 0.68, soft, back)
    back = torch.where(kind > 0.80, blotches, back)
    back = torch.where(kind > 0.90, 0.6 * blotches + 0.4 * grain, back)
    return back.clamp(0, 1)


def spoil(picture: Tensor) -> Tensor:
    """What cameras and JPEG do: noise, blur, coarse colours."""
    n = len(picture)
    noisy, blurred, coarse = (rows(n, probability) for probability in (0.3, 0.12, 0.12))
    picture[noisy] += 0.06 * torch.rand(len(noisy), 1, 1, 1) * torch.randn_like(picture[noisy])
    picture[blurred] = F.avg_pool2d(picture[blurred], 3, 1, 1, count_include_pad=False)
    grey = luma(picture[coarse])
    chroma = F.interpolate(F.avg_pool2d(picture[coarse] - grey, 4), picture.shape[-2:], mode="nearest")
    picture[coarse] = grey + chroma
    return picture
