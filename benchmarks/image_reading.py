"""What reading an image costs: each format under both readings, in milliseconds of one core.

    python benchmarks/image_reading.py

The readings take turns, and the median of the turns counts, since other work on the machine hits both.
"""

from __future__ import annotations

import io
import time
from pathlib import Path
from statistics import median

import skimage.data
from PIL import Image

from openclip_api.checkpoints.config import PreprocessConfig
from openclip_api.inputs.formats import installed_formats
from openclip_api.inputs.images import ReadImage, image_reader

SIZE, TURNS, SECONDS = (1280, 960), 9, 0.15
HEIC = Path(__file__).parents[1] / "tests" / "golden" / "formats" / "plain.heic"


def main() -> None:
    readings = [
        image_reader(PreprocessConfig(), 40, False, name, installed_formats()) for name in ("open_clip", "natural")
    ]
    print("| file | KB | open_clip, ms | natural, ms | ratio |")
    print("|---|---|---|---|---|")
    for name, data in files().items():
        turns = [[milliseconds(read, data) for read in readings] for _ in range(TURNS)]
        one, other = (median(turn[i] for turn in turns) for i in (0, 1))
        ratio = median(turn[1] / turn[0] for turn in turns)
        print(f"| {name} | {len(data) // 1000} | {one:.2f} | {other:.2f} | {ratio:.2f} |", flush=True)


def milliseconds(read: ReadImage, data: bytes) -> float:
    started, count = time.process_time(), 0
    while (spent := time.process_time() - started) < SECONDS:
        read(data)
        count += 1
    return spent / count * 1000


def files() -> dict[str, bytes]:
    photo = Image.fromarray(skimage.data.astronaut()).resize(SIZE)
    exif = Image.Exif()
    exif[0x0112] = 6
    rgba = photo.convert("RGBA")
    rgba.putalpha(Image.linear_gradient("L").resize(SIZE))
    made = {
        "JPEG": encoded(photo, "JPEG", quality=90),
        "JPEG, 224 x 224": encoded(photo.resize((224, 224)), "JPEG", quality=90),
        "JPEG on its side": encoded(photo, "JPEG", quality=90, exif=exif),
        "PNG": encoded(photo, "PNG"),
        "PNG with alpha": encoded(rgba, "PNG"),
        "PNG of a palette": encoded(photo.quantize(256), "PNG"),
        "WebP": encoded(photo, "WEBP", quality=90),
        "GIF": encoded(photo.quantize(256), "GIF"),
        "AVIF": encoded(photo, "AVIF", quality=80),
        "TIFF, LZW": encoded(photo, "TIFF", compression="tiff_lzw"),
        "JPEG 2000": encoded(photo, "JPEG2000", quality_layers=[20]),
    }
    if "JXL" in installed_formats():
        made["JPEG XL"] = encoded(photo, "JXL", quality=90)
    if "HEIF" in installed_formats():
        made["HEIC, 97 x 61"] = HEIC.read_bytes()
    return made


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


if __name__ == "__main__":
    main()
