"""The covering set: the fewest small builders that together have every feature of all builders.

    python tests/covering.py  # chooses the set again, prints it, and writes tests/reference/covering.json

Run it when a test of `tests/test_graph.py` fails because a feature is not covered, or `tests/test_covering.py` because
a member has no feature of its own. `members.features` says what a feature is.
"""

import functools
import json
import pathlib
import sys

import graphs
import members
import models

from kapps import cards

FOLDER = pathlib.Path(__file__).parent
PATH = models.REFERENCE / "covering.json"


@functools.cache
def options():
    """Returns the options that the covering set's members are built with: {builder's name: {option: value}}."""
    rows = json.loads(PATH.read_text(encoding="utf-8"))
    return {name: {k: _tuples(v) for k, v in row.items()} for name, row in rows.items()}


def names(kind=None):
    """Returns the covering set's members: of networks on images, or of those on sequences.

    Args:
        kind: "image", "sequence" (anything but images) or None for all.
    """
    return [
        name for name in options() if kind in (None, "image" if _reads_images(name) else "sequence")
    ]


def _reads_images(name):
    return cards.card(name).kind == "image"


def _tuples(value):
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def one_per_head(kind="image"):
    """Returns the first member, so that with fewest layers, with each kind of head."""
    heads = {}
    for name in names(kind):
        head = graphs.builder(name).builder.heads["head"]
        heads.setdefault(getattr(head, "func", head), name)
    return list(heads.values())


def member(name):
    """Returns the small builder of a name: with the options of the covering set, or with those found now."""
    builder = graphs.builder(name)
    small = options()[name] if name in options() else small_options(name)
    return members.with_options(builder, small)


@functools.cache
def small_options(name):
    """Returns `members.small_options` of a name."""
    return members.small_options(graphs.builder(name))


def features_of(name):
    """Returns the features of a small builder."""
    return members.features(graphs.builder(name), graphs.build(member(name)))


@functools.cache
def covered():
    """Returns the features of all members."""
    return set().union(*(features_of(name) for name in names()))


def every_feature():
    """Returns the features of each builder, at its published size, and its number of layers: {name: (set, int)}."""
    features = {}
    for name in cards.list_models():
        model = graphs.graph(name).model
        features[name] = members.features(graphs.builder(name), model), len(model.layers)
    return features


def only_in(sets):
    """Returns what only one of some sets has: {name: elements}."""
    return {
        name: own - set().union(*(other for key, other in sets.items() if key != name))
        for name, own in sets.items()
    }


def choose():
    """Returns the covering set by greedy choice: in each step the builder with most new features for its layers.

    The members with fewest layers are first: `one_per_head` takes the first with each head.
    """
    candidates = every_feature()
    remaining = set().union(*(features for features, _ in candidates.values()))
    chosen = []
    while remaining:
        # A member costs a fixed time and a time for each layer.
        best = max(
            candidates,
            key=lambda name: len(candidates[name][0] & remaining) / (50 + candidates[name][1]),
        )
        chosen.append(best)
        remaining -= candidates[best][0]
    for name in sorted(chosen, key=lambda name: -candidates[name][1]):  # the largest first
        others = [candidates[other][0] for other in chosen if other != name]
        if candidates[name][0] <= set().union(*others):
            chosen.remove(name)
    small = {name: small_options(name) for name in candidates if name in chosen}
    layers = {
        name: len(graphs.build(members.with_options(graphs.builder(name), options)).layers)
        for name, options in small.items()
    }
    return dict(sorted(small.items(), key=lambda item: layers[item[0]]))


def table(sets):
    """Returns lines that say what each member is there for."""
    own = only_in(sets)
    return "\n".join(
        f"{name}: {', '.join(sorted(own[name])) or 'nothing of its own'}" for name in sets
    )


def main():
    write(choose())
    print(table({name: features_of(name) for name in names()}))


def write(chosen):
    """Writes the members and their options."""
    rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(small)}" for name, small in chosen.items())
    PATH.write_text(f"{{\n{rows}\n}}\n", encoding="utf-8")
    options.cache_clear()


if __name__ == "__main__":
    sys.exit(main())
