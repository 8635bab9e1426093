"""Stories and questions in the format and with the grammar of task 1 of bAbI (Weston 2015, arXiv:1502.05698).

    1 Mary moved to the bathroom.
    2 John went to the hallway.
    3 Where is Mary? 	bathroom	1

A line number of 1 begins a story; a question has its answer and the number of the sentence that has it.
"""

import dataclasses
import pathlib
import re

import numpy as np

PEOPLE = ("Daniel", "John", "Mary", "Sandra")
PLACES = ("bathroom", "bedroom", "garden", "hallway", "kitchen", "office")
MOVES = ("went", "went back", "journeyed", "moved", "travelled")
QUESTIONS = 5
"""Questions of a story; each comes after two sentences."""


@dataclasses.dataclass(frozen=True)
class Question:
    """A question and the sentences before it.

    Args:
        sentences: words of each sentence of the story so far, the oldest first.
        words: words of the question.
        answer: a word.
        support: index of the sentence that has the answer.
    """

    sentences: tuple[tuple[str, ...], ...]
    words: tuple[str, ...]
    answer: str
    support: int


def split_words(sentence):
    return tuple(re.findall(r"\w+", sentence.lower()))


def parse(text):
    """Returns the questions of a text of bAbI, in order."""
    questions, sentences, numbers = [], [], {}
    for line in filter(str.strip, text.splitlines()):
        try:
            number, content = line.split(" ", 1)
            number, parts = int(number), content.split("\t")
            if number == 1:
                sentences, numbers = [], {}
            if len(parts) == 1:
                numbers[number] = len(sentences)
                sentences.append(split_words(content))
            else:
                question, answer, support = parts
                place = numbers[int(support.split()[0])]
                questions.append(
                    Question(tuple(sentences), split_words(question), answer.lower(), place)
                )
        except (ValueError, KeyError, IndexError) as error:
            raise ValueError(
                f"{line.strip()!r} is not a line of bAbI: number and sentence, or number, question, tab, answer, tab "
                "and the number of the sentence with the answer"
            ) from error
    return questions


def generate(random, count):
    """Returns a text with `count` questions: each of four people goes to one of six places."""
    lines, places = [], {}
    for i in range(count):
        if i % QUESTIONS == 0:
            number, places = 0, {}
        for _ in range(2):
            number += 1
            person = random.choice(PEOPLE)
            choices = [place for place in PLACES if place != places.get(person, ("",))[0]]
            places[person] = random.choice(choices), number
            lines.append(f"{number} {person} {random.choice(MOVES)} to the {places[person][0]}.")
        number += 1
        person = random.choice(list(places))
        place, support = places[person]
        lines.append(f"{number} Where is {person}? \t{place}\t{support}")
    return "\n".join(lines) + "\n"


def make_vocabulary(questions):
    """Returns {word: number from 1}; 0 is padding."""
    words = {
        word for q in questions for part in (*q.sentences, q.words, (q.answer,)) for word in part
    }
    return {word: number for number, word in enumerate(sorted(words), start=1)}


def encode(questions, vocabulary, sentences, words):
    """Returns tokens, int32 (questions, sentences + 1, words), and answers, int32 (questions,).

    The question is the last row; the sentences before it end there, so that padding comes first.

    Args:
        questions: a list of `Question`.
        vocabulary: as of `make_vocabulary`.
        sentences: number of sentences; older ones are left out.
        words: number of words of the longest sentence.
    """
    tokens = np.zeros((len(questions), sentences + 1, words), "int32")
    for row, question in zip(tokens, questions, strict=True):
        rows = [*question.sentences[-sentences:], question.words]
        for target, sentence in zip(row[-len(rows) :], rows, strict=True):
            target[: len(sentence)] = [vocabulary[word] for word in sentence]
    return tokens, np.array([vocabulary[q.answer] for q in questions], "int32")


def supports(questions, sentences):
    """Returns the row of `encode` with the sentence of each answer, int (questions,)."""
    return np.array([sentences - len(q.sentences) + q.support for q in questions])


def files(folder):
    """Returns the files of training and of test of task 1 in a folder of bAbI.

    Raises:
        ValueError: if the folder does not have both.
    """
    folder = pathlib.Path(folder)
    paths = [
        next(iter(sorted(folder.glob(f"qa1_*_{part}*.txt"))), None) for part in ("train", "test")
    ]
    if None in paths:
        raise ValueError(
            f"{folder} has no qa1_*_train.txt and qa1_*_test.txt; pass the folder en of the bAbI tasks"
        )
    return paths
