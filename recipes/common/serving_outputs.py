"""The outputs in a response of TensorFlow Serving: read, checked, and written as text that a terminal can show."""

import base64
import binascii
import json
import math
import re
import typing

UNNAMED = "output"
"""The name of a single output, which TensorFlow Serving leaves out in REST."""
MAX_DIMENSIONS = 8
MAX_LISTS, MAX_LISTS_PER_IMAGE = 2**16, 2**15
"""A response may have MAX_LISTS + n MAX_LISTS_PER_IMAGE lists and objects: they take far more memory than numbers."""
MAX_LINE = 300
"""Characters of a message from the server."""
TITLE = re.compile(rb"<title[^>]*>([^<]{1,200})", re.IGNORECASE)


class ResponseError(Exception):
    """A response that is not one of the model server; the message is the reason, on one line."""


def printable(text: str) -> str:
    r"""Returns a text with escapes for the characters that a terminal would interpret, such as "\x1b"."""
    return "".join(
        x if x.isprintable() else x.encode("unicode_escape").decode("ascii") for x in text
    )


def main_line(text: typing.Any) -> str:
    """Returns the most informative line of an error: TensorFlow prints its location first."""
    lines = [line.strip() for line in str(text or "").splitlines() if line.strip()]
    informative = [
        line
        for line in lines
        if not line.startswith(("Graph execution error", "Detected at", "<stack"))
    ]
    line = printable((informative or lines or ["no message"])[0])
    return line if len(line) <= MAX_LINE else f"{line[:MAX_LINE]}..."


def error_message(body: bytes) -> str:
    """Returns the message in an error's body: JSON's "error", a page's title, or the first line."""
    try:
        return main_line(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        title = TITLE.search(body)
        return main_line((title[1] if title else body).decode(errors="replace"))


def read_json(body: bytes, rows: int) -> dict[str, list]:
    """Returns {output: [value for each image]} of a REST response in row or column format.

    Args:
        body: of the response.
        rows: the number of images in the request.

    Raises:
        ResponseError: for a body that is not JSON, an error, and outputs that are not one tensor row for each image.
    """
    limit = MAX_LISTS + rows * MAX_LISTS_PER_IMAGE
    if body.count(b"[") + body.count(b"{") > limit:
        raise ResponseError(f"its body is not JSON of predictions: more than {limit:,} lists")
    try:
        response = json.loads(body)
    except (ValueError, RecursionError):
        start = error_message(body[:4096]) if body.strip() else "nothing"
        raise ResponseError(f"its body is not JSON but {start}") from None
    if not isinstance(response, dict):
        raise ResponseError(f"its body has no predictions but is {main_line(str(response)[:80])}")
    if "error" in response:
        raise ResponseError(main_line(response["error"]))
    if "predictions" in response:
        columns = _columns(response["predictions"])
    elif "outputs" in response:
        columns = response["outputs"]
    else:
        names = main_line(", ".join(response) or "nothing")
        raise ResponseError(f"its body has no predictions but {names}")
    if not isinstance(columns, dict):
        columns = {UNNAMED: columns}
    return check_outputs(columns, rows)


def _columns(predictions):
    """Returns {output: values} for a list of {output: value}; other predictions unchanged."""
    if not isinstance(predictions, list) or not any(isinstance(x, dict) for x in predictions):
        return predictions
    first = predictions[0]
    if any(
        not isinstance(row, dict) or set(row) != set(first) or set(row) == {"b64"}
        for row in predictions
    ):
        if all(isinstance(row, dict) and set(row) == {"b64"} for row in predictions):
            return predictions  # one output of strings
        raise ResponseError("its predictions have different outputs")
    return {name: [row[name] for row in predictions] for name in first}


def check_outputs(columns: dict[str, typing.Any], rows: int) -> dict[str, list]:
    """Returns the outputs with decoded strings.

    Args:
        columns: {output: a list with a value for each image}.
        rows: the number of images.

    Raises:
        ResponseError: unless every output is a tensor of `rows` rows of finite numbers or of strings.
    """
    if not columns:
        raise ResponseError("it has no outputs")
    outputs = {}
    for name, values in columns.items():
        label = main_line(repr(name))
        if not isinstance(values, list) or len(values) != rows:
            count = f"{len(values):,} rows" if isinstance(values, list) else "no rows"
            raise ResponseError(f"its output {label} has {count} for {rows:,} images")
        try:
            outputs[name] = [_decode(value, 1) for value in values]
            _shape(outputs[name])
        except ValueError as error:
            raise ResponseError(f"its output {label} {error}") from None
    return outputs


def _decode(value, depth):
    """Returns a value with text in place of {"b64": ...} and bytes; raises ValueError if it is not a tensor's."""
    if depth > MAX_DIMENSIONS:
        raise ValueError(f"has more than {MAX_DIMENSIONS} dimensions")
    if isinstance(value, list):
        return [_decode(item, depth + 1) for item in value]
    if isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str):
        try:
            value = base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("has a string that is not base64") from None
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, float)):
        try:
            if math.isfinite(value):
                return value
        except OverflowError:
            pass
        raise ValueError("has a number that is not finite")
    raise ValueError(f"has {main_line(repr(value)[:80])} in place of a number or a string")


def _shape(value):
    """Returns the shape and kind of nested lists; raises ValueError if they are not those of a tensor."""
    if not isinstance(value, list):
        return (), "text" if isinstance(value, str) else "number"
    shapes = {_shape(item) for item in value}
    if not shapes:
        raise ValueError("has an empty row")
    if len(shapes) > 1:
        raise ValueError("has rows of different shapes")
    shape, kind = shapes.pop()
    return (len(value), *shape), kind


def describe_row(outputs: dict[str, list], row: int) -> str:
    """Returns the most likely classes of one image, or all outputs of a model without classes.

    Raises:
        ResponseError: for classes, labels and probabilities that do not fit together.
    """
    name = next((name for name in ("probabilities", "logits") if name in outputs), None)
    if name is None or "classes" not in outputs:
        values = {key: values[row] for key, values in outputs.items()}
        return printable(str(values[UNNAMED] if list(values) == [UNNAMED] else values))
    scores, classes = outputs[name][row], outputs["classes"][row]
    if not _is_list(scores, (int, float)) or not _is_list(classes, int):
        raise ResponseError(f"its outputs '{name}' and 'classes' are not lists of numbers")
    if name == "probabilities" and not all(-1e-3 <= score <= 1 + 1e-3 for score in scores):
        raise ResponseError("its output 'probabilities' has a value outside [0, 1]")
    wrong = [n for n in classes if not 0 <= n < len(scores)]
    if wrong:
        raise ResponseError(
            f"its output 'classes' has {wrong[0]}, and there are {len(scores)} classes"
        )
    labels = [f"class {n}" for n in classes]
    if "labels" in outputs:
        labels = outputs["labels"][row]
        if not _is_list(labels, str) or len(labels) != len(classes):
            count = len(labels) if isinstance(labels, list) else "no"
            raise ResponseError(f"it has {len(classes)} classes and {count} labels of an image")
    texts = (f"{label} {scores[n]:.3f}" for n, label in zip(classes, labels, strict=True))
    return printable(", ".join(texts))


def _is_list(value, kind):
    return isinstance(value, list) and all(
        isinstance(item, kind) and not isinstance(item, bool) for item in value
    )
