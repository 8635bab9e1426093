"""Turns SavedModels into .tflite files, in a process of its own: the converter may crash, and takes its process along.

A job (see `worker.py`) is {"saved_model", "path", "precision", "calibration", "debug", "floats"}.
"""


def answer(job):
    import numpy as np
    import tensorflow as tf

    def images():
        with np.load(job["calibration"]) as file:
            arrays = {name: file[name] for name in file.files}
        for i in range(len(next(iter(arrays.values())))):
            yield {name: array[i : i + 1] for name, array in arrays.items()}

    def converter():
        made = tf.lite.TFLiteConverter.from_saved_model(
            job["saved_model"], signature_keys=["serving_default"]
        )
        kinds, precision = tf.lite.OpsSet, job["precision"]
        made.target_spec.supported_ops = [kinds.TFLITE_BUILTINS]
        if precision != "float32":
            made.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            made.target_spec.supported_types = [tf.float16]
        if precision in ("int8", "int16"):
            made.representative_dataset = images
            made.target_spec.supported_ops = [
                kinds.TFLITE_BUILTINS_INT8
                if precision == "int8"
                else kinds.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
            ]
        return made

    if job["debug"] or job["floats"]:
        debugger = tf.lite.experimental.QuantizationDebugger(
            converter=converter(),
            debug_dataset=lambda: (list(x.values()) for x in images()),
            debug_options=tf.lite.experimental.QuantizationDebugOptions(
                denylisted_ops=job["floats"]
            ),
        )
    if job["debug"]:
        debugger.run()
        with open(job["path"], "w", newline="") as file:
            debugger.layer_statistics_dump(file)
        return
    content = debugger.get_nondebug_quantized_model() if job["floats"] else converter().convert()
    with open(job["path"], "wb") as file:
        file.write(content)
