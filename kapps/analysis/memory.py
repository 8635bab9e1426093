"""The most activations that are alive at once, at inference and in a step of training."""


def inference(steps, sizes, kept):
    """Returns the peak of running all steps in order, each tensor freed behind the last step that needs it.

    Args:
        steps: for each, (numbers of what it reads, numbers of what it makes).
        sizes: bytes of each tensor; 0 where it is another's memory.
        kept: (numbers of the model's inputs, of its outputs); the outputs stay to the end.
    """
    inputs, outputs = kept
    last = {number: i for i, (given, _) in enumerate(steps) for number in given}
    alive = set(inputs)
    peak = sum(sizes[number] for number in alive)
    for i, (given, made) in enumerate(steps):
        alive.update(made)
        peak = max(peak, sum(sizes[number] for number in alive))
        for number in (*given, *made):
            if last.get(number, -1) <= i and number not in outputs:
                alive.discard(number)
    return peak


def training(steps, sizes, kept):
    """Returns the peak of a step of training: all activations are made, then given up as the gradient passes.

    Every activation is kept until the step that made it has passed its gradient on. A tensor's gradient is alive from
    the last step that read it to the one that made it.
    """
    inputs, outputs = kept
    stored = {*inputs, *(number for _, made in steps for number in made)}
    gradients = set(outputs)
    total = sum(sizes[number] for number in stored) + sum(sizes[number] for number in gradients)
    peak = total
    for given, made in reversed(steps):
        fresh = [n for n in dict.fromkeys(given) if n not in gradients and n not in inputs]
        gradients.update(fresh)
        total += sum(sizes[number] for number in fresh)
        peak = max(peak, total)
        for number in dict.fromkeys(made):
            if number in stored and number not in inputs:
                stored.discard(number)
                total -= sizes[number] * (1 + (number in gradients))
                gradients.discard(number)
    return peak
