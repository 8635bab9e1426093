"""What the recipes want of TensorFlow; imported before it, for it reads these once. A user's own settings stand."""

import os

# TensorFlow logs hundreds of harmless lines as errors; a real one is an exception as well.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# oneDNN is the faster path on every CPU; TensorFlow switches it on by itself on some only. Its convolution fails on an
# empty batch (TensorFlow 2.21), which one of several workers may get at the end of the evaluation images.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0" if "TF_CONFIG" in os.environ else "1")
