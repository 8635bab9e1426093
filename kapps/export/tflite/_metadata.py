"""TensorFlow Lite metadata: what a .tflite file takes and says, where the standard tools look for it.

The tables are those of metadata_schema.fbs, identifier M001; the numbers below are its fields. Labels are a file in a
zip archive behind the model's own bytes, which LiteRT does not read and MediaPipe does.
"""

import io
import zipfile
from collections.abc import Sequence

import flatbuffers

from kapps.cards import Preprocessing

LABELS, VOCABULARY = "labels.txt", "vocabulary.txt"
_KEY, _IDENTIFIER, _PARSER = "TFLITE_METADATA", b"M001", "1.0.0"
_IMAGE_PROPERTIES, _FEATURE_PROPERTIES, _NORMALIZATION = 2, 1, 1
_AXIS_LABELS, _WORDS = 2, 4
_RGB, _GRAYSCALE = 1, 2


def add(
    content: bytes,
    name: str,
    preprocessing: Preprocessing | None,
    class_names: Sequence[str] | None,
    vocabulary: Sequence[str] | None = None,
) -> bytes:
    """Returns a .tflite file's bytes with metadata.

    Args:
        content: of the file.
        name: of the model.
        preprocessing: what the file does itself to pixels in [0, 255]; None where it takes what the
            model takes, of which the metadata then gives the shape alone.
        class_names: of the first output's scores.
        vocabulary: the token of each number in the input "tokens".
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    signature = model.signatureDefs[0]
    names = {each.tensorIndex: each.name.decode() for each in signature.inputs}
    takes = [(names[index], int(graph.tensors[index].shape[-1])) for index in graph.inputs]
    said = {each.tensorIndex: each.name.decode() for each in signature.outputs}
    outputs = [said[index] for index in graph.outputs]
    labelled = outputs[0] if class_names else None
    buffer = schema.BufferT()
    buffer.data = _packed(name, takes, preprocessing, vocabulary is not None, outputs, labelled)
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = _KEY, len(model.buffers) - 1
    model.metadata = [*(model.metadata or ()), entry]
    builder = flatbuffers.Builder(len(content) + 4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    written = io.BytesIO()
    written.write(builder.Output())
    files = {LABELS: class_names, VOCABULARY: vocabulary}
    files = {name: lines for name, lines in files.items() if lines}
    if files:
        with zipfile.ZipFile(written, "a", zipfile.ZIP_STORED) as archive:
            for name, lines in files.items():
                archive.writestr(name, "\n".join(lines) + "\n")
    return written.getvalue()


def _packed(name, takes, preprocessing, has_words, outputs, labelled) -> bytes:
    """Returns a ModelMetadata of one subgraph."""
    b = flatbuffers.Builder(1024)
    taken = [_taken(b, *each, preprocessing, has_words) for each in takes]
    given = []
    for output in outputs:
        fields = {0: _text(b, output)}
        if output == labelled:
            file = {0: _text(b, LABELS), 2: ("Int8", _AXIS_LABELS)}
            fields[6] = _tables(b, [_table(b, file, 5)])
        given.append(_table(b, fields, 7))
    subgraph = _table(b, {2: _tables(b, taken), 3: _tables(b, given)}, 10)
    fields = {0: _text(b, name), 3: _tables(b, [subgraph]), 7: _text(b, _PARSER)}
    b.Finish(_table(b, fields, 8), _IDENTIFIER)
    return bytes(b.Output())


def _taken(b, takes, channels, preprocessing, has_words) -> int:
    """Writes what is known of an input."""
    kind, properties = _FEATURE_PROPERTIES, {}
    if takes == "image":
        kind = _IMAGE_PROPERTIES
        properties = {0: ("Int8", _RGB if channels == 3 else _GRAYSCALE)}
    properties = _table(b, properties, 2)
    content = _table(b, {0: ("Uint8", kind), 1: ("UOffsetTRelative", properties)}, 3)
    fields = {
        0: _text(b, takes),
        1: _text(b, "float32 pixels in [0, 255]" if preprocessing else "what the model takes"),
        3: ("UOffsetTRelative", content),
    }
    if has_words and takes == "tokens":
        fields[6] = _tables(b, [_table(b, {0: _text(b, VOCABULARY), 2: ("Int8", _WORDS)}, 5)])
    if preprocessing:  # the rest of it is in the graph
        units = {0: _floats(b, [0.0]), 1: _floats(b, [1.0])}
        options = ("UOffsetTRelative", _table(b, units, 2))
        unit = _table(b, {0: ("Uint8", _NORMALIZATION), 1: options}, 2)
        fields[4] = _tables(b, [unit])
        stats = {0: _floats(b, [255.0] * channels), 1: _floats(b, [0.0] * channels)}
        fields[5] = "UOffsetTRelative", _table(b, stats, 2)
    return _table(b, fields, 7)


def _table(b, fields, slots) -> int:
    """Writes a table of {number of the field: (its kind, its value)} and returns where it stands."""
    b.StartObject(slots)
    for slot, (kind, value) in fields.items():
        getattr(b, f"Prepend{kind}Slot")(slot, value, 0)
    return b.EndObject()


def _text(b, text):
    return "UOffsetTRelative", b.CreateString(text)


def _floats(b, values):
    b.StartVector(4, len(values), 4)
    for value in reversed(values):
        b.PrependFloat32(value)
    return "UOffsetTRelative", b.EndVector()


def _tables(b, offsets):
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return "UOffsetTRelative", b.EndVector()
