"""The flag --option: options of a model's family, such as its width and its number of layers.

flags.DEFINE_string("model", "transformer_base", "model to train")
model_options.define_option_flag()
...
options = model_options.read_options(FLAGS.model, FLAGS.option, reserved=("vocabulary",))
model = model_options.build(FLAGS.model, options, vocabulary=300)
"""

import ast
from collections.abc import Mapping, Sequence

import keras
from absl import flags

import kapps
from kapps import families
from kapps._names import nearest
from kapps._values import short
from kapps.builders._options import check_options

flags.disclaim_key_flags()  # the flag is a flag of the recipe


def define_option_flag() -> None:
    """Defines --option=NAME=VALUE. It may be repeated."""
    flags.DEFINE_multi_string(
        "option", [], "option of the model's family, such as layers=2; repeat the flag for more"
    )


def find_member(name: str, rows: Mapping[str, tuple] | None = None) -> tuple:
    """Returns the family function of a model, and the options of its row.

    Args:
        name: a name of `kapps.list_models`, or of `rows`.
        rows: {name: (family function, {option: value})} of the recipe's own models.
    """
    if rows and name in rows:
        return rows[name]
    builder = getattr(kapps, name).builder
    return getattr(families, builder.family), builder.row


def read_options(
    name: str, texts: Sequence[str], *, reserved: Sequence[str] = (), rows=None
) -> dict[str, object]:
    """Returns the values of --option, {option: value}.

    A value is a literal of Python, such as 2, 0.1, True, None or (2, 3), or else a text, such as gru. An option that is
    a tuple takes values with commas between them: kinds=random,dense.

    Args:
        name, rows: as for `find_member`.
        texts: values of the flag, NAME=VALUE each.
        reserved: options that the recipe sets by other flags.

    Raises:
        ValueError: one line that names the allowed options, if an option does not exist, has no value or one of
            another kind, is given twice, or is set by the recipe.
    """
    builder = find_member(name, rows)[0].builder
    allowed = [option for option in builder.options() if option not in reserved]
    values = {}
    for text in texts:
        option, equals, value = (part.strip() for part in text.partition("="))
        shown = f"--option={short(text, 60)[1:-1]}"
        if option not in allowed or not equals:
            what = "is set by the recipe" if option in reserved else f"is not an option of {name}"
            what = what if equals else "has no value: pass --option=NAME=VALUE"
            close = nearest(option, allowed) if option not in reserved else ""
            raise ValueError(f"{shown}: {option!r} {what}.{close} Allowed: {', '.join(allowed)}")
        if option in values:
            raise ValueError(f"{shown}: {option!r} is given twice; remove one")
        values[option] = _parse(value, builder.examples.get(option, ()))
    check_options("--option", values, builder.examples)
    return values


def build(name: str, options: Mapping[str, object], *, rows=None, **arguments) -> keras.Model:
    """Returns a model of a row of a family's table with other options.

    Args:
        name, rows: as for `find_member`.
        options: {option: value} that replace those of the row, of `read_options`.
        **arguments: arguments of the family function, and options that replace those of the row.
    """
    family, row = find_member(name, rows)
    model = family(**{**row, **options, **arguments})
    # The family's argument `name` would be in the names of all layers too.
    return keras.Model(model.input, model.output, name=name)


def _parse(text, examples):
    """Returns the value of a text; a tuple of its parts between commas where an example is a tuple."""
    is_tuple = any(isinstance(example, tuple) for example in examples)
    if is_tuple and not text.startswith("(") and text != "None":
        return tuple(_parse(part.strip(), ()) for part in text.split(",") if part.strip())
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
