"""Show, attend and tell: a decoder that writes a caption and attends to places of an image before each word.

[1] Xu 2015, arXiv:1502.03044
[2] the authors' code, https://github.com/kelvinxu/arctic-captions

    cnn = kapps.vgg19(include_top=False)                               # any network with a feature map
    annotations = keras.layers.Reshape((-1, cnn.output.shape[-1]))(cnn.output)
    target = keras.Input((None,), dtype="int32", name="target")
    model = kapps.show_attend_tell(input_tensor=[annotations, target])
    model.fit([images, target], labels)        # target = [[start, *words] ...]; labels = [[*words, end] ...]
    tokens = kapps.translate(model, images, start=1, end=2)

The embedding of the start token is not used: the word before the first is a vector of zeros [2].

Departures from the paper:
- The sizes and layers are those that [2] has for COCO: two layers in the attention and in the first states, a tanh in
  the deep output, and biases, which [1] leaves out of its equations.
- The losses of the attention are divided by the number of words, as Keras's loss is (`kapps.layers.CaptionDecoder`).
- The cost by which hard attention learns has no end token. It is the mean over the words, as in [2].
- Hard attention samples in training only; otherwise the context is the mean under alpha, as in [2].
"""

from functools import partial

from keras import layers

from kapps.builders import sequence_family, variant
from kapps.heads import classifier
from kapps.layers import (
    AnnotationAttention,
    AttentionReward,
    CaptionDecoder,
    GatedContextCell,
    ZeroFirstStep,
)
from kapps.layers.recurrent_stack import stack_cells
from kapps.layers.token_embedding import embed_tokens

WINDOWS = {"soft": "global", "hard": "hard"}


def first_states(a, *, units, depth, dropout):
    """h_0 = tanh(f_init,h(mean of a)) and c_0 = tanh(f_init,c(mean of a)) [1, 3.1.2], after `depth` - 1 ReLU layers."""
    x = layers.GlobalAveragePooling1D(name="annotation_mean")(a)
    for number in range(1, depth):
        x = layers.Dense(a.shape[-1], "relu", name=f"init{number}")(x)
        x = layers.Dropout(dropout, name=f"init{number}_dropout")(x) if dropout else x
    return [layers.Dense(units, "tanh", name=f"decoder_state{i}")(x) for i in range(2)]


def deep_output(y, h, z, *, dropout):
    """tanh(E y_{t-1} + L_h h_t + L_z z_t), which L_o follows [1, equation 7]."""
    h = layers.Dropout(dropout, name="decoder_dropout")(h) if dropout else h
    terms = [
        y,
        layers.Dense(y.shape[-1], name="output_h")(h),
        layers.Dense(y.shape[-1], name="output_z")(z),
    ]
    x = layers.Activation("tanh", name="output")(layers.Add(name="output_sum")(terms))
    return layers.Dropout(dropout, name="output_dropout")(x) if dropout else x


def rewarded_classifier(x, classes, activation, *, target, log_p, reward):
    """Scores of the words, whose cost is the reward of hard attention [1, equation 12].

    Args:
        x: features (batch, time, embedding).
        classes: number of tokens.
        activation: activation after the logits; None for logits.
        target: int32 (batch, time).
        log_p: log-probabilities of the sampled places, (batch, time, 1).
        reward: lambda_r.
    """
    logits = classifier(x, classes, None, predictions="logits")
    logits = AttentionReward(reward, dtype="float32", name="attention_reward")(
        logits, target, log_p
    )
    return layers.Activation(activation or "linear", dtype="float32", name="predictions")(logits)


@sequence_family(
    inputs=("source", "target"), shape=(196, 512), target_shape=(None,), vocabulary=10_000
)
def body(
    x, *, vocabulary, attention="soft", embedding=512, units=1800, attention_layers=2, init_layers=2, dropout=0.5,
    penalty=1.0, reward=0.1, entropy=0.002,
):  # fmt: skip
    """Predicts the next word of a caption at each step, given the annotation vectors of an image [1].

    Args:
        x: (source, target): the annotation vectors a_i, float32 (batch, L, D), one for each place of a feature map, and
            the tokens, int32 (batch, time), which begin with the start token.
        vocabulary: number of tokens, padding (0) included.
        attention: "soft", the mean of the annotation vectors under alpha [1, 4.2], or "hard", a sample in training
            [1, 4.1].
        embedding: m, width of the word vectors and of the deep output.
        units: n, width of the LSTM.
        attention_layers: number of layers of the annotation vectors in the attention.
        init_layers: number of layers of the first states.
        dropout: fraction that training drops of the inputs of the first states, of h and of the deep output.
        penalty: lambda, the weight of the doubly stochastic penalty [1, equation 14].
        reward: lambda_r of hard attention [1, equation 12].
        entropy: lambda_e of hard attention.
    """
    a, target = x
    if attention not in WINDOWS:
        raise ValueError(
            f"show_attend_tell: attention={attention!r} is not one of {', '.join(WINDOWS)}"
        )
    y = embed_tokens(target, vocabulary, embedding, name="decoder_embedding")
    y = ZeroFirstStep(name="decoder_inputs")(y)
    f_att = AnnotationAttention(attention_layers, window=WINDOWS[attention], name="attention")
    cell = GatedContextCell(stack_cells(units, 1, cell="lstm"), f_att, name="decoder_cell")
    decoder = CaptionDecoder(cell, penalty, entropy, name="decoder")
    states = first_states(a, units=units, depth=init_layers, dropout=dropout)
    h, z, *log_p = decoder(y, a, initial_state=states)
    x = deep_output(y, h, z, dropout=dropout)
    if attention == "soft":
        return x
    return x, partial(rewarded_classifier, target=target, log_p=log_p[0], reward=reward)


XU = "arXiv:1502.03044"
# fmt: off
#                                                                                                    the formula of [2] at its sizes for COCO, without the CNN
show_attend_tell      = variant(body, "show_attend_tell",      attention="soft", paper=XU, params=35_333_450)
show_attend_tell_hard = variant(body, "show_attend_tell_hard", attention="hard", paper=XU, params=35_333_450)
# fmt: on
