"""The models of translation.py: every network of a source and a target, and its loss."""

import keras

import kapps
from common import model_options
from kapps import families, training

FAMILIES = (
    "transformer", "bahdanau", "luong", "britz", "encoder_decoder", "lightconv", "evolved_transformer",
    "universal_transformer", "depth_adaptive_transformer", "synthesizer", "area_attention",
)  # fmt: skip
"""The families whose networks take a source and a target."""
SMALL = {
    "transformer_small": (
        families.transformer, dict(layers=2, d_model=64, ffn=128, heads=4, dropout=0.1)
    ),
    "bahdanau_small": (
        families.bahdanau, dict(embedding=128, units=128, readout=128, cell="gru", dropout=0.2)
    ),
    "luong_small": (
        families.luong, dict(embedding=128, units=256, layers=1, reverse=False, window="global", dropout=0.2)
    ),
}  # fmt: skip
"""The family function and the options of the recipe's own models."""
MODELS = [
    *SMALL,
    *(name for name in kapps.list_models(kind="tokens") if kapps.card(name).family in FAMILIES),
]
"""Names of the models."""
RESERVED = ("source_vocabulary", "every_exit")
"""Options that the recipe sets itself."""


def read_options(name, texts, dropout=None):
    """Returns the options of a model: those of --option, and a `dropout` rate unless it is None."""
    reserved = RESERVED if dropout is None else (*RESERVED, "dropout")
    options = model_options.read_options(name, texts, reserved=reserved, rows=SMALL)
    return options if dropout is None else {**options, "dropout": dropout}


def build_model(name, tokens, options, **arguments):
    """Returns a model for a `VocabularyPair`.

    Args:
        name: one of `MODELS`.
        tokens: the `kapps.data.translation.VocabularyPair`.
        options: {option: value} that replace the model's, of `read_options`.
        **arguments: other arguments of the family function.
    """
    source = None if tokens.joint else tokens.source_vocabulary
    return model_options.build(
        name, options, rows=SMALL, vocabulary=tokens.vocabulary, source_vocabulary=source, **arguments
    )  # fmt: skip


def compile_model(model, tokens, options, optimizer, *, label_smoothing, jit_compile=False):
    """Returns a compiled model of logits with the weights of `model`, or with weights for `take_weights`.

    A network whose tokens leave at different exits is trained at all of them; its perplexity is then that of the
    geometric mean of the exits' probabilities, and its loss has no label smoothing.

    Args:
        model: a model of `build_model`.
        tokens, options: those of `build_model`.
        optimizer: the optimizer.
        label_smoothing: label smoothing of the loss.
        jit_compile: whether to compile the training step with XLA.
    """
    rule = find_rule(model.name, options)
    if rule:
        model = build_model(
            model.name, tokens, options, every_exit=True, classifier_activation=None
        )
        loss = training.ExitCrossentropy(
            alpha=0.0 if rule == "confidence" else 1.0, sequence=rule == "sequence"
        )
        metric, outputs = training.ExitPerplexity(), model.output
    else:
        loss = training.SmoothedSparseCrossentropy(label_smoothing)
        metric, outputs = training.Perplexity(), model.get_layer("head_logits").output
    trained = keras.Model(model.input, outputs, name=model.name)
    trained = training.separate_added_losses(trained)
    trained.compile(optimizer, loss, weighted_metrics=[metric], jit_compile=jit_compile)
    return trained


def find_rule(name, options):
    """Returns the rule by which a model's tokens choose their exits, or None if it has no exits."""
    family, row = model_options.find_member(name, SMALL)
    if family.builder.family != "depth_adaptive_transformer":
        return None
    return {"rule": "geometric", **row, **options}["rule"]


def take_weights(model, trained):
    """Sets the weights of a model to those of the model that `compile_model` returned for it."""
    shared = {id(weight) for weight in trained.weights}
    values = {weight.path: weight for weight in trained.weights}
    for weight in model.weights:
        if id(weight) not in shared:
            weight.assign(values[weight.path])


def plain_perplexity(model, dataset):
    """Returns the perplexity of a model's own predictions on batches of (inputs, labels, weights)."""
    logits = keras.Model(model.input, model.get_layer("head_logits").output, name=model.name)
    logits.compile(
        loss=training.SmoothedSparseCrossentropy(0.0), weighted_metrics=[training.Perplexity()]
    )
    return logits.evaluate(dataset, verbose=0, return_dict=True)["perplexity"]
