"""What translation.py translates and with which models; figures that others published beside its own."""

import dataclasses
import pathlib

import numpy as np

from common import (
    mapping_tasks,
)
import kapps
from kapps import families, visualize
from kapps.data import translation
from kapps.generation import text_generation

PUBLISHED = {
    # github.com/LividWo/Revisit-MMT, README-baseline.md, has the first: 71.0/47.5/34.3/24.5, BP 0.999, by fairseq's
    # generate with a beam of 5, which counts the tokens it was given, after 8,000 updates of 2 x 4,096 tokens.
    ("en", "de"): {"Transformer tiny": 41.02, "Transformer small": 39.68, "Transformer base": 38.33},
    ("en", "fr"): {"Transformer tiny": 61.80},
}  # fmt: skip
"""BLEU of Multi30k's test_2016_flickr by text alone: Wu 2021, arXiv:2105.14462."""
MULTI30K = "test_2016_flickr"

MODELS = {
    "transformer_small": (
        families.transformer, dict(layers=2, d_model=64, ffn=128, heads=4, dropout=0.1)
    ),
    "bahdanau_small": (
        families.bahdanau, dict(embedding=128, units=128, readout=128, cell="gru", dropout=0.2)
    ),
    "luong_small": (
        families.luong, dict(embedding=128, units=256, layers=1, reverse=False, window="global", dropout=0.2)
    ),
    **{
        name: (families.transformer, getattr(kapps, name).builder.row)
        for name in ("transformer_tiny", "transformer_iwslt", "transformer_base", "transformer_big")
    },
    "bahdanau2015": (families.bahdanau, kapps.bahdanau2015.builder.row),
    "luong2015": (families.luong, kapps.luong2015.builder.row),
}  # fmt: skip
"""The body of each and its options."""


def build(name, tokens, dropout=None):
    """Returns a model for the vocabularies of `kapps.data.translation.VocabularyPair`, with its own dropout or another."""
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


def numbers(languages, seed):
    """Returns numbers below 10,000 in German and English words, no number in two parts."""
    drawn = np.random.default_rng(seed).permutation(10_000)[:5_000]
    said = {"en": _english, "de": german}
    both = [[said[language](int(n)) for n in drawn] for language in languages]
    parts = [
        tuple(side[some] for side in both)
        for some in (slice(400, None), slice(200), slice(200, 400))
    ]
    return Corpus("numbers in words", languages, *parts)


def _english(number):
    return " ".join(mapping_tasks.spell(number))


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
            translation.load_tfds_sentences(flags.tfds, languages, split, flags.data)
            for split in (flags.train, flags.validation, flags.test)
        ]
        return Corpus(flags.tfds, languages, *parts)
    if not flags.data:
        if sorted(languages) != ["de", "en"]:
            raise ValueError(
                f"--pair={flags.pair} needs --data, a folder of files such as train.{languages[0]}.gz"
            )
        return numbers(languages, flags.seed)
    folder = pathlib.Path(flags.data)
    parts = [
        translation.read_sentences(*(_file(folder, part, language) for language in languages))
        for part in (flags.train, flags.validation, flags.test)
    ]
    return Corpus(str(folder), languages, *parts)


def _file(folder, part, language):
    path = folder / f"{part}.{language}"
    packed = path.with_name(path.name + ".gz")
    return packed if packed.is_file() and not path.is_file() else path


def translations(writer, tokens, sentences, longest, rows=64):
    """Returns what a model writes for each sentence.

    Args:
        writer: of `kapps.generation.text_generation.translator`.
        tokens: the `kapps.data.translation.VocabularyPair`.
        sentences: any number; of an empty one the translation is empty.
        longest: subwords of a sentence that are read.
        rows: sentences at once, of like lengths, in few shapes.
    """
    found = [""] * len(sentences)
    lengths = [min(len(one), longest) for one in tokens.source.encode_all(sentences)]
    order = sorted((i for i, length in enumerate(lengths) if length), key=lengths.__getitem__)
    for at in range(0, len(order), rows):
        some = order[at : at + rows]
        x = tokens.encode_sources([sentences[i] for i in some], longest)
        # Full batches, 16, 32 .. tokens wide: each other shape is compiled anew.
        full = rows if len(order) > rows else len(some)
        x = np.pad(x, ((0, full - len(some)), (0, -x.shape[1] % 16)))
        x[len(some) :] = x[0]
        written = text_generation.translate(writer, x, start=tokens.start, end=tokens.end)
        for i, row in zip(some, written, strict=False):
            found[i] = tokens.decode_target(row)
    return found


def words(pieces):
    """Returns the places of each word's subwords: a word begins at a space and at what is no letter and no figure."""
    found = []
    for i, piece in enumerate(pieces):
        if (
            not found
            or piece[:1] in ("", " ", "<")
            or not (piece[0].isalnum() or piece[0] == "\ufffd")
        ):
            found.append([])
        found[-1].append(i)
    return found


def image(model, tokens, sentence, translation, path):
    """Draws what a model looks at where it writes a translation: words, or subwords where a side has one word alone."""
    source = tokens.encode_sources([sentence])
    labels = np.append(tokens.target.encode(translation), tokens.end)
    target = np.append(tokens.start, labels[:-1])[None]
    weights = kapps.attention_weights(model, [source, target], cross_only=True)
    across, down = tokens.token_texts(source[0], target=False), tokens.token_texts(labels, target=True)
    columns, rows = words(across), words(down)
    if len(columns) < 2 or len(rows) < 3:
        columns, rows = ([[i] for i in range(len(side))] for side in (across, down))
    drawn = {}
    for name, each in weights.items():
        each = each[0].reshape(-1, *each.shape[-2:]).mean(axis=0)
        each = np.stack([each[:, some].sum(axis=1) for some in columns], axis=1)
        drawn[name] = np.stack([each[some].mean(axis=0) for some in rows])
    told = [
        ["".join(side[i] for i in some).strip() for some in places]
        for side, places in ((across, columns), (down, rows))
    ]
    visualize.plot_attention(drawn, *told, path)


def bleu(found, right):
    """Returns [(how, BLEU, signature)] of sentences: as they are, and without case, as figures of Multi30k are."""
    try:
        from sacrebleu.metrics import BLEU
    except ImportError:
        raise ValueError("scores need the library sacrebleu: pip install sacrebleu") from None

    scores = []
    for how, lowercase in (("sacreBLEU", False), ("sacreBLEU, lower case", True)):
        metric = BLEU(lowercase=lowercase)
        score = metric.corpus_score(found, [right]).score
        scores.append((how, score, str(metric.get_signature())))
    return scores
