"""Converts SavedModels to .tflite files, in a child process because the converter can crash.

A job (see `_worker.py`) is {"saved_model", "path", "precision", "calibration", "debug", "float_operations"}:
`calibration` is the path of an .npz file of the inputs by name; with `debug`, the file at `path` is a CSV file with the
quantisation error of each operation.
"""

LEAST_RANGE = 1e-5
"""Activations with a smaller range are always zero; the converter gives them a range of 2e-6."""


def zero_ranges(content):
    """Returns a TFLite model as an object, and the quantisations of its activations that are zero for all examples.

    Args:
        content: bytes of a file in int8, or of one with the ranges of the calibration.
    """
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    zeros = []
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            ranges = tensor.quantization
            if ranges is None or model.buffers[tensor.buffer].data is not None:
                continue
            if ranges.min is not None and len(ranges.min) == 1:
                length = ranges.max[0] - ranges.min[0]
            elif ranges.scale is not None and len(ranges.scale) == 1:
                length = 255 * ranges.scale[0]
            else:
                continue
            if length < LEAST_RANGE:
                zeros.append(ranges)
    return model, zeros


def widen_zero_ranges(content):
    """Returns a calibrated model in which activations that are always zero have the range [-1, 1].

    The output of a ReLU, for example, may be zero for all examples. The steps of its range would be 8e-9, with which
    neither the biases of the next layer nor XNNPACK can compute.
    """
    from tensorflow.lite.tools import flatbuffer_utils

    model, zeros = zero_ranges(content)
    for ranges in zeros:
        ranges.min, ranges.max = [-1.0], [1.0]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def run(job):
    """Runs a job."""
    import numpy as np
    import tensorflow as tf

    def examples():
        with np.load(job["calibration"]) as file:
            arrays = {name: file[name] for name in file.files}
        for i in range(len(next(iter(arrays.values())))):
            yield {name: array[i : i + 1] for name, array in arrays.items()}

    def make_converter():
        converter = tf.lite.TFLiteConverter.from_saved_model(
            job["saved_model"], signature_keys=["serving_default"]
        )
        operation_sets, precision = tf.lite.OpsSet, job["precision"]
        converter.target_spec.supported_ops = [operation_sets.TFLITE_BUILTINS]
        # A loop writes each step's output into the array of all steps. Without this option it copies the array at each
        # step into one of unknown size, which takes twice as long; and with XNNPACK some later calls of a file with
        # such arrays compute wrong values (seen in LiteRT 2.3.0 with two stacked LSTMs in both directions).
        converter._experimental_enable_dynamic_update_slice = True
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if precision in ("int8", "int16"):
            converter.representative_dataset = examples
            converter.target_spec.supported_ops = [
                operation_sets.TFLITE_BUILTINS_INT8
                if precision == "int8"
                else operation_sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
            ]
        return converter

    def make_debugger():
        return tf.lite.experimental.QuantizationDebugger(
            converter=make_converter(),
            debug_dataset=lambda: (list(arrays.values()) for arrays in examples()),
            debug_options=tf.lite.experimental.QuantizationDebugOptions(
                denylisted_ops=job["float_operations"]
            ),
        )

    if job["debug"]:
        debugger = make_debugger()
        debugger.run()
        with open(job["path"], "w", newline="", encoding="utf-8") as file:
            debugger.layer_statistics_dump(file)
        return
    content = None if job["float_operations"] else make_converter().convert()
    if content is None or (job["precision"] == "int8" and zero_ranges(content)[1]):
        debugger = make_debugger()
        debugger.calibrated_model = widen_zero_ranges(debugger.calibrated_model)
        content = debugger.get_nondebug_quantized_model()
    with open(job["path"], "wb") as file:
        file.write(content)
