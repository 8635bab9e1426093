"""Images that the tests of the input pipeline make."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import kapps.data


@pytest.fixture
def make(tmp_path):
    """Makes images: `make.photograph()`, encodes them, and writes class folders under `tmp_path`."""

    def photograph(height=120, width=160, seed=0, mode="RGB"):
        # Smooth, so that decoders and kernels may differ by rounding alone.
        coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        return smooth.convert(mode)

    def encoded(image, kind, **options):
        file = io.BytesIO()
        image.save(file, kind, **options)
        return file.getvalue()

    def folder(images, split="train"):
        for name, content in images.items():
            path = tmp_path / split / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return kapps.data.open_source(None, tmp_path, split)

    return SimpleNamespace(photograph=photograph, encoded=encoded, folder=folder)
