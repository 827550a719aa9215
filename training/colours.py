"""Pictures recoloured so that one colour, which the caption names, is theirs."""

import torch
from torch import Tensor

COLOURS = {
    "red": (0.86, 0.12, 0.13),
    "orange": (0.95, 0.52, 0.10),
    "yellow": (0.97, 0.85, 0.16),
    "green": (0.20, 0.62, 0.24),
    "blue": (0.16, 0.38, 0.85),
    "purple": (0.52, 0.22, 0.68),
    "pink": (0.96, 0.53, 0.70),
    "brown": (0.50, 0.30, 0.16),
    "black": (0.10, 0.10, 0.11),
    "white": (0.96, 0.96, 0.96),
    "grey": (0.55, 0.55, 0.57),
}
LUMA = (0.299, 0.587, 0.114)


def luma(colour: Tensor) -> Tensor:
    """[N, 3, H, W] → [N, 1, H, W], how light."""
    return sum(weight * colour[:, channel : channel + 1] for channel, weight in enumerate(LUMA))


def named(colours: list[str | None]) -> Tensor:
    """bool [N]: which pictures have a colour that their caption names."""
    return torch.tensor([colour is not None for colour in colours])


def tint(art: Tensor, lines: Tensor, colours: list[str | None]) -> Tensor:
    """art: uint8 [N, 4, H, W], premultiplied; lines: bool [N]. The same, those with a colour in shades of it alone."""
    rows = [row for row, colour in enumerate(colours) if colour]
    if not rows:
        return art
    colour = torch.tensor([COLOURS[colours[row]] for row in rows]).view(-1, 3, 1, 1)
    colour = (colour + 0.05 * torch.randn_like(colour)).clamp(0, 1)
    alpha = art[rows, 3:].float() / 255
    light = luma(art[rows, :3].float() / 255)
    mean = light.sum((2, 3), True) / alpha.sum((2, 3), True).clamp(1)
    # the mean light becomes the colour itself, what is darker goes to black, what is lighter half way to white
    shade = torch.where(lines[rows].view(-1, 1, 1, 1), 0.5 * alpha, light * 0.5 / mean.clamp(min=0.05))
    dark = colour * (2 * shade).clamp(max=alpha)
    bright = (alpha - colour * alpha) * 0.5 * (2 * shade - alpha).clamp(min=0, max=1)
    tinted = torch.cat([(dark + bright).clamp(min=0).minimum(alpha), alpha], 1)
    art = art.clone()
    art[rows] = (tinted * 255).round().to(torch.uint8)
    return art
