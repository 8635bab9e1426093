"""Converts SavedModels to .tflite files, in a child process because the converter can crash.

A job (see `_worker.py`) is {"saved_model", "path", "precision", "calibration", "debug", "float_operations"}:
`calibration` is the path of an .npz file of the inputs by name; with `debug`, the file at `path` is a CSV file with the
quantisation error of each operation.
"""


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

    if job["debug"] or job["float_operations"]:
        debugger = tf.lite.experimental.QuantizationDebugger(
            converter=make_converter(),
            debug_dataset=lambda: (list(arrays.values()) for arrays in examples()),
            debug_options=tf.lite.experimental.QuantizationDebugOptions(
                denylisted_ops=job["float_operations"]
            ),
        )
    if job["debug"]:
        debugger.run()
        with open(job["path"], "w", newline="", encoding="utf-8") as file:
            debugger.layer_statistics_dump(file)
        return
    with open(job["path"], "wb") as file:
        if job["float_operations"]:
            file.write(debugger.get_nondebug_quantized_model())
        else:
            file.write(make_converter().convert())
