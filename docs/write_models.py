"""Write the table of docs/models.md: every pair, what runs it, and how its equality with open_clip was proved.

python docs/write_models.py
"""

from __future__ import annotations

from pathlib import Path

from openclip_api.checkpoints.registry import all_pretrained
from openclip_api.runtime.listing import engine_and_towers, form_of_weights

DOCUMENT = Path(__file__).with_name("models.md")
START, END = "<!-- table: written by docs/write_models.py -->\n", "<!-- end of table -->\n"

# What `make parity` builds at full size, with random weights; all others are proved with fewer and narrower layers.
FULL_SIZE = {
    "EVA02-B-16", "MobileCLIP-B", "PE-Core-T-16-384", "ViT-B-16-SigLIP", "ViT-B-32", "ViTamin-S", "coca_ViT-B-32",
    "nllb-clip-base", "roberta-ViT-B-32",
}  # fmt: skip


def table() -> str:
    lines = ["| name | tag | dim | px | engine | towers | proved | weights | repository |"]
    lines += ["|---|---|---|---|---|---|---|---|---|"]
    for entry in all_pretrained():
        engine, towers = engine_and_towers(entry.config)
        proved = "full size" if entry.name in FULL_SIZE else "reduced"
        numbers = entry.config.embed_dim, entry.config.image_size
        cells = (entry.name, entry.tag, *numbers, engine, towers, proved, form_of_weights(entry), entry.repo)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    DOCUMENT.write_text(before + START + table() + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
