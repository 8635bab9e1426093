"""The images that an exported classifier is verified and calibrated with."""

from absl import flags

from kapps import data

FLAGS = flags.FLAGS

COMPARED = 256
"""Number of images that exported files are compared with the model on."""
CALIBRATION = 256
"""Number of images that determine the ranges of int8 and int16."""


def take_export_images(test, train_source, preprocessing, options):
    """Returns test images for the comparison, and training images in random order for the calibration.

    Args:
        test: evaluation dataset.
        train_source: the `kapps.data.Source` of the training images.
        preprocessing: the `Preprocessing` of the model.
        options: other options of `kapps.data.eval_dataset`.
    """
    shuffled = data.eval_dataset(
        train_source, preprocessing, FLAGS.batch_size, seed=FLAGS.seed, **options | {"skipped": None},
    )  # fmt: skip
    return data.take_images(test, COMPARED), data.take_images(shuffled, CALIBRATION)
