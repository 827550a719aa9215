"""Write tests/golden/formats/: HEIC files, as phones and converters write them.

Not part of `make golden`: what writes HEIC brings x265, so it gets a venv of its own.

    python3 -m venv /tmp/heic && /tmp/heic/bin/pip install pillow-heif==1.8.1 scikit-image
    /tmp/heic/bin/python parity/write_heic.py
"""

from __future__ import annotations

from pathlib import Path

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
    picture.save(FOLDER / "plain.png")
    picture.save(FOLDER / "plain.heic", quality=QUALITY)
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
    rgba = picture.convert("RGBA")
    rgba.putalpha(Image.linear_gradient("L").resize(picture.size))
    rgba.save(FOLDER / "alpha.heic", quality=QUALITY)
    rgba.save(FOLDER / "alpha.png")
    deep = pillow_heif.from_bytes("RGB;16", picture.size, (np.asarray(picture).astype("<u2") * 257).tobytes())
    deep.save(FOLDER / "ten_bits.heic", quality=QUALITY)
    picture.save(FOLDER / "two_frames.heic", quality=QUALITY, save_all=True, append_images=[picture.rotate(180)])


if __name__ == "__main__":
    main()
