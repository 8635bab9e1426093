"""Runs through a model's graph with one step of the target, and collects the inputs and outputs of that step."""

import collections
import inspect

import keras
from keras import layers

from kapps._keras_compat import first_mask, get_mask, output_in, run_through_graph, set_mask
from kapps.generation._keras_adapters import find_decoding, is_pointwise
from kapps.generation._step_layers import DecodingMemory, DecodingStep, MaskToInt, StepCounter
from kapps.model_record import layer_at

POSITION = "position"
"""The number of steps before this one: int32 (batch, 1)."""
SOURCE_MASK = "source_mask"


class StepGraph:
    """The graph of one decoding step.

    Tensors that depend on the target have one step; those that depend on the source only are computed by the encoder
    and are inputs of the step.

    Args:
        model: a functional `keras.Model`.
        batch, length, source_length: fixed sizes, or None.
    """

    def __init__(self, model, batch, length, source_length):
        self.model, self.batch, self.length = model, batch, length
        target = next((x for x in model.inputs if x.name == "target"), model.inputs[-1])
        self.target = self.new_input((1, *target.shape[2:]), target.dtype, target.name)
        self.source = {}
        for x in model.inputs:
            if x is not target:
                # An image, or another source of a fixed shape, has no length to choose.
                is_fixed = len(x.shape) > 2 and x.shape[1] is not None
                steps = x.shape[1] if is_fixed else source_length or x.shape[1]
                self.source[x.name] = self.new_input((steps, *x.shape[2:]), x.dtype, x.name)
        self.starts = [self.source.get(x.name, self.target) for x in model.inputs]
        self.inputs = {}  # the step's inputs without the target, by name
        self.outputs = {}  # the new states, by name
        self.encoder_outputs = {}  # the inputs of the step that the encoder computes, by name
        self.memory_inputs = {}  # by id: a tensor of the encoder, and the input that replaces it
        self.dependent = {id(self.target): self.target}  # the tensors that depend on it, by id
        self.calls = collections.Counter()  # of each layer with a state or a memory
        self.holders = {}  # the layers around them, by kind and id of the layer; all calls use the same one
        self.memories = {}  # by ids: the memory of a layer and the tensors that it reads, which later calls use again

    def new_input(self, shape, dtype, name):
        return keras.Input(shape, batch_size=self.batch, dtype=dtype, name=name)

    def step_model(self):
        """Returns the model of one step."""
        logits = layer_at(self.model, "head_logits")
        output = self.model.output if logits is None else output_in(self.model, logits)
        model = keras.Model(self.model.inputs, output)
        # `keras.models.clone_model` does the same, but demands that all inputs exist before it begins.
        (output,) = run_through_graph(model, self.starts, self.call)
        inputs = {self.target.name: self.target, **self.inputs}
        outputs = {"values" if logits is None else "logits": output, **self.outputs}
        return keras.Model(inputs, outputs, name=f"{self.model.name}_step")

    def is_dependent(self, value):
        """Whether a tensor, or a structure with one, depends on the target."""
        return any(id(x) in self.dependent for x in keras.tree.flatten(value) if x is not None)

    def call(self, layer, *args, **kwargs):
        """Returns a layer's output, of one step where it depends on the target."""
        if not self.is_dependent((args, kwargs)):
            return call_with_mask(layer, *args, **kwargs)
        decoding = find_decoding(layer)
        if is_pointwise(layer):
            output = self.call_pointwise(layer, *args, **kwargs)
        elif decoding is not None:
            output = self.call_step(layer, decoding, *args, **kwargs)
        else:
            self.raise_error(layer)
        self.dependent.update((id(x), x) for x in keras.tree.flatten(output))
        return output

    def call_pointwise(self, layer, *args, **kwargs):
        def replace(x):
            if not keras.utils.is_keras_tensor(x) or self.is_dependent(x):
                return x
            if len(x.shape) > 2 and x.shape[1] != 1:
                self.raise_error(layer, "combines the steps of the source with those of the target")
            return self.memory_input(x, f"{layer.name}_memory")

        args, kwargs = keras.tree.map_structure(replace, (args, kwargs))
        return call_with_mask(layer, *args, **kwargs)

    def call_step(self, layer, decoding, *args, **kwargs):
        """Returns the output of a layer's decoding step, and collects its state."""
        x, arguments = self.split_arguments(layer, *args, **kwargs)
        try:
            getattr(decoding, "check_decoding", lambda **_: None)(**arguments)
        except ValueError as error:
            self.raise_error(layer, str(error))
        first_states = keras.tree.flatten(arguments.pop("initial_state", None))
        self.calls[layer.name] += 1
        count = self.calls[layer.name]
        call_name = layer.name if count == 1 else f"{layer.name}_call{count}"
        memory = self.memory_of(layer, decoding, arguments, call_name)
        sizes = [self.batch, self.length]
        if hasattr(decoding, "decoding_memory"):
            sizes.append(memory)
        limit = getattr(decoding, "decoding_limit", None)
        if None not in (limit, self.length) and self.length > limit:
            self.raise_error(layer, f"decodes at most {limit:,} steps, but length={self.length:,}")
        specs = decoding.decoding_state(*sizes)
        state = {
            name: self.state_input(f"{call_name}_{name}", spec) for name, spec in specs.items()
        }
        # A layer's states beyond its initial_state start from zeros.
        for name, first in zip(specs, first_states, strict=False):
            if first is not None:
                self.encoder_outputs[f"{call_name}_{name}"] = first
        inputs = {"state": state or None, "memory": memory or None}
        if getattr(decoding, "decoding_position", True):
            inputs["position"] = self.position(x)
        output = self.holder(DecodingStep, layer, layer.name)(x, **inputs)
        if not state:
            return output
        output, new_state = output
        self.outputs.update({f"{call_name}_{name}": new for name, new in new_state.items()})
        return output

    def holder(self, kind, layer, name):
        """Returns the layer of a kind around a layer; the same one for all its calls, so that files have it once."""
        key = kind, id(layer), name
        if key not in self.holders:
            self.holders[key] = kind(layer, name=name, dtype=layer.dtype_policy)
        return self.holders[key]

    def split_arguments(self, layer, *args, **kwargs):
        """Returns the first argument of a layer's call, and by name those that do not depend on the target."""
        bound = inspect.signature(layer.call).bind(*args, **kwargs).arguments
        (first, x), *rest = bound.items()
        if not self.is_dependent(x):
            self.raise_error(layer)
        masks = {"mask", *(f"{name}_mask" for name, value in bound.items() if value is x)}
        arguments = {}
        for name, value in rest:
            if name in masks:
                if first_mask(value) is not None and get_mask(keras.tree.flatten(x)[0]) is None:
                    self.raise_error(layer, f"has a {name} that is not the mask of {first}")
            elif value is not x and self.is_dependent(value):
                self.raise_error(
                    layer,
                    f"has the argument {name}, which depends on the target but is not {first}",
                )
            elif value is not x:
                arguments[name] = value
        return x, arguments

    def memory_of(self, layer, decoding, arguments, call_name):
        """Returns the inputs of the step for what a call of a layer reads of the encoder, by name."""
        tensors = {
            name: value
            for name, value in arguments.items()
            if keras.utils.is_keras_tensor(value) and not name.endswith("_mask")
        }
        if not tensors:
            return {}
        if not hasattr(decoding, "decoding_memory"):
            self.raise_error(
                layer, f"reads {', '.join(tensors)} of the encoder and has no decoding_memory"
            )
        key = (id(layer), *(id(x) for x in tensors.values()))
        if key in self.memories:
            return self.memories[key][0]
        held = getattr(decoding, "decoding_memory_layer", layer)
        make_memory = self.holder(DecodingMemory, held, f"{layer.name}_memory")
        memory = {
            name: self.memory_input(x, f"{call_name}_{name}")
            for name, x in make_memory(tensors).items()
        }
        parameters = inspect.signature(layer.call).parameters
        for name in [f"{name}_mask" for name in tensors if f"{name}_mask" in parameters]:
            mask = arguments.get(name)
            mask = get_mask(tensors[name.removesuffix("_mask")]) if mask is None else mask
            if mask is not None:
                memory[name] = self.memory_input(mask, SOURCE_MASK)
        self.memories[key] = memory, tensors  # the tensors, so that their ids stay theirs
        return memory

    def memory_input(self, x, name):
        """Returns the input that replaces a tensor of the encoder; one input for all uses of the tensor."""
        if id(x) not in self.memory_inputs:
            while name in self.inputs:
                name += "_more"
            self.encoder_outputs[name] = MaskToInt(name=name)(x) if x.dtype == "bool" else x
            self.inputs[name] = self.new_input(x.shape[1:], self.encoder_outputs[name].dtype, name)
            self.memory_inputs[id(x)] = x, self.inputs[name]
        return self.memory_inputs[id(x)][1]

    def state_input(self, name, spec):
        """Returns the input of one state of a layer."""
        self.inputs[name] = self.new_input(spec.shape[1:], spec.dtype, name)
        return self.inputs[name]

    def position(self, x):
        """Returns the number of steps before this one. The first layer that needs it adds the counter."""
        if POSITION not in self.inputs:
            self.inputs[POSITION] = self.new_input((1,), "int32", POSITION)
            counter = StepCounter(name=f"{POSITION}_next")
            self.outputs[POSITION] = counter([self.inputs[POSITION], keras.tree.flatten(x)[0]])
        return self.inputs[POSITION]

    def raise_error(self, layer, reason=None):
        if reason is None:
            reason = (
                f"({type(layer).__name__}) has no step: it is not pointwise, and it does not implement "
                "kapps.generation.cache_protocol"
            )
        raise ValueError(f"{self.model.name}: {layer.name} {reason}")


def call_with_mask(layer, *args, **kwargs):
    """Calls a layer; its output has its mask, which Keras's ReversibleEmbedding does not set in this kind of call."""
    output = layer(*args, **kwargs)
    if isinstance(layer, layers.ReversibleEmbedding) and not kwargs.get("reverse"):
        set_mask(output, layers.Embedding.compute_mask(layer, args[0]))
    return output
