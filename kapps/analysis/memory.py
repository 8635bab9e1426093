"""Peak memory of activations, at inference and in a training step."""


def inference_memory(steps, sizes, inputs, outputs) -> int:
    """Returns the peak if the steps run in order and each tensor is freed after the last step that reads it.

    Args:
        steps: for each step, (indices of the tensors that it reads, indices of the tensors that it makes).
        sizes: bytes of each tensor; 0 for a tensor in the memory of another one.
        inputs: indices of the model's inputs.
        outputs: indices of the model's outputs, which are kept to the end.
    """
    last_reader = {index: step for step, (read, _) in enumerate(steps) for index in read}
    alive = set(inputs)
    peak = sum(sizes[index] for index in alive)
    for step, (read, made) in enumerate(steps):
        alive.update(made)
        peak = max(peak, sum(sizes[index] for index in alive))
        for index in (*read, *made):
            if last_reader.get(index, -1) <= step and index not in outputs:
                alive.discard(index)
    return peak


def training_memory(steps, sizes, inputs, outputs) -> int:
    """Returns the peak of a training step: the forward pass keeps all activations, the backward pass frees them.

    An activation is kept until the gradient of the step that made it is computed. The gradient of a tensor is alive
    from the last step that read the tensor to the step that made it.

    Args:
        steps, sizes, inputs, outputs: as for `inference_memory`.
    """
    stored = {*inputs, *(index for _, made in steps for index in made)}
    gradients = set(outputs)
    total = sum(sizes[index] for index in stored) + sum(sizes[index] for index in gradients)
    peak = total
    for read, made in reversed(steps):
        new = [i for i in dict.fromkeys(read) if i not in gradients and i not in inputs]
        gradients.update(new)
        total += sum(sizes[index] for index in new)
        peak = max(peak, total)
        for index in dict.fromkeys(made):
            if index in stored and index not in inputs:
                stored.discard(index)
                total -= sizes[index] * (1 + (index in gradients))
                gradients.discard(index)
    return peak
