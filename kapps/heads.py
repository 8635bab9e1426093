"""From a feature map to a prediction."""

from keras import layers

POOLINGS = {"avg": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}


def pool(x, pooling):
    """Global pooling by name: (batch, height, width, channels) to (batch, channels)."""
    return POOLINGS[pooling](name="head_pool")(x)


def classifier(x, classes, activation):
    """Pooled features to class scores: (batch, channels) to (batch, classes).

    Logits and activation are layers of their own, `head_logits` and `predictions`, and both compute in
    float32 under any precision policy: a softmax in half precision loses the loss (Keras issue 16552).
    """
    x = layers.Dense(classes, dtype="float32", name="head_logits")(x)
    return layers.Activation(activation or "linear", dtype="float32", name="predictions")(x)
