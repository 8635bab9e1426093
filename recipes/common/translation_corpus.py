"""Corpora, published figures and scores of translation.py."""

import dataclasses
import importlib.util
import pathlib

import numpy as np

import kapps
from common import number_words
from kapps import data, visualize
from kapps.data import translation
from kapps.generation import text_generation

PUBLISHED = {
    # The first is in README-baseline.md of github.com/LividWo/Revisit-MMT: 71.0/47.5/34.3/24.5, BP 0.999, from
    # fairseq-generate with beam 5 on its input tokens, after 8,000 updates of 2 x 4,096 tokens.
    ("en", "de"): {"Transformer tiny": 41.02, "Transformer small": 39.68, "Transformer base": 38.33},
    ("en", "fr"): {"Transformer tiny": 61.80},
}  # fmt: skip
"""BLEU of text-only models on Multi30k's test_2016_flickr: Wu 2021, arXiv:2105.14462."""
MULTI30K = "test_2016_flickr"


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Pairs of sentences.

    Args:
        name: name of the corpus.
        languages: source and target language.
        train, validation, test: (source sentences, target sentences) of each split.
    """

    name: str
    languages: tuple[str, str]
    train: tuple
    validation: tuple
    test: tuple

    def identity(self):
        """Returns the identity of the sentences for training and validation, as `kapps.data.lines_identity` does."""
        return data.lines_identity(
            {
                f"{split}.{language}": list(lines)
                for split, sides in (("train", self.train), ("validation", self.validation))
                for language, lines in zip(self.languages, sides, strict=True)
            }
        )


def make_numbers(languages, seed):
    """Returns numbers below 10,000 in German and English words. No number is in two splits."""
    numbers = np.random.default_rng(seed).permutation(10_000)[:5_000]
    spell = {
        "en": lambda n: " ".join(number_words.spell_english(n)),
        "de": number_words.spell_german,
    }
    sides = [[spell[language](int(n)) for n in numbers] for language in languages]
    parts = [
        tuple(side[rows] for side in sides)
        for rows in (slice(400, None), slice(200), slice(200, 400))
    ]
    return Corpus("numbers in words", languages, *parts)


def load_corpus(flags):
    """Returns the `Corpus` of the recipe's flags."""
    languages = tuple(flags.pair.split("-"))
    if len(languages) != 2 or not all(languages) or len(set(languages)) == 1:
        raise ValueError(
            f"--pair={flags.pair}: pass the source and another target language, such as en-de"
        )
    if flags.tfds:
        parts = [
            translation.load_tfds_sentences(flags.tfds, languages, split, flags.data)
            for split in (flags.train, flags.validation, flags.test)
        ]
        return Corpus(flags.tfds, languages, *parts)
    if not flags.data:
        if sorted(languages) != ["de", "en"]:
            raise ValueError(
                f"--pair={flags.pair} needs --data, a folder with files such as train.{languages[0]}.gz"
            )
        return make_numbers(languages, flags.seed)
    folder = pathlib.Path(flags.data)
    parts = [
        translation.read_sentences(*(_file(folder, part, language) for language in languages))
        for part in (flags.train, flags.validation, flags.test)
    ]
    return Corpus(str(folder), languages, *parts)


def _file(folder, part, language):
    path = folder / f"{part}.{language}"
    compressed = path.with_name(path.name + ".gz")
    return compressed if compressed.is_file() and not path.is_file() else path


def translate(translator, tokens, sentences, longest, batch_size=64):
    """Returns the translation of each sentence.

    Args:
        translator: the result of `kapps.generation.translator`.
        tokens: the `kapps.data.translation.VocabularyPair` of the model.
        sentences: a list of str; the translation of an empty sentence is empty.
        longest: maximum subwords of a source; the rest is truncated.
        batch_size: number of sentences of similar length that are decoded together.
    """
    translations = [""] * len(sentences)
    lengths = [min(len(row), longest) for row in tokens.source.encode_all(sentences)]
    order = sorted((i for i, length in enumerate(lengths) if length), key=lengths.__getitem__)
    for start in range(0, len(order), batch_size):
        indices = order[start : start + batch_size]
        x = tokens.encode_sources([sentences[i] for i in indices], longest)
        # Full batches whose width is a multiple of 16: each new shape compiles the loop again.
        rows = batch_size if len(order) > batch_size else len(indices)
        x = np.pad(x, ((0, rows - len(indices)), (0, -x.shape[1] % 16)))
        x[len(indices) :] = x[0]
        outputs = text_generation.translate(translator, x, start=tokens.start, end=tokens.end)
        for i, row in zip(indices, outputs, strict=False):
            translations[i] = tokens.decode_target(row)
    return translations


def group_subwords(texts):
    """Returns the indices of each word's subwords. Words start at spaces and non-alphanumeric characters."""
    words = []
    for i, text in enumerate(texts):
        if (
            not words
            or text[:1] in ("", " ", "<")
            or not (text[0].isalnum() or text[0] == "\ufffd")
        ):
            words.append([])
        words[-1].append(i)
    return words


def plot_attention(model, tokens, sentence, translation, path):
    """Plots the attention weights of a translation by words, or by subwords if a side has only one word.

    A network without attention from target to source has no plot; a line says so.
    """
    source = tokens.encode_sources([sentence])
    labels = np.append(tokens.target.encode(translation), tokens.end)
    target = np.append(tokens.start, labels[:-1])[None]
    try:
        weights = kapps.attention_weights(model, [source, target], cross_only=True)
    except ValueError as error:
        print(f"no {path.name}: {error}", flush=True)
        return
    across, down = (
        tokens.token_texts(source[0], target=False),
        tokens.token_texts(labels, target=True),
    )
    columns, rows = group_subwords(across), group_subwords(down)
    if len(columns) < 2 or len(rows) < 3:
        columns, rows = ([[i] for i in range(len(side))] for side in (across, down))
    by_word = {}
    for name, array in weights.items():
        by_subword = array[0].reshape(-1, *array.shape[-2:]).mean(axis=0)
        by_column = np.stack([by_subword[:, word].sum(axis=1) for word in columns], axis=1)
        by_word[name] = np.stack([by_column[word].mean(axis=0) for word in rows])
    labels = [
        ["".join(side[i] for i in word).strip() for word in words]
        for side, words in ((across, columns), (down, rows))
    ]
    visualize.plot_attention(by_word, *labels, path)


def check_outputs(corpus, precisions):
    """Raises ValueError for what would fail after the training: translation, BLEU and export.

    Args:
        corpus: the `Corpus`.
        precisions: of the .tflite files.
    """
    if "int16" in precisions:
        raise ValueError(
            "--tflite=int16 is for image models; a translation model is written in float32, float16, dynamic or int8"
        )
    for part, sentences in (("validation", corpus.validation), ("test", corpus.test)):
        if not any(sentence.strip() for sentence in sentences[0]):
            raise ValueError(f"{corpus.name}: all source sentences of --{part} are empty")
    if importlib.util.find_spec("sacrebleu") is None:
        raise ValueError("BLEU needs the package sacrebleu: pip install sacrebleu")


def compute_bleu(translations, *references):
    """Returns [(name, BLEU, signature)], with and without case; published figures for Multi30k are without case.

    Args:
        translations: the texts.
        *references: lists of one reference of each text; None where a text has fewer references.
    """
    from sacrebleu.metrics import BLEU

    scores = []
    for name, lowercase in (("sacreBLEU", False), ("sacreBLEU, lower case", True)):
        metric = BLEU(lowercase=lowercase)
        score = metric.corpus_score(translations, list(references)).score
        scores.append((name, score, str(metric.get_signature())))
    return scores
