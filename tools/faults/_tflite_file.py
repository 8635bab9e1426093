"""Writes a small .tflite file with flatbuffers, without TensorFlow: the logistic function of an image."""

import pathlib


def write_tflite(path: pathlib.Path, shape: tuple[int, ...] = (1, 8, 8, 3)) -> pathlib.Path:
    """Writes a file that maps float32 images of a shape to their logistic function.

    Args:
        path: of the file.
        shape: of the input and of the output.

    Returns:
        `path`.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.buffers, model.subgraphs = 3, [schema.BufferT()], [graph]
    code, operation = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.LOGISTIC
    code.version = 1
    model.operatorCodes = [code]
    graph.tensors, graph.operators = [], [operation]
    for name in ("image", "probabilities"):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, list(shape), 0, 0
        graph.tensors.append(tensor)
    graph.inputs, graph.outputs, operation.inputs, operation.outputs = [0], [1], [0], [1]
    operation.opcodeIndex = 0
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = "serving_default", 0
    for name, index in (("inputs", 0), ("outputs", 1)):
        tensor_map = schema.TensorMapT()
        tensor_map.name, tensor_map.tensorIndex = ("image", "probabilities")[index], index
        setattr(signature, name, [tensor_map])
    model.signatureDefs = [signature]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path
