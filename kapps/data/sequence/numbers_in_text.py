"""Numbers as people and programs write them: decimal points or commas, and separators of thousands."""

import dataclasses
import re
from collections.abc import Sequence

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_SPACES = "\u00a0\u202f\u2009\u2019' "
"""Separators of thousands that are never a decimal sign."""
MISSING = ("", "na", "n/a", "nan", "null", "none", "-", "?", ".", "nat", "#n/a", "#value!")
"""Texts of a missing value, in lower case."""


@dataclasses.dataclass(frozen=True)
class NumberFormat:
    """How numbers are written.

    Args:
        decimal: the decimal sign, "." or ",".
        thousands: the separator of thousands, or "".
    """

    decimal: str = "."
    thousands: str = ""

    def parse(self, text: str) -> float | None:
        """Returns the number of a text, or `None` if the text is not a number."""
        text = text.strip().replace("\u2212", "-")
        if self.thousands:
            grouped = re.escape(self.thousands)
            integer = text.partition(self.decimal)[0].lstrip("+-")
            if not re.fullmatch(rf"\d{{1,3}}({grouped}\d{{3}})+|\d*", integer, re.ASCII):
                return None
            text = text.replace(self.thousands, "")
        if self.decimal == ",":
            text = text.replace(".", "x").replace(",", ".")
        return float(text) if _NUMBER.fullmatch(text) else None

    def describe(self) -> str:
        """Returns "decimal comma", with the separator of thousands if there is one."""
        sign = "decimal comma" if self.decimal == "," else "decimal point"
        return f"{sign}, thousands {self.thousands!r}" if self.thousands else sign


def number_format(texts: Sequence[str]) -> NumberFormat | None:
    """Returns the format of numbers, or `None` if a comma may be a decimal sign or a separator of thousands.

    Args:
        texts: the numbers. Other texts are ignored.
    """
    texts = [text.strip().lstrip("+-\u2212") for text in texts]
    texts = [text for text in texts if re.fullmatch(rf"[\d.,{_SPACES}]*\d[\d.,eE+-]*", text)]
    space = next((s for s in _SPACES if any(re.search(rf"\d{s}\d{{3}}", t) for t in texts)), "")
    both = [text for text in texts if "." in text and "," in text]
    if both:
        decimal = max(",.", key=both[0].rfind)
        return NumberFormat(decimal, "," if decimal == "." else ".")
    for sign, other in ((",", "."), (".", ",")):
        if any(text.count(sign) > 1 for text in texts):
            return NumberFormat(other, sign)
    with_comma = [text for text in texts if "," in text]
    if not with_comma:
        return NumberFormat(".", space)
    grouped = all(re.fullmatch(r"[1-9]\d{0,2},\d{3}", text) for text in with_comma)
    long_integers = any(re.match(r"\d{4}", text) for text in texts)
    return None if grouped and not long_integers and not space else NumberFormat(",", space)
