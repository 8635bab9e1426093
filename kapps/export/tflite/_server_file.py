"""The file `model.tflite` in a SavedModel's directory, which TensorFlow Serving runs with --prefer_tflite_model."""

import pathlib

import flatbuffers
import keras

from kapps.export._inputs import model_input
from kapps.export._saved_model_writer import Signature
from kapps.export.tflite._converter import convert
from kapps.export.tflite._file_contents import check_operations

FILE = "model.tflite"
"""The name that the server looks for."""


def write_server_file(network: keras.Model, path: pathlib.Path, signature: Signature) -> None:
    """Writes a .tflite file in float32 with the inputs and outputs of a SavedModel's `serving_default`.

    The server makes `serving_default` from the names of the file's tensors, so the tensors have the names of the
    signature [1]. It resizes the inputs to the batch of a request, so the batch size is variable.

    [1] TfLiteSession::Create in tensorflow_serving/servables/tensorflow/tflite_session.cc

    Args:
        network: from `inference_model`.
        path: of the file, in a temporary directory.
        signature: of the SavedModel, without labels: LiteRT has no lookup tables.

    Raises:
        ValueError: for a network with inputs of variable size or operations that TFLite lacks.
    """
    inputs = model_input(network)
    if None in inputs.shape:
        raise ValueError(
            f"{network.name} takes {inputs.shape}; a TFLite file needs fixed sizes, so build the model with them"
        )
    try:
        convert(network, path, inputs, batch_size=None, function=signature.function)
    except ValueError as error:
        if "TensorList" not in str(error):
            raise
        raise ValueError(
            f"{network.name} does not convert to TFLite with a variable batch size: its recurrent layers are loops "
            "over arrays of unknown size; build them with unroll=True, or export without tflite=True"
        ) from error
    check_operations(network.name, path)
    path.write_bytes(_with_names_of_signature(path.read_bytes()))


def _with_names_of_signature(content: bytes) -> bytes:
    """Returns a file in which the input and output tensors have the names of the signature."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    tensors, signature = model.subgraphs[0].tensors, model.signatureDefs[0]
    for entry in (*signature.inputs, *signature.outputs):
        tensors[entry.tensorIndex].name = entry.name
    builder = flatbuffers.Builder(len(content) + 4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
