"""EfficientNet-Lite: EfficientNet for phones, without SE blocks and with ReLU6.

[1] EfficientNet-Lite, the authors' code: github.com/tensorflow/tpu, models/official/efficientnet/lite
[2] Tan 2019, arXiv:1905.11946: the stages and the compound scaling

[1] has no paper. It removes the SE blocks, which accelerators support badly, and replaces SiLU by ReLU6, whose range
int8 files represent well. The stem, the last convolution and the depth of the first and of the last stage are not
scaled, which keeps the larger networks small and fast. Images have the size of the authors' evaluation; timm's are
larger for the last two networks.

Strided convolutions are padded as TensorFlow's SAME, as in [1], whose weights timm has as `tf_efficientnet_lite*`. With
`padding="symmetric"` the networks are timm's `efficientnet_lite*`, with epsilon 1e-5.
"""

from functools import partial

from kapps import heads
from kapps.builders import image_family, levels, variant
from kapps.cnn.efficientnet import TABLE_1, TAN, head, image, norm, round_filters, round_repeats
from kapps.layers import conv_bn, inverted_residual
from kapps.preprocessing import INCEPTION


@image_family(
    minimum=32, padding="same", head=partial(heads.global_average_pooling, dropout=0.2)
)  # fmt: skip
def body(x, *, width_coefficient=1.0, depth_coefficient=1.0, drop_rate=0.2):
    """Builds EfficientNet-Lite.

    Args:
        width_coefficient: multiplies the channels of the blocks.
        depth_coefficient: multiplies the layers of the stages between the first and the last.
        drop_rate: stochastic depth rises linearly from 0 at the first block to this rate after the last.
    """
    relu6 = {"activation": "relu6", **norm()}
    x = conv_bn(x, 32, 3, strides=2, **relu6, name="stem_conv")
    depths = [round_repeats(repeats, depth_coefficient) for *_, repeats in TABLE_1]
    depths[0], depths[-1] = TABLE_1[0][-1], TABLE_1[-1][-1]
    rows = [row for row, depth in zip(TABLE_1, depths, strict=True) for _ in range(depth)]
    blocks = levels(depths, first=1, strides=[strides for _, _, strides, _, _ in TABLE_1])
    for i, (row, (_, strides, name)) in enumerate(zip(rows, blocks, strict=True)):
        expansion, kernel_size, _, filters, _ = row
        x = inverted_residual(
            x, round_filters(filters, width_coefficient), kernel_size,
            expanded=expansion * x.shape[-1], strides=strides, drop_rate=drop_rate * i / len(rows),
            **relu6, name=name,
        )  # fmt: skip
    return conv_bn(x, 1280, 1, **relu6, name="level5_conv")


# fmt: off
#                                                             width                  depth                   size, crop                                    dropout                 trainable parameters and multiply-accumulates
efficientnet_lite0 = variant(body, "efficientnet_lite0", width_coefficient=1.0, depth_coefficient=1.0, preprocessing=image(224, 0.875, INCEPTION), head=head(0.2), paper=TAN, params=4_652_008,   macs=385_187_552)
efficientnet_lite1 = variant(body, "efficientnet_lite1", width_coefficient=1.0, depth_coefficient=1.1, preprocessing=image(240, 0.882, INCEPTION), head=head(0.2), paper=TAN, params=5_416_680,   macs=600_185_232)
efficientnet_lite2 = variant(body, "efficientnet_lite2", width_coefficient=1.1, depth_coefficient=1.2, preprocessing=image(260, 0.890, INCEPTION), head=head(0.3), paper=TAN, params=6_092_072,   macs=859_736_272)
efficientnet_lite3 = variant(body, "efficientnet_lite3", width_coefficient=1.2, depth_coefficient=1.4, preprocessing=image(280, 0.904, INCEPTION), head=head(0.3), paper=TAN, params=8_197_096,   macs=1_383_321_872)
efficientnet_lite4 = variant(body, "efficientnet_lite4", width_coefficient=1.4, depth_coefficient=1.8, preprocessing=image(300, 0.920, INCEPTION), head=head(0.3), paper=TAN, params=13_006_568,  macs=2_553_034_336)
# fmt: on
