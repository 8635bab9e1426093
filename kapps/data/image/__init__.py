"""Labelled images on disk, to batches of pixels and one-hot labels."""

from kapps._names import attribute_finder
from kapps.data.image.dataset_checks import check_classes as check_classes
from kapps.data.image.inventory import describe_sources as describe_sources
from kapps.data.image.open_source import open_source as open_source
from kapps.data.image.pipeline import AUGMENTATIONS as AUGMENTATIONS
from kapps.data.image.pipeline import eval_dataset as eval_dataset
from kapps.data.image.pipeline import steps_per_epoch as steps_per_epoch
from kapps.data.image.pipeline import take_images as take_images
from kapps.data.image.pipeline import train_dataset as train_dataset
from kapps.data.image.source import Source as Source
from kapps.data.image.tfrecord import write_tfrecords as write_tfrecords

__getattr__ = attribute_finder(__name__)
