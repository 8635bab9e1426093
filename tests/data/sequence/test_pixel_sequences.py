"""Images as sequences of their pixels."""

import numpy as np

from kapps import data
from kapps.data import sequence

IMAGES = np.arange(6 * 4, dtype="uint8").reshape(6, 2, 2) * 10
LABELS = np.arange(6)


def first_batch(*arguments, **options):
    return next(sequence.pixel_dataset(*arguments, **options).as_numpy_iterator())


def test_pixels_are_in_order_or_permuted_in_the_same_way():
    pixels, _ = first_batch(IMAGES, LABELS, 6)
    np.testing.assert_allclose(pixels[1, :, 0] * 255, [40, 50, 60, 70], rtol=1e-6)
    permuted, _ = first_batch(IMAGES, LABELS, 6, permutation_seed=0)
    orders = np.argsort(permuted[..., 0], axis=1)
    assert (orders == orders[0]).all() and orders[0].tolist() != [0, 1, 2, 3]


def test_images_are_shuffled_by_the_seed():
    _, first = first_batch(IMAGES, LABELS, 4, shuffle=True, seed=3)
    _, second = first_batch(IMAGES, LABELS, 4, shuffle=True, seed=3)
    assert first.tolist() == second.tolist() != LABELS[:4].tolist()


def test_grey_images_have_the_requested_side():
    source = data.open_source("digits", split="test")
    images, labels = sequence.read_grey_images(source, 4, limit=30)
    assert images.shape == (30, 4, 4) and images.dtype == np.uint8 and labels.shape == (30,)
