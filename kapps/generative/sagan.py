"""SAGAN: a generator and a discriminator with self-attention and spectral normalisation, conditional on a class.

[1] Zhang 2018, Self-Attention Generative Adversarial Networks, arXiv:1805.08318
[2] the authors' code, github.com/brain-research/self-attention-gan, generator_test and discriminator_test
[3] Miyato 2018, cGANs with Projection Discriminator, arXiv:1802.05637

    generator, discriminator = sagan_generator(), sagan_discriminator()
    model = kapps.training.AdversarialModel(generator, discriminator, classes=1000)

Departures from the papers:
- The keys and values of the attention are pooled, and the values have half of the channels, as in [2]; [1] prints
  neither.
- Spectral normalisation takes its vectors as constants in the gradient, see `kapps.layers.SpectralNorm`.
- The 1x1 convolution of a generator's shortcut is before the upsampling: the same result with a quarter of the work.
- Moving statistics have one momentum for all batch norms; [2] has 0.9999 for the last one of the generator.
- Networks for other sizes than 128 pixels have fewer or more blocks, by the rule of the widths of [2].
"""

import keras
from keras import layers, ops

from kapps._checked import checked
from kapps._values import short
from kapps.layers import (
    LayerScale,
    PixelAttention,
    SpectralNormConv2D,
    SpectralNormDense,
    SpectralNormEmbedding,
    conditional_batch_norm,
)

EPSILON = 1e-5
FIRST_SIDE = 4
"""Height and width of the smallest map."""


def sn_conv(x, filters, kernel_size, name, use_bias=True):
    """A convolution with spectral normalisation, which keeps the size of the map."""
    return SpectralNormConv2D(filters, kernel_size, padding="same", use_bias=use_bias, name=name)(x)


def self_attention(x, name):
    """x + gamma v(softmax(g(x) f(x)^T) h(x)), gamma a number that is 0 at first [1, equations 1 to 3].

    f, g, h and v are 1x1 convolutions; f and h are pooled [2].
    """
    channels = x.shape[-1]
    sizes = {"g": max(1, channels // 8), "f": max(1, channels // 8), "h": max(1, channels // 2)}
    g, f, h = (sn_conv(x, size, 1, f"{name}_{key}", use_bias=False) for key, size in sizes.items())
    f = layers.MaxPooling2D(2, name=f"{name}_f_pool")(f)
    h = layers.MaxPooling2D(2, name=f"{name}_h_pool")(h)
    y = PixelAttention(name=f"{name}_weighted")([g, f, h])
    y = sn_conv(y, channels, 1, f"{name}_v", use_bias=False)
    y = LayerScale(0.0, shared=True, name=f"{name}_gamma")(y)
    return layers.Add(name=f"{name}_add")([x, y])


def up_block(x, label, filters, classes, momentum, name):
    """Doubles height and width: norm, ReLU, nearest neighbours, 3x3, norm, ReLU, 3x3 [2, block]."""
    shortcut = sn_conv(x, filters, 1, f"{name}_shortcut")
    shortcut = layers.UpSampling2D(2, name=f"{name}_shortcut_up")(shortcut)
    x = conditional_batch_norm(x, label, classes, momentum, EPSILON, f"{name}_norm1")
    x = layers.ReLU(name=f"{name}_relu1")(x)
    x = layers.UpSampling2D(2, name=f"{name}_up")(x)
    x = sn_conv(x, filters, 3, f"{name}_conv1")
    x = conditional_batch_norm(x, label, classes, momentum, EPSILON, f"{name}_norm2")
    x = layers.ReLU(name=f"{name}_relu2")(x)
    x = sn_conv(x, filters, 3, f"{name}_conv2")
    return layers.Add(name=f"{name}_add")([shortcut, x])


def first_down_block(x, filters, name):
    """3x3, ReLU, 3x3, and a mean over 2x2 pixels; the shortcut has the mean first [2, optimized_block]."""
    shortcut = layers.AveragePooling2D(2, name=f"{name}_shortcut_pool")(x)
    shortcut = sn_conv(shortcut, filters, 1, f"{name}_shortcut")
    x = sn_conv(x, filters, 3, f"{name}_conv1")
    x = layers.ReLU(name=f"{name}_relu")(x)
    x = sn_conv(x, filters, 3, f"{name}_conv2")
    x = layers.AveragePooling2D(2, name=f"{name}_pool")(x)
    return layers.Add(name=f"{name}_add")([x, shortcut])


def down_block(x, filters, name, strides=2):
    """ReLU, 3x3, ReLU, 3x3, and with strides of 2 a mean over 2x2 pixels, also of the shortcut [2, block]."""
    shortcut, channels = x, x.shape[-1]
    x = layers.ReLU(name=f"{name}_relu1")(x)
    x = sn_conv(x, filters, 3, f"{name}_conv1")
    x = layers.ReLU(name=f"{name}_relu2")(x)
    x = sn_conv(x, filters, 3, f"{name}_conv2")
    if strides == 2 or channels != filters:
        shortcut = sn_conv(shortcut, filters, 1, f"{name}_shortcut")
    if strides == 2:
        x = layers.AveragePooling2D(2, name=f"{name}_pool")(x)
        shortcut = layers.AveragePooling2D(2, name=f"{name}_shortcut_pool")(shortcut)
    return layers.Add(name=f"{name}_add")([shortcut, x])


def map_sides(function, image_shape, attention):
    """Returns the sides of the maps after each halving of the image, the largest first.

    Raises:
        ValueError: for an image that is not square with a side of 8, 16, 32, ..., and for an attention on no map.
    """
    side = image_shape[0] if len(image_shape) == 3 and image_shape[0] == image_shape[1] else 0
    sides = [side // 2**level for level in range(32) if side // 2**level > FIRST_SIDE]
    if not sides or side != FIRST_SIDE * 2 ** len(sides) or image_shape[2] < 1:
        raise ValueError(
            f"{function}: image_shape={short(image_shape)} is not (side, side, channels) with a side of 8, 16, 32, 64, "
            "128, ..."
        )
    if attention is not None and attention not in sides:
        raise ValueError(
            f"{function}: attention={short(attention)} is not the side of a map: {', '.join(map(str, sides))}, or None"
        )
    return sides


@checked
def sagan_generator(
    image_shape: tuple[int, ...] = (128, 128, 3),
    classes: int = 1000,
    *,
    filters: int = 64,
    noise: int = 128,
    attention: int | None = 32,
    momentum: float = 0.999,
    name: str = "sagan_generator",
) -> keras.Model:
    """Returns the generator.

    Args:
        image_shape: (side, side, channels); the side is 8, 16, 32, 64, 128, ...
        classes: number of classes.
        filters: channels of the largest map. The map of half its side has twice as many, and so on; the two smallest
            maps have as many.
        noise: number of random values, from a normal distribution, that an image is made of.
        attention: side of the map that attends to itself; None for a network without attention.
        momentum: of the moving statistics of the batch norms, per training step.
        name: of the model.

    Returns:
        A model from [noise float32 (batch, noise), label int32 (batch,)] to images float32 (batch, *image_shape), in
        [-1, 1].

    Raises:
        ValueError: for a shape or an attention that is not one of those above.
    """
    sides = map_sides("sagan_generator", image_shape, attention)
    z, label = (
        keras.Input((noise,), name="noise"),
        keras.Input((), dtype="int32", name="label"),
    )
    widths = [filters * 2**level for level in range(len(sides))]
    x = SpectralNormDense(FIRST_SIDE**2 * widths[-1], name="stem_dense")(z)
    x = layers.Reshape((FIRST_SIDE, FIRST_SIDE, widths[-1]), name="stem_map")(x)
    for level in reversed(range(len(sides))):
        x = up_block(x, label, widths[level], classes, momentum, f"level{level}")
        if sides[level] == attention:
            x = self_attention(x, f"level{level}_attention")
    x = layers.BatchNormalization(momentum=momentum, epsilon=EPSILON, name="head_bn")(x)
    x = layers.ReLU(name="head_relu")(x)
    x = sn_conv(x, image_shape[2], 3, "head_conv")
    x = layers.Activation("tanh", dtype="float32", name="image")(x)
    return keras.Model([z, label], x, name=name)


@checked
def sagan_discriminator(
    image_shape: tuple[int, ...] = (128, 128, 3),
    classes: int = 1000,
    *,
    filters: int = 64,
    attention: int | None = 32,
    name: str = "sagan_discriminator",
) -> keras.Model:
    """Returns the discriminator, whose score has a term for the image and one for its class [3, equation 6].

    Args:
        filters: channels of the map of half the image's side. The next one has twice as many, and so on.
        attention: side of the map that attends to itself, at most half of the image's; None for a network without
            attention.
        image_shape, classes, name: as for `sagan_generator`.

    Returns:
        A model from [images float32 (batch, *image_shape) in [-1, 1], label int32 (batch,)] to scores float32
        (batch, 1), larger for images that are taken for real ones.

    Raises:
        ValueError: as `sagan_generator`, and for an attention on the image itself.
    """
    sides = [*map_sides("sagan_discriminator", image_shape, attention)[1:], FIRST_SIDE]
    if attention is not None and attention not in sides:
        raise ValueError(
            f"sagan_discriminator: attention={attention} is the side of the image; maps have at most {sides[0]}"
        )
    image, label = (
        keras.Input(image_shape, name="image"),
        keras.Input((), dtype="int32", name="label"),
    )
    x = image
    for level, side in enumerate(sides, start=1):
        width, block = filters * 2 ** (level - 1), f"level{level}_block1"
        x = first_down_block(x, width, block) if level == 1 else down_block(x, width, block)
        if side == attention:
            x = self_attention(x, f"level{level}_attention")
    x = down_block(x, width, f"level{level}_block2", strides=1)
    x = layers.ReLU(name="head_relu")(x)
    h = ops.sum(x, axis=(1, 2))
    of_class = SpectralNormEmbedding(
        classes, width, embeddings_initializer="glorot_uniform", name="head_class"
    )(label)
    of_class = layers.Dot(axes=1, name="head_projection")([h, of_class])
    of_image = SpectralNormDense(1, name="head_dense")(h)
    x = layers.Add(dtype="float32", name="score")([of_image, of_class])
    return keras.Model([image, label], x, name=name)
