"""The Transformer in training and translation, compared with PyTorch's and KerasHub's; memory by sequence length.

    python benchmarks/attention.py --peer_python=/path/to/python/with/torch --plot=memory.png

Post-norm, float32, all cores, without XLA: a training step with SGD on pairs of sentences without padding, and greedy
decoding of a batch of sources. All models have the same sizes and no dropout; their positional encodings are sinusoidal
or trained, with a negligible cost. PyTorch's nn.Transformer has no KV cache: it decodes the whole target for each word,
as its users do. KerasHub's layers have a cache, and one compiled step for each word. Each number is the median of
rounds in which all libraries take turns, each in a process of its own.

The last table has the peak memory of a process for one layer of self-attention and its gradient, with all scores at
once and with queries in chunks. The memory for 16 steps is subtracted.
"""

import argparse
import functools
import json
import subprocess
import sys

import _timing

KAPPS, HUB, TORCH = "kapps", "KerasHub", "PyTorch"
LAYERS, D_MODEL, FFN, HEADS, VOCABULARY = 3, 256, 1024, 4, 4000
ROWS, STEPS, WORDS = 32, 32, 32
TRAIN, TRANSLATE = "train", "translate"
LENGTHS, CHUNK = (16, 512, 1024, 2048, 4096), 128
PLAIN, CHUNKED = "all scores at once", f"chunks of {CHUNK} queries"


def token_pairs():
    """Returns the tokens of sources, of targets and of labels: int32 (rows, steps) each."""
    import numpy as np

    return np.random.default_rng(0).integers(2, VOCABULARY, (3, ROWS, STEPS)).astype("int32")


def kapps_model():
    """Returns the Transformer of kapps."""
    from kapps import families

    return families.transformer(
        vocabulary=VOCABULARY, layers=LAYERS, d_model=D_MODEL, ffn=FFN, heads=HEADS, dropout=0.0, tied=False
    )  # fmt: skip


class HubTransformer:
    """The Transformer of KerasHub's layers: a model for training, and decoding with a KV cache."""

    def __init__(self):
        import keras
        import keras_hub

        layers = keras_hub.layers
        self.embeddings = [
            layers.TokenAndPositionEmbedding(VOCABULARY, STEPS + WORDS, D_MODEL) for _ in range(2)
        ]
        self.encoders = [layers.TransformerEncoder(FFN, HEADS) for _ in range(LAYERS)]
        self.decoders = [layers.TransformerDecoder(FFN, HEADS) for _ in range(LAYERS)]
        self.logits = keras.layers.Dense(VOCABULARY)
        source, target = (keras.Input((None,), dtype="int32") for _ in range(2))
        memory = self.encode(source)
        x = self.embeddings[1](target)
        for layer in self.decoders:
            x = layer(x, memory)
        self.model = keras.Model([source, target], self.logits(x))

    def encode(self, source):
        x = self.embeddings[0](source)
        for layer in self.encoders:
            x = layer(x)
        return x

    def step(self, word, index, memory, caches):
        """Returns the next word and the caches: for each layer (self-attention, cross-attention)."""
        import tensorflow as tf

        x, new_caches = self.embeddings[1](word, start_index=index), []
        for layer, (self_cache, cross_cache) in zip(self.decoders, caches, strict=True):
            x, self_cache, cross_cache = layer(
                x, memory, self_attention_cache=self_cache, self_attention_cache_update_index=index,
                cross_attention_cache=cross_cache, cross_attention_cache_update_index=None,
            )  # fmt: skip
            new_caches.append((self_cache, cross_cache))
        return tf.argmax(self.logits(x), axis=-1, output_type=tf.int32), new_caches

    def translate(self, source):
        import tensorflow as tf

        if not hasattr(self, "compiled"):
            self.compiled = tf.function(self.step)
            self.compiled_start = tf.function(self.start)
        memory, caches = self.compiled_start(source)
        word = tf.ones([len(source), 1], tf.int32)
        for index in range(WORDS):
            word, caches = self.compiled(word, tf.constant(index), memory, caches)
        return word.numpy()

    def start(self, source):
        """Returns the encoder's output and the caches: empty for self-attention, full for cross-attention."""
        import tensorflow as tf

        memory = self.encode(source)
        head_width = D_MODEL // HEADS
        caches = []
        for layer in self.decoders:
            self_cache = tf.zeros([len(source), 2, WORDS, HEADS, head_width])
            attention = layer._cross_attention_layer
            keys_and_values = [attention._key_dense(memory), attention._value_dense(memory)]
            caches.append((self_cache, tf.stack(keys_and_values, axis=1)))
        return memory, caches


class KerasTrain:
    """A training step of a Keras model."""

    def __init__(self, library):
        import keras

        model = kapps_model() if library == KAPPS else HubTransformer().model
        # Both models end in logits.
        if library == KAPPS:
            model = keras.Model(model.input, model.get_layer("head_logits").output)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.01), loss, jit_compile=False)
        source, target, labels = token_pairs()
        self.step = functools.partial(model.train_on_batch, [source, target], labels)

    def __call__(self):
        self.step()


class KerasTranslate:
    """Translation of a batch by a Keras model."""

    def __init__(self, library):
        source = token_pairs()[0]
        if library == HUB:
            self.translate = functools.partial(HubTransformer().translate, source)
            return
        import numpy as np

        from kapps.generation import text_generation

        # No end token, so that all translations have the same length.
        translate = text_generation.translator(kapps_model(), end=None, beam=None)
        start = np.ones((ROWS, 1), "int32")
        self.translate = functools.partial(translate, start, WORDS, source=source)

    def __call__(self):
        self.translate()


class TorchTransformer:
    """A training step or the translation of a batch by PyTorch's Transformer."""

    def __init__(self, work):
        import torch

        torch.set_num_threads(_timing.CORES)
        self.torch, self.work = torch, work
        self.embeddings = torch.nn.ModuleList(
            torch.nn.Embedding(VOCABULARY, D_MODEL) for _ in range(2)
        )
        self.positions = torch.nn.Parameter(torch.zeros(STEPS + WORDS, D_MODEL))
        self.transformer = torch.nn.Transformer(
            D_MODEL, HEADS, LAYERS, LAYERS, FFN, 0.0, batch_first=True
        )
        self.logits = torch.nn.Linear(D_MODEL, VOCABULARY)
        parts = (*self.embeddings, self.transformer, self.logits)
        weights = [self.positions, *(w for part in parts for w in part.parameters())]
        self.optimizer = torch.optim.SGD(weights, 0.01)
        self.data = [torch.tensor(tokens, dtype=torch.long) for tokens in token_pairs()]

    def embed(self, tokens, side):
        return self.embeddings[side](tokens) + self.positions[: tokens.shape[1]]

    def decode(self, target, memory):
        mask = self.torch.nn.Transformer.generate_square_subsequent_mask(target.shape[1])
        return self.transformer.decoder(
            self.embed(target, 1), memory, tgt_mask=mask, tgt_is_causal=True
        )

    def __call__(self):
        source, target, labels = self.data
        if self.work == TRAIN:
            self.optimizer.zero_grad()
            logits = self.logits(
                self.decode(target, self.transformer.encoder(self.embed(source, 0)))
            )
            loss = self.torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels)
            loss.backward()
            self.optimizer.step()
            return
        self.transformer.eval()
        with self.torch.inference_mode():
            memory = self.transformer.encoder(self.embed(source, 0))
            target = self.torch.ones(len(source), 1, dtype=self.torch.long)
            for _ in range(WORDS):
                last = self.logits(self.decode(target, memory)[:, -1])
                target = self.torch.cat([target, last.argmax(-1, keepdim=True)], dim=1)


def prepare(work, library):
    """Returns a function that trains for a step or translates a batch."""
    if library == TORCH:
        return TorchTransformer(work)
    return {TRAIN: KerasTrain, TRANSLATE: KerasTranslate}[work](library)


def start(name, options):
    python = options.peer_python if name == TORCH else sys.executable
    return _timing.TimedProcess([python, __file__, f"--library={name}"])


def compare(options):
    """Returns the median seconds of each work: {work: {library: seconds}}."""
    names = (KAPPS, HUB, *[TORCH] * bool(options.peer_python))
    processes = {name: start(name, options) for name in names}
    return _timing.median_seconds(processes, (TRAIN, TRANSLATE), options.rounds, "the Transformer")


def print_peak_memory(length, chunk):
    """Prints the peak memory of this process in MB for one layer and its gradient over `length` steps."""
    import resource

    import tensorflow as tf

    from kapps.layers import MultiHeadAttention

    layer = MultiHeadAttention(HEADS, D_MODEL // HEADS, chunk=chunk)
    x = tf.random.normal([1, length, D_MODEL])
    layer.build(x.shape, x.shape)

    @tf.function(jit_compile=False)
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x, x) ** 2)
        return tape.gradient(loss, x)

    gradient(x).numpy()
    print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def compare_memory(options):
    """Prints the memory by sequence length, and plots it."""
    peaks = {PLAIN: [], CHUNKED: []}
    for length in LENGTHS:
        for name, chunk in ((PLAIN, 0), (CHUNKED, CHUNK)):
            command = [sys.executable, __file__, f"--peak={length}", f"--chunk={chunk}"]
            process = subprocess.run(
                command, stdout=subprocess.PIPE, check=True, text=True, encoding="utf-8"
            )
            peaks[name].append(json.loads(process.stdout.splitlines()[-1]))
    memory = {
        name: [max(0.0, peak - values[0]) for peak in values[1:]] for name, values in peaks.items()
    }
    print(f"\n| steps | {PLAIN}, MB | {CHUNKED}, MB | ratio |")
    print("|" + " --- |" * 4)
    for length, plain, chunked in zip(LENGTHS[1:], memory[PLAIN], memory[CHUNKED], strict=True):
        print(f"| {length:,} | {plain:,.0f} | {chunked:,.0f} | {plain / max(chunked, 1.0):.1f} |")
    if options.plot:
        from kapps import visualize

        lines = {name: (LENGTHS[1:], values) for name, values in memory.items()}
        visualize.plot_lines(lines, options.plot, "steps", "MB for attention and its gradient")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--peer_python", help="interpreter with torch; PyTorch is left out without it"
    )
    parser.add_argument("--plot", help="file for a plot of memory by length: .png, .svg or .pdf")
    parser.add_argument("--library", help=argparse.SUPPRESS)
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--chunk", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.library:
        _timing.serve(prepare, options.library, with_work=True)
        return
    if options.peak:
        print_peak_memory(options.peak, options.chunk or None)
        return
    print(
        f"{LAYERS} + {LAYERS} layers, d_model {D_MODEL}, d_ff {FFN}, {HEADS} heads, {VOCABULARY:,} tokens; {ROWS} "
        f"pairs of {STEPS} + {STEPS} tokens; thousands of tokens/s\n"
    )
    names = [name for name in (HUB, TORCH) if name != TORCH or options.peer_python]
    results = compare(options)
    print(f"| | kapps | {' | '.join(f'{name} | ratio' for name in names)} |")
    print("|" + " --- |" * (2 + 2 * len(names)))
    for work, label, count in (
        (TRAIN, "training, tokens", 2 * ROWS * STEPS), (TRANSLATE, "translation, words", ROWS * WORDS),
    ):  # fmt: skip
        seconds = results[work][KAPPS]
        cells = [f"{count / seconds / 1000:.2f}"]
        for name in names:
            other = results[work].get(name)
            cells += (
                [f"{count / other / 1000:.2f}", f"{other / seconds:.2f}"] if other else ["", ""]
            )
        print(f"| {label} | {' | '.join(cells)} |", flush=True)
    compare_memory(options)


if __name__ == "__main__":
    main()
