"""Layers of a functional graph that are called again on other tensors, and so share their weights."""

import keras

from kapps._keras_compat import call_nodes, run_through_graph


def call_again(model, x, new_x, keeps_masks=True):
    """Calls all layers between a Keras tensor and a model's output again, in the same order.

        x1 = embed(tokens)
        y1 = encoder_layer(x1)                                  # makes layers
        y2 = call_again(keras.Model(tokens, y1), x1, y1)        # the same layers: encoder_layer(encoder_layer(x1))

    What the layers read that does not depend on x, such as the output of an encoder or a mask, stays as it is.

    Args:
        model: a functional `keras.Model` of one output, y.
        x: the Keras tensor that the layers were called on.
        new_x: the Keras tensor in place of x, of the same shape; the number of steps may differ.
        keeps_masks: whether the layers get the masks of their first call, computed again if they depend on x; False
            for the masks of the new tensors, if new_x has another mask than x, or none.

    Returns:
        The Keras tensor in place of y.
    """
    new = {id(x): new_x}
    dependent = {id(new_x)}  # the new tensors, by id

    def call(layer, *args, **kwargs):
        read = [id(value) for value in keras.tree.flatten((args, kwargs)) if is_tensor(value)]
        if dependent.intersection(read):
            if not keeps_masks:  # Keras adds those of the tensors
                kwargs = {key: value for key, value in kwargs.items() if not is_mask(key, value)}
            outputs = layer(*args, **kwargs)
            dependent.update(id(value) for value in keras.tree.flatten(outputs))
            return outputs
        # The outputs of the first call.
        node = next(
            n for n in call_nodes(layer) if [id(value) for value in n.input_tensors] == read
        )
        return [new.get(id(value), value) for value in node.output_tensors]

    starts = [new.get(id(value), value) for value in model.inputs]
    (y,) = run_through_graph(model, starts, call)
    return y


def is_tensor(value):
    """Whether a value is a Keras tensor."""
    return keras.utils.is_keras_tensor(value)


def is_mask(name, value):
    """Whether an argument of a layer's call is the mask of another argument, which Keras adds."""
    named = name == "mask" or name.endswith("_mask")
    return named and any(is_tensor(mask) for mask in keras.tree.flatten(value))


def model_of(inputs, y):
    """Returns the functional model of a Keras tensor, for `call_again`.

    Args:
        inputs: Keras tensors that y is computed from; those that they are computed from become the model's inputs.
        y: a Keras tensor.
    """
    sources = [source for x in inputs for source in keras.utils.get_source_inputs(x)]
    return keras.Model(list({id(source): source for source in sources}.values()), y)
