"""A network's graph gone through with one step in place of its target: what goes in, what comes out, what is known."""

import inspect

import keras
from keras import layers

from kapps._keras_compat import get_mask, has_gate, run_through_graph, set_mask
from kapps.generation._step_layers import (
    AlignmentKeys,
    AlignmentQuery,
    CausalQuery,
    Counted,
    MemoryStep,
    Numbers,
    Projected,
    Query,
    Step,
)
from kapps.layers import Alignment

POINTWISE = (
    layers.Embedding, layers.Dense, layers.Activation, layers.Dropout, layers.LayerNormalization, layers.Add,
    layers.Multiply, layers.Concatenate, layers.ReLU, layers.ReversibleEmbedding, layers.RMSNormalization,
    layers.Subtract, layers.Average, layers.Rescaling, layers.Identity,
)  # fmt: skip
"""Keras's layers to which a step is as good as all of them; ours of the kind have `pointwise = True`."""
OPERATIONS = (
    "Absolute", "Add", "Cast", "Cos", "Divide", "Exp", "Equal", "Gelu", "Greater", "Less", "Log", "LogicalAnd",
    "LogicalNot", "LogicalOr", "Maximum", "Minimum", "Multiply", "Negative", "NotEqual", "Power", "Relu", "Sigmoid",
    "Silu", "Sin", "Sqrt", "Square", "Subtract", "Tanh", "TrueDivide",
)  # fmt: skip
"""The operations of `keras.ops` of which the same is true."""
POSITION = "position"
"""How many steps there were before: int32 [batch, 1]."""
MASK = "source_mask"


class Walk:
    """Goes through a model's graph with one step in place of the target, and notes what goes in and comes out."""

    def __init__(self, model, batch, length, source_length):
        self.model, self.batch, self.length = model, batch, length
        target = next((x for x in model.inputs if x.name == "target"), model.inputs[-1])
        self.target = self.input((1, *target.shape[2:]), target.dtype, target.name)
        self.source, starts = {}, []
        for x in model.inputs:
            if x is target:
                starts.append(self.target)
                continue
            shape = (source_length or x.shape[1], *x.shape[2:])
            self.source[x.name] = self.input(shape, x.dtype, x.name)
            starts.append(self.source[x.name])
        self.starts = starts
        # What goes in beside the target, what of it comes out again, and what of it the encoder gives.
        self.taken, self.kept, self.given = {}, {}, {}
        self.known = {}  # by id: a tensor of the encoder, and the input that stands for it
        self.follows = {id(self.target): self.target}  # tensors that depend on the target

    def input(self, shape, dtype, name):
        return keras.Input(shape, batch_size=self.batch, dtype=dtype, name=name)

    def step(self):
        named = {layer.name: layer for layer in self.model.layers}
        known = "head_logits" in named
        output = named["head_logits"].output if known else self.model.output
        whole = keras.Model(self.model.inputs, output)
        # What `keras.models.clone_model` does, without its demand that inputs be known before it begins.
        found = run_through_graph(whole, self.starts, self.called)[0]
        inputs = {self.target.name: self.target, **self.taken}
        kind = "logits" if known else "values"
        return keras.Model(inputs, {kind: found, **self.kept}, name=f"{self.model.name}_step")

    def called(self, layer, *args, **kwargs):
        """Returns what a layer, or its one step, gives."""
        tensors = [x for x in keras.tree.flatten((args, kwargs)) if keras.utils.is_keras_tensor(x)]
        if not any(id(x) in self.follows for x in tensors):
            return masked(layer, layer(*args, **kwargs), *args, **kwargs)
        if isinstance(layer, layers.RNN) and hasattr(layer.cell, "attention"):
            found = self.searching(layer, *args, **kwargs)
        elif isinstance(layer, layers.RNN):
            found = self.recurrent(layer, *args, **kwargs)
        elif isinstance(layer, Alignment):
            found = self.aligned(layer, *args, **kwargs)
        elif isinstance(layer, layers.MultiHeadAttention):
            found = self.attention(layer, *args, **kwargs)
        elif "start" in inspect.signature(layer.call).parameters:
            found = layer(args[0], start=self.position(args[0]))
        else:
            found = self.pointwise(layer, *args, **kwargs)
        self.follows.update((id(x), x) for x in keras.tree.flatten(found))
        return found

    def recurrent(self, layer, sequence, initial_state=None, mask=None, training=None):
        del training
        states = self.states(layer, sequence, initial_state, mask)
        one = Step(layer.cell, name=layer.name, dtype=layer.dtype_policy)
        return self.after(layer, one([sequence, *states]))

    def searching(
        self, layer, sequence, memory, initial_state=None, mask=None, sequences_mask=None, memory_mask=None,
        return_attention_scores=False, training=None,
    ):  # fmt: skip
        """Recurrent layers whose cell attends to a memory at each step."""
        del training
        if return_attention_scores:
            self.refuse(layer, "returns weights, of which no step is known")
        mask = sequences_mask if mask is None else mask
        states = self.states(layer, sequence, initial_state, mask)
        known = self.aligned_memory(layer.name, layer.cell.attention, memory, memory_mask)
        one = MemoryStep(layer.cell, name=layer.name, dtype=layer.dtype_policy)
        return self.after(layer, one([sequence, *known, *states]))

    def aligned(
        self, layer, query, memory, query_mask=None, memory_mask=None, start=0, return_attention_scores=False,
        training=None,
    ):  # fmt: skip
        del query_mask, start, training
        if id(memory) in self.follows or return_attention_scores:
            self.refuse(layer)
        known = self.aligned_memory(layer.name, layer, memory, memory_mask)
        # Keras takes a list of tensors alone; where no position matters, any number does.
        one = AlignmentQuery(layer, name=layer.name, dtype=layer.dtype_policy)
        return one([query, self.position(query), *known])

    def aligned_memory(self, name, attention, memory, mask):
        """Returns the inputs of a memory, its keys, and its mask where it has one."""
        mask = get_mask(memory) if mask is None else mask
        known = [self.memory(memory, f"{name}_memory")] * 2
        if attention.score != "dot":
            keys = AlignmentKeys(attention, name=f"{name}_keys", dtype=attention.dtype_policy)
            known[1] = self.memory(keys(memory), f"{name}_keys")
        return known if mask is None else [*known, self.memory(mask, MASK)]

    def states(self, layer, sequence, initial_state, mask):
        """Returns the inputs of a recurrent layer's states; the encoder gives the first ones where it has them."""
        if mask is not None and get_mask(sequence) is None:
            self.refuse(layer, "is given a mask that is not its sequence's own")
        if not layer.return_sequences or layer.go_backwards or layer.return_state:
            self.refuse(layer)
        given = keras.tree.flatten(initial_state)
        if any(id(x) in self.follows for x in given if x is not None):
            self.refuse(
                layer,
                "starts from states that another layer gives; a step has its states as inputs",
            )
        if initial_state is not None:
            self.given.update(
                zip(names(layer), given, strict=False)
            )  # what it has beyond them starts from zeros
        return [
            self.state(name, (size,), layer.compute_dtype)
            for name, size in zip(names(layer), layer.state_size, strict=True)
        ]

    def after(self, layer, found):
        """Returns a recurrent step's output, and notes its states."""
        self.kept.update(zip(names(layer), found[1:], strict=True))
        return found[0]

    def attention(
        self, layer, query, value, key=None, attention_mask=None, use_causal_mask=False,
        return_attention_scores=False, query_mask=None, key_mask=None, value_mask=None, training=None,
    ):  # fmt: skip
        del training, query_mask, key_mask  # Keras's own masks go with the tensors
        if attention_mask is not None or return_attention_scores or has_gate(layer):
            self.refuse(
                layer, "has a mask, a gate or outputs of its own, of which no step is known"
            )
        both = [value] if key is None or key is value else [value, key]
        follow = [id(x) in self.follows for x in both]
        its = dict(name=layer.name, dtype=layer.dtype_policy)
        width = (layer.num_heads, layer.key_dim), (layer.num_heads, layer.value_dim)
        places = [f"{layer.name}_keys", f"{layer.name}_values"]
        if all(follow) and id(query) in self.follows and use_causal_mask:
            held = [
                self.state(name, (self.length, *size), layer.compute_dtype)
                for name, size in zip(places, width, strict=True)
            ]
            if len(both) > 1 or both[0] is not query:
                self.refuse(layer, "is causal, but its query, key and value are not the same")
            found, *new = CausalQuery(layer, **its)([query, self.position(query), *held])
            self.kept.update(zip(places, new, strict=True))
            return found
        if any(follow) or use_causal_mask:
            self.refuse(layer)
        mask = get_mask(value) if value_mask is None else value_mask
        projected = Projected(layer, **its)(both)
        known = [self.memory(x, name) for x, name in zip(projected, places, strict=True)]
        if mask is not None:
            known.append(self.memory(mask, MASK))
        return Query(layer, **its)([query, *known])

    def pointwise(self, layer, *args, **kwargs):
        own = isinstance(layer, POINTWISE) or getattr(layer, "pointwise", False)
        if not own and type(layer).__name__ not in OPERATIONS:
            self.refuse(layer)

        def known(x):
            if not keras.utils.is_keras_tensor(x) or id(x) in self.follows:
                return x
            if len(x.shape) > 2 and x.shape[1] != 1:
                self.refuse(layer, "puts the steps of the source beside those of the target")
            return self.memory(x, f"{layer.name}_memory")

        args, kwargs = keras.tree.map_structure(known, (args, kwargs))
        return masked(layer, layer(*args, **kwargs), *args, **kwargs)

    def state(self, name, shape, dtype):
        """Returns the input of something that is remembered from step to step."""
        if name in self.taken:
            self.refuse(self.model.get_layer(name.rsplit("_", 1)[0]), "is called twice")
        self.taken[name] = self.input(shape, dtype, name)
        return self.taken[name]

    def position(self, x):
        """Returns how many steps there were, which the first layer that asks for it begins to count."""
        if POSITION not in self.taken:
            self.taken[POSITION] = self.input((1,), "int32", POSITION)
            self.kept[POSITION] = Counted(name=POSITION + "_next")([self.taken[POSITION], x])
        return self.taken[POSITION]

    def memory(self, x, name):
        """Returns the input that stands for a tensor of the encoder."""
        if id(x) not in self.known:
            while name in self.taken:
                name += "_more"
            self.given[name] = Numbers(name=name)(x) if x.dtype == "bool" else x
            self.taken[name] = self.input(x.shape[1:], self.given[name].dtype, name)
            self.known[id(x)] = x, self.taken[name]
        return self.known[id(x)][1]

    def refuse(self, layer, why=None):
        if why is None:
            why = (
                f"({type(layer).__name__}) needs more than the step and the states before it, so the network has no "
                "step"
            )
        raise ValueError(f"{self.model.name}: {layer.name} {why}")


def masked(layer, found, *args, **kwargs):
    """Returns what a layer gives, with its mask: Keras's ReversibleEmbedding gives one at every call but this kind."""
    if isinstance(layer, layers.ReversibleEmbedding) and not kwargs.get("reverse"):
        set_mask(found, layers.Embedding.compute_mask(layer, args[0]))
    return found


def names(layer):
    """Returns the names of a recurrent layer's states: h and c of Keras's, numbers where there are more."""
    sizes = layer.state_size
    return [f"{layer.name}_{state}" for state in ("hc" if len(sizes) <= 2 else range(len(sizes)))][
        : len(sizes)
    ]
