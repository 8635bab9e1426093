"""Reads operations and precision from a .tflite file."""

import os
import pathlib

# A file with variables converts without an error, but its weights are missing and its outputs are NaN.
_UNSUPPORTED = ("CUSTOM", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE")
_HEAVY = (3, 4, 9, 67)  # CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED, TRANSPOSE_CONV


def file_operations(path: str | os.PathLike) -> list[str]:
    """Returns the sorted names of a .tflite file's operations, "CUSTOM:name" for operations that are not builtin."""
    from ai_edge_litert import schema_py_generated as schema

    builtin_names = {value: name for name, value in vars(schema.BuiltinOperator).items()}
    model = schema.Model.GetRootAs(pathlib.Path(path).read_bytes(), 0)
    operations = set()
    for code in map(model.OperatorCodes, range(model.OperatorCodesLength())):
        # Old files have the number in the deprecated field, which is one byte wide.
        name = builtin_names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        operations.add(f"CUSTOM:{code.CustomCode().decode()}" if name == "CUSTOM" else name)
    return sorted(operations)


def check_operations(name: str, path: str | os.PathLike) -> None:
    """Raises ValueError for a file of the model `name` with other than LiteRT's builtin operations, or variables."""
    unsupported = [x for x in file_operations(path) if x.startswith(_UNSUPPORTED)]
    if unsupported:
        raise ValueError(f"{name} converts to TFLite only with {', '.join(unsupported)}")


def file_precision(path: str | os.PathLike) -> str:
    """Returns the precision of a .tflite file, one of `PRECISIONS`, by the tensors of its heavy operations."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(pathlib.Path(path).read_bytes(), 0)
    dtypes = {value: name for name, value in vars(schema.TensorType).items()}
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    pairs, tensor_dtypes = set(), set()
    for graph in model.subgraphs:
        tensor_dtypes |= {dtypes[tensor.type] for tensor in graph.tensors}
        for operation in graph.operators or ():
            if codes[operation.opcodeIndex] in _HEAVY:
                inputs, kernel = (graph.tensors[i] for i in operation.inputs[:2])
                pairs.add((dtypes[inputs.type], dtypes[kernel.type]))
    heavy_dtypes = {dtype for pair in pairs for dtype in pair}
    if "INT16" in heavy_dtypes:
        return "int16"
    if ("INT8", "INT8") in pairs:
        return "int8"
    if "INT8" in heavy_dtypes:
        return "dynamic"
    return "float16" if "FLOAT16" in tensor_dtypes else "float32"
