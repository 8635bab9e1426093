"""Images with masks on disk, to batches of pixels and label maps."""

from kapps._names import attribute_finder
from kapps.data.segmentation.digit_scenes import DIGIT_SCENES as DIGIT_SCENES
from kapps.data.segmentation.mask_classes import VOID as VOID
from kapps.data.segmentation.mask_classes import MaskClasses as MaskClasses
from kapps.data.segmentation.mask_classes import read_mask_classes as read_mask_classes
from kapps.data.segmentation.mask_classes import voc_colours as voc_colours
from kapps.data.segmentation.mask_pipeline import (
    SEGMENTATION_AUGMENTATIONS as SEGMENTATION_AUGMENTATIONS,
)
from kapps.data.segmentation.mask_pipeline import count_class_pixels as count_class_pixels
from kapps.data.segmentation.mask_pipeline import eval_dataset as eval_dataset
from kapps.data.segmentation.mask_pipeline import first_image_size as first_image_size
from kapps.data.segmentation.mask_pipeline import train_dataset as train_dataset
from kapps.data.segmentation.mask_records import write_mask_tfrecords as write_mask_tfrecords
from kapps.data.segmentation.mask_source import MaskSource as MaskSource
from kapps.data.segmentation.open_masks import open_masks as open_masks

__getattr__ = attribute_finder(__name__)
