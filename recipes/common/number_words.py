"""Numbers in English and German words."""

import textwrap

import numpy as np

# fmt: off
ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
# fmt: on


def spell_english(number):
    """Returns the English words of a number below a million, as a list."""
    for size, name in ((1000, "thousand"), (100, "hundred")):
        if number >= size:
            remainder = number % size
            rest = (
                (["and"] if 0 < remainder < 100 else []) + spell_english(remainder)
                if remainder
                else []
            )
            return [*spell_english(number // size), name, *rest]
    if number < 20:
        return [ONES[number]]
    return [TENS[number // 10 - 2], *(spell_english(number % 10) if number % 10 else [])]


# fmt: off
EINER = (
    "null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn", "elf", "zwölf",
    "dreizehn", "vierzehn", "fünfzehn", "sechzehn", "siebzehn", "achtzehn", "neunzehn",
)
ZEHNER = ("zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig")
# fmt: on


def spell_german(number):
    """Returns the German word of a number below a million: 2021 is zweitausendeinundzwanzig."""
    for size, name in ((1000, "tausend"), (100, "hundert")):
        if number >= size:
            rest = number % size
            return _before(number // size) + name + (spell_german(rest) if rest else "")
    if number < 20:
        return EINER[number]
    ten, one = divmod(number, 10)
    return (_before(one) + "und" if one else "") + ZEHNER[ten - 2]


def _before(number):
    """Returns the form of a number before another word: 1 is "ein", and "eins" only at the end."""
    return spell_german(number).removesuffix("s") if number % 100 == 1 else spell_german(number)


def quoted_text(length, seed, width=60):
    """Returns a text of at least `length` characters: English numbers, and German ones in quotes, in lines of a width.

    A line ends where the next word does not fit, and a paragraph of some lines ends with an empty line, so that who
    predicts the next character has to know the position in the line and whether it is inside quotes.
    """
    random, paragraphs, size = np.random.default_rng(seed), [], 0
    while size < length:
        words = []
        for _ in range(random.integers(3, 9)):
            for number in random.integers(0, 100, random.integers(1, 8)):
                words += spell_english(int(number))
            quoted = [spell_german(int(n)) for n in random.integers(0, 100, random.integers(1, 6))]
            words.append(f'"{" ".join(quoted)}"')
        paragraphs.append(textwrap.fill(" ".join(words), width) + "\n\n")
        size += len(paragraphs[-1])
    return "".join(paragraphs)
