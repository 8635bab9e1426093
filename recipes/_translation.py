"""What translation.py translates and with which models; figures that others published beside its own."""

import dataclasses
import pathlib

import _environment  # noqa: F401  # before TensorFlow
import _mappings
import numpy as np

from kapps.attention import transformer
from kapps.data import parallel

PUBLISHED = {
    # Wu 2021, table 2, text alone: tokens and lower case of Moses, 10,000 merges of byte pairs, a GPU.
    ("en", "de"): {"Transformer tiny": 41.02, "Transformer small": 39.68, "Transformer base": 38.33},
    ("en", "fr"): {"Transformer tiny": 61.80},
}  # fmt: skip
"""BLEU of Multi30k's test_2016_flickr, arXiv:2105.14462."""
MULTI30K = "test_2016_flickr"

MODELS = {
    "transformer_small": (
        transformer.transformer, dict(layers=2, d_model=64, ffn=128, heads=4, dropout=0.1)
    ),
    **{
        name: (transformer.transformer, getattr(transformer, name).builder.row)
        for name in ("transformer_tiny", "transformer_iwslt", "transformer_base", "transformer_big")
    },
}  # fmt: skip
"""The body of each and its options."""


def build(name, tokens, dropout=None):
    """Returns a model for the vocabularies of `kapps.data.pairs.Tokens`; dropout where the model's own is not wanted."""
    body, options = MODELS[name]
    others = {} if dropout is None else {"dropout": dropout}
    source = None if tokens.joint else tokens.source_vocabulary
    return body(
        **{**options, "vocabulary": tokens.vocabulary, "source_vocabulary": source, **others},
        name=name,
    )


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Pairs of sentences: (sources, targets) of each part.

    Args:
        name: what they are.
        languages: the source's and the target's.
    """

    name: str
    languages: tuple[str, str]
    train: tuple
    validation: tuple
    test: tuple


def numbers(seed):
    """Returns numbers below 10,000 in English and German words, no number in two parts."""
    drawn = np.random.default_rng(seed).permutation(10_000)[:5_000]
    both = [[_english(n) for n in drawn], [german(int(n)) for n in drawn]]
    parts = [
        tuple(side[some] for side in both)
        for some in (slice(400, None), slice(200), slice(200, 400))
    ]
    return Corpus("numbers in words", ("en", "de"), *parts)


def _english(number):
    return " ".join(_mappings.spelled(int(number)))


# fmt: off
EINER = (
    "null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn", "elf", "zwölf",
    "dreizehn", "vierzehn", "fünfzehn", "sechzehn", "siebzehn", "achtzehn", "neunzehn",
)
ZEHNER = ("zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig")
# fmt: on


def german(number):
    """Returns a German number below a million in words, which are one: 2021 is zweitausendeinundzwanzig."""
    for size, name in ((1000, "tausend"), (100, "hundert")):
        if number >= size:
            rest = number % size
            return _before(number // size) + name + (german(rest) if rest else "")
    if number < 20:
        return EINER[number]
    ten, one = divmod(number, 10)
    return (_before(one) + "und" if one else "") + ZEHNER[ten - 2]


def _before(number):
    """Returns a number's words before another word: 1 is ein, and eins at the end alone."""
    return german(number).removesuffix("s") if number % 100 == 1 else german(number)


def load(flags):
    """Returns the `Corpus` that flags ask for."""
    languages = tuple(flags.pair.split("-"))
    if len(languages) != 2 or not all(languages):
        raise ValueError(f"--pair={flags.pair}: two languages, the source's first, such as en-de")
    if flags.tfds:
        parts = [
            parallel.prepared(flags.tfds, languages, split, flags.data)
            for split in (flags.train, flags.validation, flags.test)
        ]
        return Corpus(flags.tfds, languages, *parts)
    if not flags.data:
        if languages != ("en", "de"):
            raise ValueError(
                f"--pair={flags.pair} needs --data, a folder of files such as train.{languages[0]}.gz"
            )
        return numbers(flags.seed)
    folder = pathlib.Path(flags.data)
    parts = [
        parallel.read(*(_file(folder, part, language) for language in languages))
        for part in (flags.train, flags.validation, flags.test)
    ]
    return Corpus(str(folder), languages, *parts)


def _file(folder, part, language):
    path = folder / f"{part}.{language}"
    packed = path.with_name(path.name + ".gz")
    return packed if packed.is_file() and not path.is_file() else path


def bleu(found, right):
    """Returns [how, BLEU, signature] of sentences: as they are, and without case, as figures of Multi30k are."""
    from sacrebleu.metrics import BLEU

    scores = []
    for how, lowercase in (("sacreBLEU", False), ("sacreBLEU, lower case", True)):
        metric = BLEU(lowercase=lowercase)
        score = metric.corpus_score(found, [right]).score
        scores.append((how, score, str(metric.get_signature())))
    return scores
