"""Checks what a SavedModel would run, from `saved_model.pb`, without loading it: loading runs its initialisers.

`saved_model_cli scan` does not see operations in the bodies of nested loops. Here every function in the file is read,
called or not. A child process without kapps uses this file too, so it imports nothing of kapps.

Source: TensorFlow's SECURITY.md (a model is a program), tensorflow/core/protobuf/{saved_model,meta_graph}.proto and
saved_object_graph.proto.
"""

import os
import pathlib
from collections.abc import Collection

MAX_BYTES = 2**28
"""The size of `saved_model.pb`, whose messages are several times larger in memory."""
MAX_NAMES = 5
TEXT_FILE_INITIALIZERS = ("InitializeTableFromTextFile", "InitializeTableFromTextFileV2")
"""They may read an asset of the SavedModel."""
CHECKPOINTS = ("MergeV2Checkpoints", "RestoreV2", "SaveV2", "ShardedFilename")
"""They may be in the functions of the saver, which TensorFlow's Python loader does not run."""
CALLS = ("PartitionedCall", "StatefulPartitionedCall")
ADVICE = "if you trust it, pass trust=True (kapps verify --trust)"


def check_saved_model(path: str, allowed: Collection[str]) -> None:
    """Checks the operations and the files of a SavedModel.

    Args:
        path: of the directory.
        allowed: the names of the operations that may run.

    Raises:
        ValueError: with one line, for a corrupt `saved_model.pb`, other operations, and files outside the directory.
    """
    directory = pathlib.Path(path)
    graphs = _read(directory).meta_graphs
    if len(graphs) != 1 or not graphs[0].object_graph_def.nodes:
        # TensorFlow loads these by running the main graph, its restoring of variables and its initialisers.
        raise ValueError(
            f"it is a SavedModel of TensorFlow 1, whose operations are not checked; {ADVICE}"
        )
    meta_graph = graphs[0]
    functions = {
        function.signature.name: function for function in meta_graph.graph_def.library.function
    }
    _check_operations(meta_graph, functions, frozenset(allowed))
    _check_text_files(meta_graph, functions)
    _check_assets(meta_graph, directory)
    _check_links(directory)


def _read(directory):
    """Returns the content of `saved_model.pb`."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    file = directory / "saved_model.pb"
    if (directory / "saved_model.cpb").exists():
        raise ValueError(f"saved_model.cpb, a file in several parts, is not checked; {ADVICE}")
    try:
        if not file.is_file():
            raise ValueError("saved_model.pb is not a file")
        size = file.stat().st_size
        if size > MAX_BYTES:
            raise ValueError(
                f"saved_model.pb has {size:,} bytes, and at most {MAX_BYTES:,} are checked; {ADVICE}"
            )
        saved_model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    except OSError as error:
        raise ValueError(f"saved_model.pb cannot be read: {error.strerror}") from error
    except (DecodeError, RecursionError) as error:
        raise ValueError("saved_model.pb is corrupt or not a SavedModel") from error
    if not saved_model.meta_graphs:
        raise ValueError("saved_model.pb is corrupt: it has no graph")
    return saved_model


def _check_operations(meta_graph, functions, allowed):
    """Raises ValueError for operations that are not allowed."""
    saver = _saver_functions(meta_graph, functions)
    graphs = {"the graph": (meta_graph.graph_def.node, True)}
    graphs |= {name: (function.node_def, name in saver) for name, function in functions.items()}
    wrong = {}
    for place, (nodes, is_saver) in graphs.items():
        for node in nodes:
            # A function's name can stand in place of an operation's; all functions are checked.
            if node.op in allowed or node.op in TEXT_FILE_INITIALIZERS or node.op in functions:
                continue
            if not (is_saver and node.op in CHECKPOINTS):
                wrong.setdefault(node.op, place)
    if wrong:
        names = [f"{name!r} in {place!r}" for name, place in sorted(wrong.items())]
        more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
        raise ValueError(
            f"it has operations that are not on the list of computations: {', '.join(names[:MAX_NAMES])}{more}; "
            f"{ADVICE}"
        )


def _saver_functions(meta_graph, functions):
    """Returns the names of the functions that only the main graph calls, where the saver is.

    The loader runs what the object graph names, and the functions that those functions name.
    """
    reached = set()
    waiting = [
        *meta_graph.object_graph_def.concrete_functions,
        *(
            name
            for node in meta_graph.object_graph_def.nodes
            for name in (
                *node.function.concrete_functions,
                node.bare_concrete_function.concrete_function_name,
            )
        ),
        # TensorFlow can exchange functions with this attribute for each other.
        *(name for name, function in functions.items() if "api_implements" in function.attr),
        *(gradient.gradient_func for gradient in meta_graph.graph_def.library.gradient),
    ]
    while waiting:
        name = waiting.pop()
        if name in reached or name not in functions:
            continue
        reached.add(name)
        function = functions[name]
        waiting += _named_functions(function.attr.values(), functions)
        for node in function.node_def:
            waiting.append(node.op)
            waiting += _named_functions(node.attr.values(), functions)
    return set(functions) - reached


def _named_functions(attributes, functions):
    """Returns the functions in attributes: as functions, in lists, in their own attributes, and as text."""
    names, waiting = [], list(attributes)
    while waiting:
        value = waiting.pop()
        kind = value.WhichOneof("value")
        if kind == "func":
            names.append(value.func.name)
            waiting += value.func.attr.values()
        elif kind == "list":
            for function in value.list.func:
                names.append(function.name)
                waiting += function.attr.values()
            names += [text.decode(errors="replace") for text in value.list.s]
        elif kind == "s":
            names.append(value.s.decode(errors="replace"))
    return [name for name in names if name in functions]


def _check_text_files(meta_graph, functions):
    """Raises ValueError unless every file that initialises a table is an asset of the SavedModel.

    A table's file name must be an argument of its function, which its caller passes on unchanged, and the first caller
    must get it from the object graph's list of assets.
    """
    objects = meta_graph.object_graph_def
    names = {}  # function: numbers of the arguments that are file names
    is_new = True
    while is_new:
        is_new = False
        for name, function in functions.items():
            for node, position in _file_inputs(function.node_def, names):
                argument = _argument(function, node, position)
                if argument is None:
                    raise ValueError(
                        f"{name!r} reads a text file that is not an asset of the SavedModel; {ADVICE}"
                    )
                if argument not in names.setdefault(name, set()):
                    names[name].add(argument)
                    is_new = True
    for name, arguments in names.items():
        called = any(
            name in _named_functions(node.attr.values(), functions) and node.op not in CALLS
            for function in functions.values()
            for node in (*function.node_def, *meta_graph.graph_def.node)
        )
        called |= (
            "api_implements" in functions[name].attr
        )  # TensorFlow can call it in place of another
        if name not in objects.concrete_functions and not called:
            continue
        bound = list(objects.concrete_functions[name].bound_inputs)
        inputs = len(functions[name].signature.input_arg)
        captured = {inputs - len(bound) + i: number for i, number in enumerate(bound)}
        for argument in arguments:
            number = captured.get(argument, -1)
            is_asset = 0 <= number < len(objects.nodes) and objects.nodes[number].HasField("asset")
            if called or not is_asset:
                raise ValueError(
                    f"{name!r} reads a text file that is not an asset of the SavedModel; {ADVICE}"
                )


def _file_inputs(nodes, names):
    """Yields (node, number of its input) for each input that is the name of a file."""
    for node in nodes:
        if node.op in TEXT_FILE_INITIALIZERS:
            yield node, 1
        called = node.attr["f"].func.name if node.op in CALLS else node.op
        for position in names.get(called, ()):
            yield node, position


def _argument(function, node, position):
    """Returns the number of the function's argument that an input of a node is, or None."""
    arguments = {argument.name: i for i, argument in enumerate(function.signature.input_arg)}
    nodes = {node.name: node for node in function.node_def}
    for _ in range(len(nodes) + 1):
        inputs = [name for name in node.input if not name.startswith("^")]
        if position >= len(inputs):
            return None
        source = inputs[position].partition(":")[0]
        if source in arguments:
            return arguments[source]
        node, position = nodes.get(source), 0
        if node is None or node.op != "Identity":
            return None
    return None


def _check_assets(meta_graph, directory):
    """Raises ValueError for an asset outside the directory `assets`."""
    assets = os.path.realpath(directory / "assets")
    for asset in meta_graph.asset_file_def:
        name = asset.filename.replace("\0", "/")
        file = os.path.realpath(os.path.join(assets, name))
        if name != asset.filename or os.path.commonpath([assets, file]) != assets:
            raise ValueError(f"its asset {asset.filename!r} is outside the directory; {ADVICE}")


def _check_links(directory):
    """Raises ValueError for a link to a file outside the directory."""
    root = os.path.realpath(directory)
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            target = os.path.realpath(os.path.join(folder, name))
            if os.path.commonpath([root, target]) != root:
                place = os.path.relpath(os.path.join(folder, name), root)
                raise ValueError(
                    f"{place!r} is a link to {target!r}, outside the directory; {ADVICE}"
                )
