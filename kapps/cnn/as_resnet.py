"""AS-ResNet, also known as ASNet: a ResNet whose only spatial operations are the stem and active shifts.

[1] Jeon 2018, arXiv:1806.07370, and its authors' code

Each channel moves by a learned displacement (`kapps.layers.ActiveShift`). As in the authors' networks, the gradient of a
displacement has one length, and displacements have no weight decay in `kapps.training`.

Departure: displacements are at most `limit` pixels; those of [1] have no limit.
"""

from keras import layers

from kapps.builders import image_family, levels, variant
from kapps.layers import ActiveShift, batch_norm, conv

JEON = "arXiv:1806.07370"
GRADIENT_LENGTH = 0.01
"""Length of the displacements' gradients: 1, multiplied by the learning rate's factor in the authors' networks."""


def unit(x, filters, *, expansion=1, strides, limit, name):
    """x + F(relu(bn(x))), F a 1x1, an active shift and a 1x1; a shortcut projects the activated features."""
    y = batch_norm(x, activation="relu", name=f"{name}_preact")
    if strides > 1 or x.shape[-1] != filters:
        x = conv(y, filters, 1, strides=strides, name=f"{name}_shortcut")
    y = conv(y, expansion * filters, 1, name=f"{name}_conv1")
    y = batch_norm(y, activation="relu", name=f"{name}_norm")
    y = ActiveShift(strides, limit, GRADIENT_LENGTH, name=f"{name}_shift")(y)
    y = conv(y, filters, 1, name=f"{name}_conv2")
    return layers.Add(name=f"{name}_add")([x, y])


@image_family(minimum=32)
def body(x, *, depths, filters, limit=2):
    """Builds AS-ResNet.

    Args:
        depths: number of units at the levels 1, 2, 3 ...
        filters: channels at the levels 1 and 2; each next level has twice as many. w of [1].
        limit: largest displacement in pixels.
    """
    x = conv(x, filters, 3, strides=2, name="stem_conv")
    for level, strides, name in levels(depths, first=1):
        width = filters * 2 ** max(level - 2, 0)
        x = unit(x, width, strides=strides, limit=limit, name=name)
    return batch_norm(x, activation="relu", name=f"level{level}_norm")


# fmt: off
#                                                     units at levels 1 to 5                           trainable parameters and multiply-accumulates
as_resnet_w32 = variant(body, "as_resnet_w32", depths=(1, 3, 4, 6, 3), filters=32, paper=JEON, params=901_256,   macs=166_840_320)
as_resnet_w50 = variant(body, "as_resnet_w50", depths=(1, 3, 4, 6, 3), filters=50, paper=JEON, params=1_962_950, macs=397_574_400)
as_resnet_w68 = variant(body, "as_resnet_w68", depths=(1, 3, 4, 6, 3), filters=68, paper=JEON, params=3_424_460, macs=726_866_688)
# fmt: on
