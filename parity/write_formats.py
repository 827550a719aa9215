"""Write tests/golden/formats/: one picture in the formats and kinds that Pillow reads and does not write.

Not part of `make golden`: it needs programs of Debian's, and a venv of its own for what writes HEIC and odd JPEGs.

    apt-get install libjpeg-turbo-progs libavif-bin
    python3 -m venv build/formats
    build/formats/bin/pip install pillow-heif==1.8.1 imagecodecs==2026.10.10 scikit-image
    build/formats/bin/python parity/write_formats.py
"""

from __future__ import annotations

import struct
import subprocess
import tempfile
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pillow_heif
import skimage.data
from PIL import Image

FOLDER = Path(__file__).parents[1] / "tests" / "golden" / "formats"
QUALITY = 92


def main() -> None:
    pillow_heif.register_heif_opener()
    FOLDER.mkdir(exist_ok=True)
    picture = Image.fromarray(skimage.data.astronaut()).crop((150, 0, 350, 126)).resize((97, 61))
    rgba = picture.convert("RGBA")
    rgba.putalpha(Image.linear_gradient("L").resize(picture.size))
    picture.save(FOLDER / "plain.png")
    rgba.save(FOLDER / "alpha.png")
    write_heic(picture, rgba)
    write_avif(picture, rgba)
    write_jpegs(picture)
    (FOLDER / "interlaced.png").write_bytes(interlaced(np.asarray(picture)))


def write_heic(picture: Image.Image, rgba: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = picture.transpose(Image.Transpose.ROTATE_90)
    # Given bytes, the writer adds irot; phones write both too. Given an object, it writes EXIF alone.
    stored.save(FOLDER / "turned_by_both.heic", quality=QUALITY, exif=exif.tobytes())
    stored.save(FOLDER / "turned_by_exif.heic", quality=QUALITY, exif=exif)
    both = (FOLDER / "turned_by_both.heic").read_bytes()
    six, one = (b"\x01\x12\x00\x03\x00\x00\x00\x01\x00" + bytes([number]) for number in (6, 1))
    assert six in both
    (FOLDER / "turned_by_irot.heic").write_bytes(both.replace(six, one))
    picture.save(FOLDER / "plain.heic", quality=QUALITY)
    picture.save(FOLDER / "two_frames.heic", quality=QUALITY, save_all=True, append_images=[picture.rotate(180)])
    rgba.save(FOLDER / "alpha.heic", quality=QUALITY)
    deep = pillow_heif.from_bytes("RGB;16", picture.size, (np.asarray(picture).astype("<u2") * 257).tobytes())
    deep.save(FOLDER / "ten_bits.heic", quality=QUALITY)


def write_avif(picture: Image.Image, rgba: Image.Image) -> None:
    picture.save(FOLDER / "plain.avif", quality=95)
    rgba.save(FOLDER / "alpha.avif", quality=95)
    picture.save(FOLDER / "animated.avif", quality=95, save_all=True, append_images=[picture.rotate(180)])
    stored = picture.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    stored.save(FOLDER / "turned.avif", quality=95, exif=exif)
    quality = ["--min", "5", "--max", "10", "--speed", "8"]
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "large.png"
        picture.resize((256, 128)).save(large)
        run("avifenc", *quality, "--depth", "10", str(FOLDER / "plain.png"), str(FOLDER / "ten_bits.avif"))
        tiles = []
        for number in range(4):
            left, top = number % 2 * 128, number // 2 * 64
            tiles.append(str(Path(folder) / f"{number}.png"))
            picture.resize((256, 128)).crop((left, top, left + 128, top + 64)).save(tiles[-1])
        run("avifenc", *quality, "--grid", "2x2", *tiles, str(FOLDER / "grid.avif"))


def write_jpegs(picture: Image.Image) -> None:
    pixels = np.asarray(picture)
    with tempfile.NamedTemporaryFile(suffix=".ppm") as file:
        picture.save(file.name)
        run("cjpeg", "-arithmetic", "-quality", "95", "-outfile", str(FOLDER / "arithmetic.jpg"), file.name)
    (FOLDER / "lossless.jpg").write_bytes(imagecodecs.jpeg8_encode(pixels, lossless=True))
    (FOLDER / "twelve_bits.jpg").write_bytes(
        imagecodecs.jpeg8_encode(pixels.astype(np.uint16) * 16, level=95, bitspersample=12)
    )


def interlaced(pixels: np.ndarray) -> bytes:
    """PNG specification, 8.2: seven passes over the picture."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = b"".join(
        b"\0" + row.tobytes() for left, top, right, down in passes for row in pixels[top::down, left::right]
    )
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, 2, 0, 0, 1)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    main()
