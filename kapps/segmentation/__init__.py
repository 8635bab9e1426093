"""Segmentation: models that classify each pixel, and the feature pyramid neck, over the body of any builder.

    body = kapps.resnet50(weights="imagenet", include_top=False, input_shape=(None, None, 3))
    model = kapps.segmentation.fcn(body, classes=21, output_stride=8)

kapps.segmentation.dilate       a model with dilations in place of its last strides
kapps.segmentation.fcn          fully convolutional head, and deeplab_v3 with an atrous spatial pyramid
kapps.segmentation.unet         U-shaped decoder
kapps.segmentation.fpn          feature pyramid neck, and fpn_decoder, which classifies pixels by its maps
kapps.segmentation.fcn8s        FCN-32s, 16s and 8s on VGG-16
kapps.segmentation.segnet       SegNet and SegNet-Basic
kapps.segmentation.fcn_resnet50 torchvision's networks by their names

Predictions are float32 (batch, height, width, classes) at the image's size.

The functions are not builders: they have no card. A model has the record of its body: `kapps.card(model)` is the
body's. Layers that a function adds are called "head_..." or "auxiliary1_...", and those of the neck "level<n>_fpn_...":
`kapps.pyramid_outputs` of a model over a body returns the body's maps, and of a neck P2, P3 and so on.
"""

from kapps._names import attribute_finder
from kapps.segmentation.deeplab import deeplab_v3
from kapps.segmentation.dilation import dilate
from kapps.segmentation.fcn import fcn
from kapps.segmentation.fcn_vgg import fcn8s, fcn16s, fcn32s
from kapps.segmentation.fpn import fpn, fpn_decoder
from kapps.segmentation.pixel_classifier import is_segmentation
from kapps.segmentation.segnet import segnet, segnet_basic
from kapps.segmentation.torchvision_networks import (
    deeplab_v3_resnet50,
    deeplab_v3_resnet101,
    fcn_resnet50,
    fcn_resnet101,
)
from kapps.segmentation.unet import unet

__all__ = [
    "deeplab_v3",
    "deeplab_v3_resnet50",
    "deeplab_v3_resnet101",
    "dilate",
    "fcn",
    "fcn8s",
    "fcn16s",
    "fcn32s",
    "fcn_resnet50",
    "fcn_resnet101",
    "fpn",
    "fpn_decoder",
    "is_segmentation",
    "segnet",
    "segnet_basic",
    "unet",
]

__getattr__ = attribute_finder(__name__)
