"""TensorFlow Lite metadata: names, ranges and labels, where MediaPipe and Android's tools read them.

The tables are written here because tflite-support, the package that writes them, has no wheel for Python 3.12 and
later. They are those of metadata_schema.fbs, identifier M001; the numbers below are its fields and values. Labels are a
file in a zip archive after the model's own bytes, which LiteRT ignores and MediaPipe reads.
"""

import io
import zipfile
from collections.abc import Sequence

import flatbuffers

from kapps.model_record import main_output
from kapps.preprocessing import Preprocessing

LABELS, VOCABULARY = "labels.txt", "vocabulary.txt"
_KEY, _IDENTIFIER, _PARSER = "TFLITE_METADATA", b"M001", "1.0.0"
_IMAGE_PROPERTIES, _FEATURE_PROPERTIES, _NORMALIZATION = 2, 1, 1
_AXIS_LABELS, _VOCABULARY_FILE = 2, 4
_RGB, _GRAYSCALE = 1, 2


def add_metadata(
    content: bytes,
    name: str,
    preprocessing: Preprocessing | None,
    class_names: Sequence[str] | None,
    vocabulary: Sequence[str] | None = None,
) -> bytes:
    """Returns a .tflite file's content with metadata.

    Args:
        content: of the file.
        name: of the model.
        preprocessing: that the file applies to pixels in [0, 255]; None if the file takes the model's own inputs.
        class_names: of the scores in the first output, or in the one called "predictions".
        vocabulary: the token of each number in the input "tokens".
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    signature = model.signatureDefs[0]
    input_names = {tensor.tensorIndex: tensor.name.decode() for tensor in signature.inputs}
    inputs = [(input_names[i], int(graph.tensors[i].shape[-1])) for i in graph.inputs]
    output_names = {tensor.tensorIndex: tensor.name.decode() for tensor in signature.outputs}
    outputs = [output_names[i] for i in graph.outputs]
    labelled = outputs[main_output(outputs)] if class_names else None
    buffer = schema.BufferT()
    buffer.data = _model_metadata(
        name, inputs, preprocessing, vocabulary is not None, outputs, labelled
    )
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = _KEY, len(model.buffers) - 1
    model.metadata = [*(model.metadata or ()), entry]
    builder = flatbuffers.Builder(len(content) + 4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    stream = io.BytesIO()
    stream.write(builder.Output())
    files = {LABELS: class_names, VOCABULARY: vocabulary}
    files = {name: lines for name, lines in files.items() if lines}
    if files:
        with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
            for name, lines in files.items():
                archive.writestr(name, "\n".join(lines) + "\n")
    return stream.getvalue()


def _model_metadata(name, inputs, preprocessing, has_vocabulary, outputs, labelled) -> bytes:
    """Returns a ModelMetadata table with one subgraph."""
    b = flatbuffers.Builder(1024)
    input_tables = [_input_metadata(b, *pair, preprocessing, has_vocabulary) for pair in inputs]
    output_tables = []
    for output in outputs:
        fields = {0: _string(b, output)}
        if output == labelled:
            file = {0: _string(b, LABELS), 2: ("Int8", _AXIS_LABELS)}
            fields[6] = _tables(b, [_table(b, file, 5)])
        output_tables.append(_table(b, fields, 7))
    subgraph = _table(b, {2: _tables(b, input_tables), 3: _tables(b, output_tables)}, 10)
    fields = {0: _string(b, name), 3: _tables(b, [subgraph]), 7: _string(b, _PARSER)}
    b.Finish(_table(b, fields, 8), _IDENTIFIER)
    return bytes(b.Output())


def _input_metadata(b, name, channels, preprocessing, has_vocabulary) -> int:
    """Writes the TensorMetadata table of an input and returns its offset."""
    kind, properties = _FEATURE_PROPERTIES, {}
    if name == "image":
        kind = _IMAGE_PROPERTIES
        properties = {0: ("Int8", _RGB if channels == 3 else _GRAYSCALE)}
    properties = _table(b, properties, 2)
    content = _table(b, {0: ("Uint8", kind), 1: ("UOffsetTRelative", properties)}, 3)
    description = "float32 pixels in [0, 255]" if preprocessing else "the model's own input"
    fields = {
        0: _string(b, name),
        1: _string(b, description),
        3: ("UOffsetTRelative", content),
    }
    if has_vocabulary and name == "tokens":
        file = {0: _string(b, VOCABULARY), 2: ("Int8", _VOCABULARY_FILE)}
        fields[6] = _tables(b, [_table(b, file, 5)])
    if preprocessing:  # mean 0 and standard deviation 1: the graph itself normalises the pixels
        normalization = {0: _floats(b, [0.0]), 1: _floats(b, [1.0])}
        options = ("UOffsetTRelative", _table(b, normalization, 2))
        unit = _table(b, {0: ("Uint8", _NORMALIZATION), 1: options}, 2)
        fields[4] = _tables(b, [unit])
        stats = {0: _floats(b, [255.0] * channels), 1: _floats(b, [0.0] * channels)}
        fields[5] = "UOffsetTRelative", _table(b, stats, 2)
    return _table(b, fields, 7)


def _table(b, fields, slots) -> int:
    """Writes a table of {field number: (kind, value)} and returns its offset."""
    b.StartObject(slots)
    for slot, (kind, value) in fields.items():
        getattr(b, f"Prepend{kind}Slot")(slot, value, 0)
    return b.EndObject()


def _string(b, text):
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
