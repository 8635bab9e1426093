"""Images that the tests of the input pipeline write, and what `open_source` makes of them."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import kapps.data


@pytest.fixture
def make(tmp_path):
    """`make.photograph()` makes an image, `make.encoded()` encodes it, `make.folder()` writes class folders."""

    def photograph(height=120, width=160, seed=0, mode="RGB"):
        # A smooth image, so that decoders and kernels differ only by rounding.
        coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        return smooth.convert(mode)

    def encoded(image, image_format, **options):
        file = io.BytesIO()
        image.save(file, image_format, **options)
        return file.getvalue()

    def folder(images, split="train"):
        for name, content in images.items():
            path = tmp_path / split / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return kapps.data.open_source(None, tmp_path, split)

    return SimpleNamespace(photograph=photograph, encoded=encoded, folder=folder)


@pytest.fixture(scope="session")
def grey_images():
    """Twelve images, uint8 [12, 8, 8], each different."""
    return np.arange(12 * 64, dtype=np.uint8).reshape(12, 8, 8)


@pytest.fixture(scope="session")
def decoded_images():
    """`decoded_images(source)` returns the (pixels, label) of all images of a source, sorted."""

    def decoded_images(source):
        return sorted(
            (tf.io.decode_image(encoded).numpy().tobytes(), int(label))
            for _, encoded, label in source.images()
        )

    return decoded_images


@pytest.fixture(scope="session")
def open_error():
    """`open_error(*arguments)` returns the message of the `DataError` that `open_source` raises."""

    def open_error(*arguments):
        with pytest.raises(kapps.data.DataError) as error:
            kapps.data.open_source(*arguments)
        assert "\n" not in str(error.value)
        return str(error.value)

    return open_error
