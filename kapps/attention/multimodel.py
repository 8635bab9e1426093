"""MultiModel: one network for tasks on text and images, with convolutions, attention and mixtures of experts.

[1] Kaiser 2017, One Model To Learn Them All, arXiv:1706.05137, sections 2.1 to 2.5
[2] Tensor2Tensor of 2017, https://github.com/tensorflow/tensor2tensor, models/multimodel.py, whose sizes these are

Modality nets bring inputs to (batch, time, d_model): a token to its embedding, an image to a sequence of its pixels at
1/16 of the resolution. An encoder of convolutions reads the inputs. An autoregressive I/O mixer and decoder predict
the next token of a text, whose first token is the command of the task, such as "to English". The builders are networks
from text to text. `image_to_text` and `image_to_class` add other tasks, whose networks share all other layers:

    from kapps.attention import multimodel

    texts = kapps.multimodel_tiny(vocabulary=500)
    captions = multimodel.image_to_text(texts, (64, 64, 3))
    both = keras.Model([*texts.inputs, *captions.inputs], [texts.output, captions.output])

Departures from the paper, and places where [2] sets what the network is:
- The norms after attention and after a mixture of experts are those of [2], LayerNorm(x + y + z) and LayerNorm(x + y),
  and so are the timing signal of the encoder's inputs, the dilation of 4 and the dropout of 0.1.
- All convolutions of a block have d_model channels; in [2] the first two have 4 d_model. The widths of the nets of images
  and classes are those of Xception (arXiv:1610.02357).
- A class is predicted from the output of the encoder, as in [2]; there is no net for audio.
- The numbers of experts are those of [2]; [1] has 60 for one task and 240 for all, 4 of them for each vector.
- The losses of the mixtures have the weight 0.01 of [2]. They are those of `kapps.layers.SparseMixtureOfExperts`.
"""

from functools import partial

import keras
from keras import layers

from kapps import heads
from kapps.builders import sequence_family, variant
from kapps.layers import (
    SequenceSeparableConv1D,
    SinusoidalPositionalEncoding,
    SparseMixtureOfExperts,
)
from kapps.layers.shared_layers import call_again
from kapps.layers.transformer_layers import layer_norm, multi_head_attention, residual

conv_2d = partial(layers.SeparableConv2D, padding="same")


def conv_step(x, filters, kernel_size, *, separable_conv, name, **options):
    """ConvStep(x) = LN(SepConv(ReLU(x))) [1, 2.1]."""
    x = layers.ReLU(name=f"{name}_relu")(x)
    x = separable_conv(filters, kernel_size, name=name, **options)(x)
    return layer_norm(f"{name}_norm")(x)


def conv_block(x, *, padding, dropout, name):
    """Four ConvSteps of 3, 3, 15 and 15 time steps, the last one dilated, with two residual sums [1, 2.1]."""
    separable_conv = partial(SequenceSeparableConv1D, padding=padding)
    step = partial(conv_step, filters=x.shape[-1], separable_conv=separable_conv)
    y = step(x, kernel_size=3, name=f"{name}_conv1")
    y = step(y, kernel_size=3, name=f"{name}_conv2")
    y = layers.Add(name=f"{name}_add1")([x, y])
    y = step(y, kernel_size=15, name=f"{name}_conv3")
    y = step(y, kernel_size=15, dilation_rate=4, name=f"{name}_conv4")
    y = layers.Add(name=f"{name}_add2")([x, y])
    return layers.Dropout(dropout, name=f"{name}_dropout")(y)


def attention_block(x, memory, *, heads, dropout, name):
    """Mixes the target with its timing signal by two blocks, and attends to it and to the source [1, 2.2].

    Args:
        x: the target, (batch, time, d_model); no step depends on a later one.
        memory: the source, (batch, source time, d_model).
        heads: number of attention heads.
        dropout: fraction that training drops of the blocks' outputs and of both attentions' outputs.
    """
    x = SinusoidalPositionalEncoding(name=f"{name}_timing")(x)
    for i in (1, 2):
        x = conv_block(x, padding="causal", dropout=dropout, name=f"{name}_mix{i}")
    y = multi_head_attention(x, heads=heads, causal=True, name=f"{name}_attention")
    z = multi_head_attention(y, memory, heads=heads, name=f"{name}_cross")
    y = layers.Dropout(dropout, name=f"{name}_attention_dropout")(y)
    z = layers.Dropout(dropout, name=f"{name}_cross_dropout")(z)
    return layer_norm(f"{name}_norm")(layers.Add(name=f"{name}_add")([x, y, z]))


def mixture(x, *, experts, k, hidden, name):
    """The sparsely gated mixture of experts [1, 2.3]."""
    weights = dict(importance=0.01, load=0.01)
    return SparseMixtureOfExperts(experts, k, hidden=hidden, name=name, **weights)(x)


def repeat_with_experts(x, block, count, *, experts, dropout, name):
    """`count` blocks, with a mixture of experts after the first half of them [1, 2.4]."""
    for i in range(1, count + 1):
        x = block(x, name=f"{name}{i}")
        if i == max(1, count // 2):
            x = residual(x, experts, dropout=dropout, name=f"{name}_experts")
    return x


def image_modality(x, d_model, widths):
    """An image to a sequence, by the entry flow of Xception [1, 2.5.2]: strides of 2 in the first step and each block.

    Args:
        x: images (batch, height, width, channels) of known size, from 0 to 1: a ReLU comes first.
        d_model: channels of the last residual block, and so of the map that is returned.
        widths: channels of the first two ConvSteps, and of the residual blocks before the last one.
    """
    step = partial(conv_step, separable_conv=conv_2d)
    x = step(x, widths[0], 3, strides=2, name="image_conv1")
    x = step(x, widths[1], 3, name="image_conv2")
    for i, width in enumerate((*widths[2:], d_model), start=1):
        name = f"image_block{i}"
        y = step(x, width, 3, name=f"{name}_conv1")
        y = step(y, width, 3, name=f"{name}_conv2")
        y = layers.MaxPooling2D(3, 2, padding="same", name=f"{name}_pool")(y)
        x = step(x, width, 1, strides=2, name=f"{name}_shortcut")
        x = layers.Add(name=f"{name}_add")([x, y])
    return x


def class_modality(x, classes, activation, size, widths):
    """A sequence to a class, by the exit flow of Xception [1, 2.5.3].

    Args:
        x: the encoder's output (batch, height * width, d_model).
        classes, activation: as for `kapps.heads.classifier`.
        size: (height, width) of the map.
        widths: channels of the residual block and of the two ConvSteps after it.
    """
    step = partial(conv_step, separable_conv=conv_2d)
    x = layers.Reshape((*size, x.shape[-1]), name="class_map")(x)
    y = step(x, widths[0], 3, name="class_conv1")
    y = step(y, widths[0], 3, name="class_conv2")
    y = layers.MaxPooling2D(3, 2, padding="same", name="class_pool")(y)
    x = step(x, widths[0], 3, strides=2, name="class_shortcut")
    x = layers.Add(name="class_add")([x, y])
    for i, width in enumerate(widths[1:], start=3):
        x = step(x, width, 3, name=f"class_conv{i}")
    x = layers.GlobalAveragePooling2D(name="class_mean")(layers.ReLU(name="class_relu")(x))
    names = dict(logits="class_logits", predictions="class_predictions")
    return heads.classifier(x, classes, activation, **names)


def encode(x, *, experts, blocks, dropout):
    """The encoder: convolution blocks with a mixture of experts in the middle [1, 2.4]."""
    x = SinusoidalPositionalEncoding(name="encoder_timing")(x)
    block = partial(conv_block, padding="same", dropout=dropout)
    x = repeat_with_experts(x, block, blocks, experts=experts, dropout=dropout, name="encoder")
    return layers.Identity(name="encoder_output")(x)


def decode(x, memory, *, experts, heads, mixer_blocks, blocks, dropout):
    """The I/O mixer and the decoder, whose convolutions and attention are causal [1, 2.4]."""
    convolutions = partial(conv_block, padding="causal", dropout=dropout)
    attention = partial(attention_block, memory=memory, heads=heads, dropout=dropout)

    def block(x, name):
        return attention(convolutions(x, name=f"{name}_block"), name=name)

    x = attention(x, name="mixer")
    for i in range(1, mixer_blocks + 1):
        x = convolutions(x, name=f"mixer_block{i}")
    return repeat_with_experts(x, block, blocks, experts=experts, dropout=dropout, name="decoder")


@sequence_family(
    inputs=("source", "target"), shape=(None,), vocabulary=8_192, head=partial(heads.classifier, use_bias=False)
)  # fmt: skip
def body(
    x, *, vocabulary, d_model=512, heads=8, experts=30, k=4, hidden=2048, encoder_blocks=6, mixer_blocks=2,
    decoder_blocks=4, dropout=0.1,
):  # fmt: skip
    """Predicts the next token at each step of a target text, given a source text [1].

    Args:
        x: (source, target), int32 (batch, time) each; the target starts with the command of the task.
        vocabulary: number of tokens, padding (0) and commands included.
        d_model: width of the embedding and of every block's output.
        heads: number of attention heads, of d_model / heads values each.
        experts: number of experts of each of both mixtures.
        k: number of experts that the gate chooses for each vector.
        hidden: width of each expert's hidden layer.
        encoder_blocks: number of convolution blocks of the encoder.
        mixer_blocks: number of convolution blocks after the attention block of the I/O mixer.
        decoder_blocks: number of blocks of the decoder, a convolution block and an attention block each.
        dropout: fraction that training drops of the outputs of blocks, attentions and mixtures.
    """
    source, target = x
    # The language modality [1, 2.5.1] without a scale, so that vectors have the variance of a norm's outputs.
    initializer = keras.initializers.RandomNormal(stddev=1.0)
    embed = layers.Embedding(
        vocabulary, d_model, mask_zero=True, embeddings_initializer=initializer, name="embedding"
    )
    options = dict(experts=partial(mixture, experts=experts, k=k, hidden=hidden), dropout=dropout)
    memory = encode(embed(source), blocks=encoder_blocks, **options)
    return decode(
        embed(target), memory, heads=heads, mixer_blocks=mixer_blocks, blocks=decoder_blocks, **options
    )  # fmt: skip


def encode_image(model, output, input_shape, widths):
    """Calls the layers from the encoder to an output again on an image; returns it, the output, and the map's size."""
    start, image = model.get_layer("encoder_timing").input, keras.Input(input_shape, name="image")
    x = image_modality(image, start.shape[-1], widths)
    sequence = layers.Reshape((-1, start.shape[-1]), name="image_flatten")(x)
    y = call_again(keras.Model(model.inputs, output), start, sequence, keeps_masks=False)
    return image, y, x.shape[1:3]


def image_to_text(
    model: keras.Model, input_shape: tuple[int, int, int], widths: tuple[int, ...] = (32, 64, 128, 256)
) -> keras.Model:  # fmt: skip
    """Returns a network from an image to a text, which shares all layers but the image's net with a network of texts.

    Inputs: the image, float32 (batch, height, width, channels) from 0 to 1, and the target, int32 (batch, time).

    Args:
        model: the network of texts, of a builder of this family.
        input_shape: (height, width, channels).
        widths: channels of the image's net, as for `image_modality`.
    """
    image, y, _ = encode_image(model, model.output, input_shape, widths)
    target, old = keras.Input((None,), dtype="int32", name="image_target"), model.inputs[1]
    y = call_again(keras.Model([image, old], y), old, target)
    return keras.Model([image, target], y, name=f"{model.name}_image_to_text")


def image_to_class(
    model: keras.Model, input_shape: tuple[int, int, int], classes: int, widths: tuple[int, ...] = (32, 64, 128, 256),
    class_widths: tuple[int, ...] = (728, 1536, 2048), activation: str | None = "softmax",
) -> keras.Model:  # fmt: skip
    """Returns a network from an image to a class, which shares the encoder with a network of texts.

    Args:
        model, input_shape, widths: as for `image_to_text`.
        classes, activation: as for `kapps.heads.classifier`.
        class_widths: channels of the net of the class, as for `class_modality`.
    """
    output = model.get_layer("encoder_output").output
    image, y, size = encode_image(model, output, input_shape, widths)
    y = class_modality(y, classes, activation, size, class_widths)
    return keras.Model(image, y, name=f"{model.name}_image_to_class")


KAISER = "arXiv:1706.05137"
# fmt: off
#                                                                                                                                                      by formula: tests/attention/test_multimodel.py
multimodel_tiny = variant(body, "multimodel_tiny", d_model=128, heads=8, experts=10, hidden=512,  encoder_blocks=2, mixer_blocks=1, decoder_blocks=2, paper=KAISER, params=5_909_760)
multimodel_base = variant(body, "multimodel_base", d_model=512, heads=8, experts=30, hidden=2048, encoder_blocks=6, mixer_blocks=2, decoder_blocks=4, paper=KAISER, params=168_401_920)
# fmt: on
