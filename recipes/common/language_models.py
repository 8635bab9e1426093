"""The language models of language_model.py: recurrent, convolutional and attention networks, by name."""

import keras
from absl import flags

import kapps
from common import model_options
from kapps import families, heads, training
from kapps._names import nearest
from kapps.generation import step_models

FLAGS = flags.FLAGS
FAMILIES = (
    "rnn_lm", "mixture_of_experts", "gated_conv_lm", "transformer_decoder", "sparse_transformer", "reformer",
    "adaptive_span_transformer", "all_attention_transformer", "product_key_memory", "lstmn",
)  # fmt: skip
"""The families of networks that predict the next token at each token of a text, from those up to it."""
CARRIED = "rnn_lm"
"""The family whose networks carry their states from batch to batch."""
NEEDED = {"mixture_of_experts": {"experts": 4}}
"""Options that have no default in a family."""
RESERVED = ("stateful",)
"""Options that the recipe sets: --carry sets whether states are carried."""


def rows():
    """Returns the families as models, {name: (family function, options)}."""
    return {name: (getattr(families, name), NEEDED.get(name, {})) for name in FAMILIES}


def language_models():
    """Returns the names of all language models: the families, and their builders."""
    names = [name for name in kapps.list_models() if kapps.card(name).family in FAMILIES]
    return [*FAMILIES, *names]


def reads_source(name):
    """Returns whether a name is that of a family or a builder of networks of a source and a target."""
    if name in families.__all__:
        function = getattr(families, name)
    elif name in kapps.list_models():
        function = getattr(kapps, name)
    else:
        return False
    return len(function.builder.defaults.get("inputs", ())) > 1


def family_of(name):
    """Returns the name of the family of a language model.

    Raises:
        ValueError: for a name that is not one of `language_models`.
    """
    names = language_models()
    if name not in names:
        reason = nearest(name, names)
        if reads_source(name):
            reason = " recipes/translation.py trains networks of a source and a target."
        raise ValueError(
            f"--model={name} is not a language model.{reason} Choose one of {', '.join(names)}"
        )
    return name if name in FAMILIES else kapps.card(name).family


def set_flags():
    """Checks the flags of the model, sets --carry, and returns the options that replace those of the model's row."""
    family = family_of(FLAGS.model)
    for flag in ("units", "cell", "embedding", "dropout"):
        training.forbid_without(flag, f"--model={CARRIED}", FLAGS.model == CARRIED)
    training.forbid_without("carry", f"a model of {CARRIED}", family == CARRIED or not FLAGS.carry)
    training.forbid_without("cutoffs", "--tokens=words", FLAGS.tokens == "words")
    FLAGS.carry = FLAGS.carry and family == CARRIED
    options = model_options.read_options(FLAGS.model, FLAGS.option, reserved=RESERVED, rows=rows())
    if FLAGS.model != CARRIED:
        return options
    own = {
        "units": tuple(FLAGS.units), "embedding": FLAGS.embedding, "cell": FLAGS.cell, "dropout": FLAGS.dropout,
    }  # fmt: skip
    both = [name for name in own if name in options and FLAGS[name].present]
    if both:
        raise ValueError(f"--{both[0]} and --option={both[0]} set the same option: remove one")
    return own | options


def read_cutoffs(name, texts):
    """Returns the cutoffs of the adaptive softmax: those of --cutoffs, else those of the model's row; () for none.

    Raises:
        ValueError: if the texts are not increasing positive integers.
    """
    if texts is None:
        head = {} if name in FAMILIES else getattr(kapps, name).builder.heads["head"]
        return getattr(head, "keywords", {}).get("cutoffs", ())
    cutoffs = [int(text) if text.isdecimal() else 0 for text in texts]
    if not cutoffs or cutoffs != sorted({*cutoffs} - {0}):
        raise ValueError(
            f"--cutoffs={','.join(texts)} are not increasing positive integers, such as 2000,10000"
        )
    return tuple(cutoffs)


def build_model(name, options, vocabulary, cutoffs=(), **arguments):
    """Returns a language model from tokens (batch, time) to probabilities (batch, time, vocabulary).

    Args:
        name: of `language_models`.
        options: {option: value} that replace those of the model's row.
        vocabulary: number of tokens.
        cutoffs: of an adaptive softmax in place of the model's own; () for its own.
        **arguments: of the family function, such as `input_tensor`.
    """
    model = model_options.build(
        name, options, rows=rows(), vocabulary=vocabulary, include_top=not cutoffs, **arguments
    )
    if not cutoffs:
        return model
    y = heads.adaptive_softmax(model.output, vocabulary, "softmax", cutoffs=cutoffs)
    return keras.Model(model.input, y, name=name)


def trained_model(model):
    """Returns the model to train: from the same inputs to logits, with the losses that layers add apart in its logs."""
    logits = model.get_layer("head_logits").output
    return training.separate_added_losses(keras.Model(model.input, logits, name=model.name))


def check_length(model, prompt):
    """Raises ValueError if a generated text has more tokens than the model has positions.

    Args:
        model: the language model.
        prompt: number of tokens of the prompt.
    """
    longest, needed = step_models.longest_sequence(model), prompt + FLAGS.new - 1
    if longest is not None and needed > longest:
        raise ValueError(
            f"a prompt of {prompt} tokens and --new={FLAGS.new} need {needed:,} positions, and {model.name} has "
            f"{longest:,}: lower --new, or raise --option=positions"
        )


def label(options):
    """Returns the name of the model in the table of results."""
    if FLAGS.model != CARRIED:
        return FLAGS.model
    return f"{options['cell']} {' + '.join(map(str, options['units']))}"
