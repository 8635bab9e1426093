"""NASNet-A: two cells that a search on CIFAR-10 found, stacked for CIFAR and ImageNet.

[1] Zoph 2017, arXiv:1707.07012, and its authors' code

The networks of [1] are called "N @ P": N normal cells at each of three levels, and P channels at the end. Reduction
cells have strides of 2. Each cell reads h0, the output of the cell before it, and h1, that of the cell before that.

The sources differ in the padding of pooling with strides: in [1] no window contains it. timm averages it as zeros, and
Keras Applications also has zeros in its max pooling, although maps have negative values there; `pool_padding` builds
their forms. The weights that both publish are those of [1], so the default is right for them. pytorchcv pads as [1]
does at the sizes of its networks.
"""

from functools import partial

from keras import layers

from kapps import heads
from kapps.builders import image_family, levels, variant
from kapps.layers import batch_norm, cells, conv, conv_bn
from kapps.preprocessing import CIFAR10, INCEPTION

ZOPH = "arXiv:1707.07012"
IMAGENET_NORM = {"momentum": 0.9997, "epsilon": 1e-3}
CIFAR_NORM = {"momentum": 0.9, "epsilon": 1e-5}

# fmt: off
NORMAL = (  # figure 4 of [1]
    ("c2", "sep5", "h0", "sep3", "h1"),
    ("c3", "sep5", "h1", "sep3", "h1"),
    ("c4", "avg",  "h0", "id",   "h1"),
    ("c5", "avg",  "h1", "avg",  "h1"),
    ("c6", "sep3", "h0", "id",   "h0"),
), ("h1", "c2", "c3", "c4", "c5", "c6")
REDUCTION = (
    ("c2", "sep5", "h0", "sep7", "h1"),
    ("c3", "max",  "h0", "sep7", "h1"),
    ("c4", "avg",  "h0", "sep5", "h1"),
    ("c5", "avg",  "c2", "id",   "c3"),
    ("c6", "sep3", "c2", "max",  "h0"),
), ("c3", "c4", "c5", "c6")
# fmt: on
ZEROS = {kind: partial(cells.pooling, kind=kind, zeros=True) for kind in ("avg", "max")}
OPERATIONS = {
    "ignored": cells.OPERATIONS,
    "averaged": {**cells.OPERATIONS, "avg": ZEROS["avg"]},
    "zeros": {**cells.OPERATIONS, **ZEROS},
}
"""The operations of the cells by `pool_padding`."""


def stack(
    x, depths, filters, normal, reduction, *, stem, cifar, skip=False, pool_padding="ignored",
    drop_rate=0.0, drop_steps=None, by_depth=True,
):  # fmt: skip
    """Builds the network of NASNet, PNASNet and AmoebaNet, up to its last ReLU.

    Args:
        x: images.
        depths: number of cells at each level, the reduction cell included. For ImageNet the first one is 1, the first
            reduction cell; the second reduction cell is the first cell of the second level.
        filters: channels of each node of the first normal cell. They double at each later level. The two reduction
            cells before them have a quarter and a half.
        normal: genotype of the normal cells.
        reduction: genotype of the reduction cells.
        stem: filters of the stem's convolution.
        cifar: whether the first cells are normal ones, on a map of the input's size.
        skip: whether h1 after a reduction cell is not that cell's input, but the output of the cell before it.
        pool_padding: "ignored", "averaged" or "zeros": padding of pooling with strides.
        drop_rate: rate of drop path.
        drop_steps: training steps in which the rate rises from 0; None for the full rate at once.
        by_depth: whether the rate rises linearly to `drop_rate` in the last cell; else all cells have the same rate.

    Returns:
        (map, [input of the last reduction cell]).
    """
    if pool_padding not in OPERATIONS:
        raise ValueError(
            f"pool_padding={pool_padding!r} is not one of {', '.join(map(repr, OPERATIONS))}"
        )
    norm = CIFAR_NORM if cifar else IMAGENET_NORM
    x = conv_bn(
        x, stem, 3, strides=1 if cifar else 2, padding=None if cifar else "valid",
        name="stem_conv", **norm,
    )  # fmt: skip
    stem_cells, first_level, normal_level = (0, 0, 0) if cifar else (2, 2, 3)
    strides = [1 if cifar else 2, *[2] * (len(depths) - 1)]
    h0, h1, halved, auxiliary_input = x, x, False, None
    for i, (level, step, name) in enumerate(levels(depths, first=first_level, strides=strides)):
        cell_filters = filters * 2 ** max(level - normal_level, 0) // 2 ** max(stem_cells - i, 0)
        inputs = {"h0": cells.relu_conv_bn(h0, cell_filters, name=f"{name}_h0", **norm), "h1": h1}
        if i:  # the first cell reads the stem's map twice
            inputs["h1"] = cells.fit(
                h1, cell_filters, strides=1 + halved, name=f"{name}_h1", **norm
            )
        rate = drop_rate * (i + 1) / sum(depths) if by_depth else drop_rate
        x = cells.cell(
            inputs, reduction if step == 2 else normal, cell_filters, strides=step,
            operations=OPERATIONS[pool_padding], drop_rate=rate, drop_steps=drop_steps,
            name=name, **norm,
        )  # fmt: skip
        halved = step == 2
        if halved:
            auxiliary_input = h0
        h0, h1 = x, h1 if halved and skip and i >= stem_cells else h0
    return layers.Activation("relu", name=f"level{level}_relu")(x), [auxiliary_input]


def auxiliary_head(
    x, classes, activation, name, *, strides=3, kernel_size=None, padding="valid", second_norm=True, use_bias=True,
    **norm,
):  # fmt: skip
    """ReLU, 5x5 average pooling, a 1x1 to 128, a convolution to 768 and the classifier. The loss has a weight of 0.4.

    Args:
        x: feature map of known size.
        classes: number of classes.
        activation: activation after the logits.
        name: of the output, and first part of the layers' names.
        strides: of the pooling.
        kernel_size: side of the convolution to 768; None for the size of its map.
        padding: of that convolution.
        second_norm: whether a batch norm follows that convolution.
        use_bias: whether the classifier has biases.
        **norm: options of `batch_norm`.
    """
    smallest = 5 if kernel_size is None else 5 + strides * (kernel_size - 1)
    if None in x.shape[1:3] or min(x.shape[1:3]) < smallest:
        raise ValueError(
            f"{name} needs a feature map of known size, at least {smallest}x{smallest}, not {tuple(x.shape[1:3])}; "
            "give a larger input_shape"
        )
    x = cells.relu(x, name=name)
    x = layers.AveragePooling2D(5, strides=strides, name=f"{name}_pool")(x)
    x = conv_bn(x, 128, 1, activation="relu", name=f"{name}_conv1", **norm)
    x = conv(x, 768, kernel_size or tuple(x.shape[1:3]), padding=padding, name=f"{name}_conv2")
    if second_norm:
        x = batch_norm(x, name=f"{name}_conv2_bn", **norm)
    x = layers.Activation("relu", name=f"{name}_conv2_relu")(x)
    x = layers.GlobalAveragePooling2D(name=f"{name}_mean")(x)
    return heads.classifier(
        x, classes, activation, use_bias=use_bias, logits=f"{name}_logits", predictions=name
    )


# It reads the input of the last reduction cell.
auxiliary = partial(auxiliary_head, **IMAGENET_NORM)


def depths_of(n, cifar, reductions=1):
    """Returns the cells of each level: `n` normal ones and `reductions` reduction cells, and one at level 2."""
    return (
        (n, n + reductions, n + reductions) if cifar else (1, n + 1, n + reductions, n + reductions)
    )


head = partial(heads.global_average_pooling, dropout=0.5)
IMAGENET_331 = INCEPTION.at((331, 331))
CIFAR = {
    "cifar": True,
    "head": heads.global_average_pooling,
    "minimum": 8,
    "classes": 10,
    "preprocessing": CIFAR10,
}
"""What the rows of networks for CIFAR have in common."""


@image_family(minimum=32, padding="same", preprocessing=INCEPTION, head=head, auxiliary=auxiliary)
def body(
    x, *, n, filters, stem=32, cifar=False, skip=False, pool_padding="ignored", drop_rate=0.0,
    drop_steps=None,
):  # fmt: skip
    """Builds NASNet-A.

    Args:
        n: number of normal cells at each of three levels.
        filters: channels of each node of the first normal cell: P / 24 of the name "N @ P".
        stem: filters of the stem's convolution.
        cifar: whether the first cells are normal ones, on a map of the input's size.
        skip: whether h1 after a reduction cell is not that cell's input, but the output of the cell before it.
        pool_padding: "ignored" (padding of pooling with strides is in no window), "averaged" (averages contain it as
            zeros, as in timm) or "zeros" (maxima do too, as in Keras Applications).
        drop_rate: rate of drop path in the last cell; it rises linearly over the cells.
        drop_steps: training steps in which the rate rises from 0; None for the full rate at once.
    """
    return stack(
        x, depths_of(n, cifar), filters, NORMAL, REDUCTION, stem=stem, cifar=cifar, skip=skip,
        pool_padding=pool_padding, drop_rate=drop_rate, drop_steps=drop_steps,
    )  # fmt: skip


# fmt: off
#                                                  cells  nodes' filters  stem                                                                                                  trainable parameters and multiply-accumulates
nasnet_mobile = variant(body, "nasnet_mobile", n=4, filters=44,  stem=32,                                                            paper=ZOPH, params=5_289_978,  macs=563_638_816)
nasnet_large  = variant(body, "nasnet_large",  n=6, filters=168, stem=96, skip=True, drop_rate=0.3, preprocessing=IMAGENET_331, paper=ZOPH, params=88_753_150, macs=23_783_414_658)
nasnet_cifar  = variant(body, "nasnet_cifar",  n=6, filters=32,  stem=96, drop_rate=0.4, **CIFAR,                                paper=ZOPH, params=3_346_538,  macs=544_333_312)
# fmt: on
