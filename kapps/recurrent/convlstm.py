"""Nowcasting: an encoder of convolutional LSTMs reads frames, a forecaster goes on from its states.

[1] Shi 2015, arXiv:1506.04214, section 3.2 and Table 1
[2] Shi 2017, arXiv:1706.03458, section 3, which turns the forecaster's order round and says that [1] does not

Moving digits in [1]: frames of 64x64, cut into patches of 4x4 that become 16 channels of 16x16, ten given and ten
forecast. Layer i of the forecaster begins with the states of layer i of the encoder, and its first reads nothing; all its
hidden states beside each other go through a 1x1 convolution. What comes out is the chance of a pixel to be lit. Train by
binary cross-entropy; the paper's number is its sum over a frame's pixels, `kapps.layers.frame_cross_entropy`.
"""

from keras import layers

from kapps.builders import sequence_family, variant
from kapps.layers import PeepholeConvLSTM2D


def to_patches(x, patch, name):
    """(batch, time, height, width, channels) to (..., height / patch, width / patch, patch^2 channels)."""
    time, height, width, channels = x.shape[1:]
    if height % patch or width % patch:
        raise ValueError(
            f"frames of {height}x{width} cannot be cut into patches of {patch}x{patch}; "
            f"give a height and width that {patch} divides"
        )
    rows, columns = height // patch, width // patch
    x = layers.Reshape((time, rows, patch, columns, patch, channels), name=f"{name}_cut")(x)
    x = layers.Permute((1, 2, 4, 3, 5, 6), name=f"{name}_order")(x)
    return layers.Reshape((time, rows, columns, patch * patch * channels), name=name)(x)


def from_patches(x, patch, name):
    """The inverse of `to_patches`."""
    time, rows, columns, channels = x.shape[1:]
    channels //= patch * patch
    x = layers.Reshape((time, rows, columns, patch, patch, channels), name=f"{name}_cut")(x)
    x = layers.Permute((1, 2, 4, 3, 5, 6), name=f"{name}_order")(x)
    return layers.Reshape((time, rows * patch, columns * patch, channels), name=name)(x)


@sequence_family(shape=(10, 64, 64, 1), head=None)
def convlstm(x, *, filters=(128, 64, 64), kernel_size=5, patch=4, horizon=10):
    """Frames in [0, 1] to the `horizon` frames after them, as chances: float32 (batch, horizon, height, width, channels).

    `filters` has the channels of each layer, of encoder and forecaster alike.
    """
    channels = x.shape[-1]
    x = to_patches(x, patch, "patches")
    states, hidden, y = [], [], None
    for i, width in enumerate(filters, start=1):
        x, h, c = PeepholeConvLSTM2D(
            width, kernel_size, return_sequences=True, return_state=True, name=f"encoder{i}"
        )(x)
        states.append([h, c])
    for i, (width, (h, c)) in enumerate(zip(filters, states, strict=True), start=1):
        layer = PeepholeConvLSTM2D(
            width, kernel_size, steps=horizon if y is None else None, return_sequences=True, name=f"forecaster{i}"
        )  # fmt: skip
        y = layer(h if y is None else y, initial_state=[h, c])
        hidden.append(y)
    y = layers.Concatenate(name="forecaster_states")(hidden) if len(hidden) > 1 else y
    # A dense layer on the last axis is the 1x1 convolution of every frame.
    y = layers.Dense(patch * patch * channels, dtype="float32", name="head_logits")(y)
    y = from_patches(y, patch, "head_frames")
    return layers.Activation("sigmoid", dtype="float32", name="predictions")(y)


# fmt: off
#                                                                                                                                trainable parameters
convlstm_nowcaster1 = variant(convlstm, "convlstm_nowcaster1", filters=(256,), paper="arXiv:1506.04214", params=13_524_496)
convlstm_nowcaster2 = variant(convlstm, "convlstm_nowcaster2", filters=(128, 128), paper="arXiv:1506.04214", params=10_042_896)
convlstm_nowcaster3 = variant(convlstm, "convlstm_nowcaster3", filters=(128, 64, 64), paper="arXiv:1506.04214", params=7_585_296)
# fmt: on
