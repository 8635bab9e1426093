"""SNAIL: causal convolutions and causal attention in turn, for few-shot classification of one image after its examples.

[1] Mishra 2018, A Simple Neural Attentive Meta-Learner, arXiv:1707.03141
[2] https://github.com/eambutu/snail-pytorch, whose parameters are those of the builders here

An episode is a sequence of T = N K + 1 steps, K images of each of N classes with their labels and last the query. Each
step is the pixels of an image in their order, and then its label as a one-hot vector of N values; the label of the query
is zeros. The prediction is the class of the query.

Departures from the papers:
- The dilations of a TC block are 2, 4, 8, ... in the listing of [1] and in [2], so that a step depends on steps an odd
  number before it through attention only. `first_dilation=1` has 1, 2, 4, ..., as the text of [1] needs.
- The softmax of an attention block is over the keys [1]; [2] takes it over the queries.
- The mini-ImageNet embedding has the mean over all pixels of [1] where [2] has a maximum; odd sizes are padded after the
  last pixel before pooling.
"""

import math
from functools import partial

from keras import layers, ops

from kapps.builders import sequence_family, variant
from kapps.layers import SelfAttention


def dense_block(x, filters, dilation, name):
    """xf, xg = CausalConv(x); concat(x, tanh(xf) * sigmoid(xg)) [1, Figure 1a]."""
    conv = partial(layers.Conv1D, filters, 2, padding="causal", dilation_rate=dilation)
    xf = conv(activation="tanh", name=f"{name}_xf")(x)
    xg = conv(activation="sigmoid", name=f"{name}_xg")(x)
    activations = layers.Multiply(name=f"{name}_activations")([xf, xg])
    return layers.Concatenate(name=f"{name}_concat")([x, activations])


def tc_block(x, steps, filters, first_dilation, name):
    """Dense blocks with growing dilations, ceil(log2 T) of them [1, Figure 1b]."""
    for i in range(math.ceil(math.log2(steps))):
        x = dense_block(x, filters, first_dilation * 2**i, f"{name}_block{i + 1}")
    return x


def attention_block(x, key_size, value_size, name):
    """read = softmax(Q K^T / sqrt(key size)) V over this step and earlier ones; concat(x, read) [1, Figure 1c]."""
    attention = SelfAttention(1, key_size, value_size, use_bias=True, name=name)
    return layers.Concatenate(name=f"{name}_concat")([x, attention(x, use_causal_mask=True)])


def omniglot_embedding(x, filters, dropout):
    """Four times 3x3, batch norm, ReLU, pooling [1, appendix A]: (images, height, width, channels) to vectors."""
    del dropout
    for i in range(1, 5):
        x = layers.Conv2D(filters, 3, padding="same", name=f"embedding{i}_conv")(x)
        x = layers.BatchNormalization(epsilon=1e-5, name=f"embedding{i}_bn")(x)
        x = layers.ReLU(name=f"embedding{i}_relu")(x)
        x = layers.MaxPooling2D(2, name=f"embedding{i}_pool")(x)
    return layers.Flatten(name="embedding_flatten")(x)


def residual_block(x, filters, dropout, name):
    """Three times 3x3, batch norm, leaky ReLU; the 1x1 shortcut; pooling and dropout [1, Figure 6]."""
    shortcut = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_shortcut")(x)
    for i in (1, 2, 3):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"{name}_conv{i}")(x)
        x = layers.BatchNormalization(epsilon=1e-5, name=f"{name}_bn{i}")(x)
        x = layers.ReLU(negative_slope=0.01, name=f"{name}_relu{i}")(x)
    x = layers.Add(name=f"{name}_add")([x, shortcut])
    x = layers.MaxPooling2D(2, padding="same", name=f"{name}_pool")(x)
    return layers.Dropout(dropout, name=f"{name}_dropout")(x)


def mini_imagenet_embedding(x, filters, dropout):
    """Four residual blocks, 1x1 to 2,048 channels, the mean of all pixels, and 384 values [1, appendix A]."""
    for i, width in enumerate((filters, filters * 3 // 2, 2 * filters, 4 * filters), start=1):
        x = residual_block(x, width, dropout, f"embedding{i}")
    x = layers.Conv2D(32 * filters, 1, use_bias=False, name="embedding_conv")(x)
    x = layers.GlobalAveragePooling2D(name="embedding_mean")(x)
    x = layers.ReLU(name="embedding_relu")(x)
    x = layers.Dropout(dropout, name="embedding_dropout")(x)
    return layers.Dense(6 * filters, use_bias=False, name="embedding")(x)


EMBEDDINGS = {"omniglot": omniglot_embedding, "mini_imagenet": mini_imagenet_embedding}


def embed_images(x, embedding, image, filters, dropout):
    """Replaces the pixels at the start of each step by the embedding of the image; x: (batch, T, pixels + N)."""
    steps, pixels = x.shape[1], math.prod(image)
    if embedding not in EMBEDDINGS:
        raise ValueError(f"embedding={embedding!r} is not None or one of {', '.join(EMBEDDINGS)}")
    if steps is None or x.shape[-1] <= pixels:
        raise ValueError(
            f"input_shape={tuple(x.shape[1:])}: image={tuple(image)} needs a number of steps and {pixels:,} pixels and "
            "the label in each step"
        )
    images = ops.reshape(x[..., :pixels], (-1, *image))
    vectors = EMBEDDINGS[embedding](images, filters, dropout)
    vectors = ops.reshape(vectors, (-1, steps, vectors.shape[-1]))
    return layers.Concatenate(name="embedding_and_label")([vectors, x[..., pixels:]])


@sequence_family(shape=(None, 69), classes=5)
def body(
    x, *, ways=5, shots=1, embedding=None, image=(28, 28, 1), embedding_filters=64, dropout=0.9, filters=128,
    attention=((64, 32), (256, 128), (512, 256)), first_dilation=2, every_step=False,
):  # fmt: skip
    """Attention, TC, attention, TC, attention; one prediction at the last step [1, section 4 and appendix A].

    Args:
        x: the steps, float32 (batch, time, features); with an embedding the features are the pixels and the label.
        ways: N, the number of classes of an episode.
        shots: K, the number of images of each class before the query. N and K set the number of dense blocks.
        embedding: "omniglot" or "mini_imagenet" for images in a fixed number of steps; None for vectors, which are also
            decoded one step at a time.
        image: (height, width, channels) of the images.
        embedding_filters: channels of the first convolution of the embedding.
        dropout: fraction that the mini-ImageNet embedding drops in training.
        filters: D, the channels of each dense block.
        attention: (key size, value size) of the three attention blocks.
        first_dilation: dilation of the first dense block of each TC block, doubled with each next one.
        every_step: whether to return the features of each step, or only of the last one.
    """
    if embedding is not None:
        x = embed_images(x, embedding, image, embedding_filters, dropout)
    steps = ways * shots + 1
    for i, sizes in enumerate(attention, start=1):
        x = attention_block(x, *sizes, name=f"attention{i}")
        if i < len(attention):
            x = tc_block(x, steps, filters, first_dilation, name=f"tc{i}")
    return x if every_step else x[:, -1]


OMNIGLOT = dict(embedding="omniglot", image=(28, 28, 1))
MINI = dict(embedding="mini_imagenet", image=(84, 84, 3))
MISHRA = "arXiv:1707.03141"
# fmt: off
#                                                                                                                                                     [2]
snail_omniglot_5way_1shot      = variant(body, "snail_omniglot_5way_1shot",      shape=(6, 789),     classes=5,  ways=5,  shots=1, **OMNIGLOT, paper=MISHRA, params=3_209_342)
snail_omniglot_5way_5shot      = variant(body, "snail_omniglot_5way_5shot",      shape=(26, 789),    classes=5,  ways=5,  shots=5, **OMNIGLOT, paper=MISHRA, params=6_336_126)
snail_omniglot_20way_1shot     = variant(body, "snail_omniglot_20way_1shot",     shape=(21, 804),    classes=20, ways=20, shots=1, **OMNIGLOT, paper=MISHRA, params=6_470_916)
snail_omniglot_20way_5shot     = variant(body, "snail_omniglot_20way_5shot",     shape=(101, 804),   classes=20, ways=20, shots=5, **OMNIGLOT, paper=MISHRA, params=10_684_676)
snail_mini_imagenet_5way_1shot = variant(body, "snail_mini_imagenet_5way_1shot", shape=(6, 21_173),  classes=5,  ways=5,  shots=1, **MINI,     paper=MISHRA, params=8_289_726)
snail_mini_imagenet_5way_5shot = variant(body, "snail_mini_imagenet_5way_5shot", shape=(26, 21_173), classes=5,  ways=5,  shots=5, **MINI,     paper=MISHRA, params=12_071_870)
# fmt: on
