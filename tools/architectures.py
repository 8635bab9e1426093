"""Writes docs/architectures.csv: the parts of one network of each family, from which the site draws its architecture.

    python tools/architectures.py        # minutes
    python tools/architectures.py --new  # keeps the lines of the networks that the file has

Each line is a part of a network: the stem, a level, the encoder, the head. The network is the first builder of its
file. Columns: module; network; part; number of its blocks; its operations with weights, those with most of the
multiply-accumulates, in the order of the graph; shape of its output without the batch; trainable parameters;
multiply-accumulates; the parts and inputs that it reads. A length that the network leaves open is "n", and the
multiply-accumulates are then those of 8 steps. A test compares the sums with the cards.
"""

import csv
import pathlib
import re
import sys

import keras

ROOT = pathlib.Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tools")]

import architecture_plots  # noqa: E402
import graphs  # noqa: E402
import model_tables  # noqa: E402

import kapps  # noqa: E402
from kapps import _errors, generative, segmentation  # noqa: E402
from kapps._arguments import Parser  # noqa: E402

PATH = ROOT / "docs/architectures.csv"
COLUMNS = ("module", "network", "part", "blocks", "operations", "output", "params", "macs", "reads")
OTHER_NETWORKS = (
    ("kapps.segmentation.fcn", segmentation.fcn_resnet50),
    ("kapps.segmentation.deeplab", segmentation.deeplab_v3_resnet50),
    ("kapps.segmentation.unet", segmentation.unet),
    ("kapps.segmentation.fpn", segmentation.fpn),
    ("kapps.segmentation.fcn_vgg", segmentation.fcn8s),
    ("kapps.segmentation.segnet", segmentation.segnet),
    ("kapps.generative.sagan", generative.sagan_generator),
    ("kapps.generative.sagan", generative.sagan_discriminator),
)
"""(module, function) of networks without cards."""
OVER_BODIES = {"kapps.segmentation.unet", "kapps.segmentation.fpn"}
"""Modules of these whose function takes a body."""
STEPS = 8
"""Length that stands for one that a network leaves open."""
OPERATIONS = 4
"""Number of operations that a line has at most."""
PARTS = (
    (r"(?:stem)(?:_|$)", "stem"),
    (r"level(\d+)_fpn_", "neck, level {}"),
    (r"head_(?:level|up|score|crop|sum|scale)(\d+)(?:_|$)", "decoder, level {}"),
    (r"level(\d+)_", "level {}"),
    (r"(?:head|predictions)(?:_|$)", "head"),
    (r"([a-z]+)_embedding(?:_|$)", "{} embedding"),
    (r"([a-z]+)", "{}"),
)
"""Names of layers, and of the parts that they belong to."""
BLOCK = re.compile(r"[a-z]+\d+_[a-z_]*block(\d+)|(?!level)[a-z]+(\d+)(?:[_/]|$)")
NOT_SHOWN = re.compile(
    r"Normalization|Scale|Affine|Bias|Activation|^(?:Add|Dot|Einsum|Matmul|Multiply)$"
)
"""Kinds of layers and operations that no line names."""
WORD = re.compile(r"\dD|[A-Z]+(?=[A-Z][a-z]|\dD|$)|[A-Z]?[a-z]+|[A-Z]+|\d+")
"""A word of the name of a class."""


def part_name(name):
    """Returns the name of the part that a layer belongs to."""
    name = name.split("/")[0]
    for pattern, text in PARTS:
        match = re.match(pattern, name)
        if match is not None:
            return text.format(*match.groups())
    return name


class Part:
    """A part of a network: indices of its rows, and what it reads."""

    def __init__(self, name):
        self.name, self.rows, self.reads = name, [], []

    def read(self, source):
        """Adds a part or the name of an input to what it reads."""
        if source is not self and source not in self.reads:
            self.reads.append(source)

    def follows(self, other):
        """Returns whether this part reads another one, also by way of others."""
        parts = [part for part in self.reads if isinstance(part, Part)]
        return other in parts or any(part.follows(other) for part in parts)


def find_parts(profile, inputs):
    """Returns the parts of a network in an order in which each follows those that it reads.

    Rows are added to the part of their name, unless the part would then read itself. Positions, and rows without
    weights whose name begins with no word of a row with weights, such as masks, belong to what they read. An embedding
    that reads later parts is the head.
    """
    sources = {}
    for source, row in profile.links:
        sources.setdefault(row, []).append(source)
    readers = [row.name for i, row in enumerate(profile.rows) if i in sources]
    words = {part_name(row.name) for row in profile.rows if row.trainable or row.macs}
    words = (words | {"head"}) - {"positions"}
    parts, waiting, owners = [], [], {-1 - i: name for i, name in enumerate(inputs)}
    for i, row in enumerate(profile.rows):
        read = [owners[source] for source in sources.get(i, ()) if source in owners]
        name = part_name(row.name)
        if name not in words:
            if read:
                owners[i] = read[0]
            if not read or isinstance(read[0], str):
                continue
            part = read[0]
        elif not read and any(later.startswith(row.name + "/") for later in readers):
            waiting.append(i)  # a layer whose operations are the next rows
            continue
        else:
            part = part_of(name, parts, read)
            if part is None and name.endswith("embedding") and any(x.name == name for x in parts):
                name = "head"
                part = part_of(name, parts, read)
            if part is None:
                part = Part(name)
                parts.append(part)
        own = [k for k in waiting if row.name.startswith(profile.rows[k].name + "/")]
        part.rows += own
        waiting = [k for k in waiting if k not in own]
        part.rows.append(i)
        owners[i] = part
        for source in read:
            part.read(source)
    return ordered(parts)


def part_of(name, parts, read):
    """Returns the last part of a name that does not read itself when it reads others too; else None."""
    for part in reversed(parts):
        if part.name == name and not any(
            isinstance(x, Part) and x is not part and x.follows(part) for x in read
        ):
            return part
    return None


def ordered(parts):
    """Returns parts in an order in which each follows those that it reads, and, where it can, directly."""
    placed = []
    while len(placed) < len(parts):
        ready = [
            part
            for part in parts
            if part not in placed and all(x in placed for x in part.reads if isinstance(x, Part))
        ]
        next_one = (part for part in ready if placed and placed[-1] in part.reads)
        placed.append(next(next_one, ready[0]))
    return placed


def operation(row):
    """Returns the name of a row's operation, or "" if it is not shown."""
    if not (row.trainable or row.macs) or NOT_SHOWN.search(row.kind):
        return ""
    window = row.window
    if window is not None:
        size = "x".join(map(str, window.kernel)) + "-step" * (len(window.kernel) == 1)
        text = f"{size} transposed convolution" if window.transposed else f"{size} convolution"
        if window.groups == row.inputs[0][-1] > 1:
            text = f"{size} depthwise convolution"
        elif window.groups > 1:
            text += f" of {window.groups} groups"
        return text + f", dilation {max(window.dilation)}" * (max(window.dilation) > 1)
    words = WORD.findall(row.kind)
    return " ".join(word if len(word) > 1 and word.isupper() else word.lower() for word in words)


def operations(rows):
    """Returns the operations of rows, those with most multiply-accumulates or weights, in the order of the graph."""
    costs = {}
    for row in rows:
        name = operation(row)
        if name:
            costs[name] = costs.get(name, 0) + max(row.macs, row.trainable)
    most = sorted(costs, key=costs.get, reverse=True)[:OPERATIONS]
    return [name for name in costs if name in most]


def shape_text(shapes, other):
    """Returns the shape of an output without the batch; a length that differs from another network's is "n"."""
    if not shapes:
        return ""
    lengths = zip(shapes[0][1:], other[0][1:], strict=True)
    return " x ".join(str(a) if a == b else "n" for a, b in lengths)


def lines(module, name, model):
    """Returns the lines of a network."""
    shapes = [tuple(x.shape[1:]) for x in model.inputs]
    profile, longer = (
        kapps.profile(model, [tuple(n or steps for n in shape) for shape in shapes])
        for steps in (STEPS, 2 * STEPS)
    )
    result, names = [], {}
    for part in find_parts(profile, [x.name for x in model.inputs]):
        rows = [profile.rows[i] for i in part.rows]
        count = sum(name.partition(" #")[0] == part.name for name in names.values())
        names[part] = part.name if not count else f"{part.name} #{count + 1}"
        costly = [row.name for row in rows if row.trainable or row.macs]
        blocks = {match[1] or match[2] for match in map(BLOCK.match, costly) if match}
        last = max((i for i in part.rows if profile.rows[i].outputs), default=part.rows[-1])
        reads = [names.get(source, source) for source in part.reads]
        result.append({
            "module": module, "network": name, "part": names[part], "blocks": len(blocks) or "",
            "operations": "; ".join(operations(rows)),
            "output": shape_text(profile.rows[last].outputs, longer.rows[last].outputs),
            "params": sum(row.trainable for row in rows), "macs": sum(row.macs for row in rows),
            "reads": "; ".join(reads),
        })  # fmt: skip
    return result


def over_body(function):
    """Returns the network of a segmentation function over ResNet-18, without values of weights."""
    body = graphs.build(kapps.resnet18, include_top=False, input_shape=(224, 224, 3))
    with keras.StatelessScope(initialize_variables=False):
        model = function(body)
    keras.utils.clear_session(free_memory=False)
    for variable in model.variables:
        variable._initializer = keras.initializers.Zeros()
    return model


def networks():
    """Yields (module, name, function that builds the network without values of weights)."""
    for members in model_tables.families():
        card = members[0]
        yield card.module, card.name, lambda card=card: graphs.graph(card.name).model
    for module, function in OTHER_NETWORKS:
        build = over_body if module in OVER_BODIES else graphs.build
        name = function.__name__ + " of resnet18" * (module in OVER_BODIES)
        yield module, name, lambda build=build, function=function: build(function)


def main(new):
    """Writes the file; `new`: whether to keep the lines of the networks that it has."""
    written = architecture_plots.networks() if new else {}
    table = []
    for module, name, build in networks():
        table += written.get(module, {}).get(name) or lines(module, name, build())
    with open(PATH, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    print(f"wrote {PATH.relative_to(ROOT)}: {len(table)} parts")


if __name__ == "__main__":
    parser = Parser(description=__doc__)
    parser.add_argument(
        "--new", action="store_true", help="build only networks that the file does not have"
    )
    options = parser.parse_args()
    sys.exit(_errors.run(lambda: main(options.new), parser.prog))
