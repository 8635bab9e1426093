"""ConvLSTM: nowcasting by an encoder of convolutional LSTMs and a forecaster that starts from its states.

[1] Shi 2015, arXiv:1506.04214, section 3.2 and Table 1
[2] Shi 2017, arXiv:1706.03458, section 3, which reverses the order of the forecaster's layers and says that [1] does not

Moving digits in [1]: frames of 64x64 in patches of 4x4, which become 16 channels of 16x16; ten frames are given and ten
forecast. Layer i of the forecaster starts from the states of layer i of the encoder, and its first layer has no input. The
hidden states of all layers of the forecaster are concatenated and go through a 1x1 convolution. The outputs are the
probabilities that pixels are lit. Train with binary cross-entropy; the metric of [1] is its sum over the pixels of a frame,
`kapps.training.frame_cross_entropy`.
"""

from keras import layers

from kapps.builders import sequence_family, variant
from kapps.layers import PeepholeConvLSTM2D


def to_patches(x, patch, name):
    """Cuts frames (batch, time, height, width, channels) into (..., height / patch, width / patch, patch^2 channels)."""
    time, height, width, channels = x.shape[1:]
    if height % patch or width % patch:
        raise ValueError(
            f"frames of {height}x{width} cannot be cut into patches of {patch}x{patch}; "
            f"height and width must be divisible by {patch}"
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
def body(x, *, filters=(128, 64, 64), kernel_size=5, patch=4, horizon=10):
    """Forecasts the frames after a sequence of frames, float32 (batch, horizon, height, width, channels) in [0, 1].

    Args:
        x: frames (batch, time, height, width, channels) in [0, 1], with a fixed number of steps, height and width.
        filters: channels of each layer, the same for encoder and forecaster.
        kernel_size: of all convolutions, odd.
        patch: height and width of the patches, in pixels; 1 for no patches.
        horizon: number of frames to forecast.
    """
    channels = x.shape[-1]
    x = to_patches(x, patch, "patches")
    states = []
    for i, width in enumerate(filters, start=1):
        encoder = PeepholeConvLSTM2D(
            width, kernel_size, return_sequences=True, return_state=True, name=f"encoder{i}"
        )
        x, h, c = encoder(x)
        states.append([h, c])

    hidden, y = [], None
    for i, (width, (h, c)) in enumerate(zip(filters, states, strict=True), start=1):
        steps = horizon if y is None else None  # the first layer has no input
        forecaster = PeepholeConvLSTM2D(
            width, kernel_size, steps=steps, return_sequences=True, name=f"forecaster{i}"
        )
        y = forecaster(h if y is None else y, initial_state=[h, c])
        hidden.append(y)

    y = layers.Concatenate(name="forecaster_states")(hidden) if len(hidden) > 1 else y
    # A dense layer on the last axis is a 1x1 convolution of each frame.
    y = layers.Dense(patch * patch * channels, dtype="float32", name="head_logits")(y)
    y = from_patches(y, patch, "head_frames")
    return layers.Activation("sigmoid", dtype="float32", name="predictions")(y)


# fmt: off
#                                                                                                                    trainable parameters
convlstm_nowcaster1 = variant(body, "convlstm_nowcaster1", filters=(256,),        paper="arXiv:1506.04214", params=13_524_496)
convlstm_nowcaster2 = variant(body, "convlstm_nowcaster2", filters=(128, 128),    paper="arXiv:1506.04214", params=10_042_896)
convlstm_nowcaster3 = variant(body, "convlstm_nowcaster3", filters=(128, 64, 64), paper="arXiv:1506.04214", params=7_585_296)
# fmt: on
