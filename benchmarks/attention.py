"""The Transformer: training and translating, beside PyTorch's and KerasHub's; memory against length.

    python benchmarks/attention.py --peer_python=/path/to/python/with/torch --plot=memory.png

Post-norm, float32, all cores, without XLA: a step of SGD on pairs of sentences without padding, and the likeliest word
after word of a batch of sources. All have the same sizes, sinusoidal or trained positions, which cost nothing beside
the rest, and no dropout. PyTorch's nn.Transformer has no cache: it decodes all that is written at every word, as its
users do. KerasHub's layers have one, and a compiled step a word. A figure is the median of rounds in which all take
turns, each in a process of its own.

Last, the most memory that a process takes for one layer of self-attention and its gradient, with all scores at once and
with queries in chunks, beyond what it takes for 16 steps.
"""

import argparse
import functools
import json
import subprocess
import sys

import contest

KAPPS, HUB, TORCH = "kapps", "KerasHub", "PyTorch"
LAYERS, D_MODEL, FFN, HEADS, VOCABULARY = 3, 256, 1024, 4, 4000
ROWS, STEPS, WORDS = 32, 32, 32
TRAIN, WRITE = "train", "write"
LENGTHS, CHUNK = (16, 512, 1024, 2048, 4096), 128
PLAIN, CHUNKED = "all scores at once", f"{CHUNK} queries at a time"


def pairs():
    """Returns tokens of sources, of targets, and of what is asked for: int32 [rows, steps]."""
    import numpy as np

    return np.random.default_rng(0).integers(2, VOCABULARY, (3, ROWS, STEPS)).astype("int32")


def kapps_model():
    from kapps import families

    return families.transformer(
        vocabulary=VOCABULARY, layers=LAYERS, d_model=D_MODEL, ffn=FFN, heads=HEADS, dropout=0.0, tied=False
    )  # fmt: skip


class Hub:
    """The same of KerasHub's layers: a model for training, and a step with a cache of keys and values."""

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

    def step(self, word, at, memory, caches):
        """Returns the next word and the caches: per layer (of itself, of the source)."""
        import tensorflow as tf

        x, found = self.embeddings[1](word, start_index=at), []
        for layer, (own, cross) in zip(self.decoders, caches, strict=True):
            x, own, cross = layer(
                x, memory, self_attention_cache=own, self_attention_cache_update_index=at,
                cross_attention_cache=cross, cross_attention_cache_update_index=None,
            )  # fmt: skip
            found.append((own, cross))
        return tf.argmax(self.logits(x), axis=-1, output_type=tf.int32), found

    def write(self, source):
        import tensorflow as tf

        if not hasattr(self, "compiled"):
            self.compiled = tf.function(self.step)
            self.start = tf.function(self.first)
        memory, caches = self.start(source)
        word = tf.ones([len(source), 1], tf.int32)
        for at in range(WORDS):
            word, caches = self.compiled(word, tf.constant(at), memory, caches)
        return word.numpy()

    def first(self, source):
        """Returns the encoder's output and caches, of which those of the source are full."""
        import tensorflow as tf

        memory = self.encode(source)
        head = D_MODEL // HEADS
        caches = []
        for layer in self.decoders:
            own = tf.zeros([len(source), 2, WORDS, HEADS, head])
            cross = layer._cross_attention_layer
            both = [cross._key_dense(memory), cross._value_dense(memory)]
            caches.append((own, tf.stack(both, axis=1)))
        return memory, caches


class KerasTrain:
    """A training step, whenever it is called."""

    def __init__(self, contender):
        import keras

        model = kapps_model() if contender == KAPPS else Hub().model
        # Both end in logits: ours without its activation.
        if contender == KAPPS:
            model = keras.Model(model.input, model.get_layer("head_logits").output)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.01), loss, jit_compile=False)
        source, target, labels = pairs()
        self.step = functools.partial(model.train_on_batch, [source, target], labels)

    def __call__(self):
        self.step()


class KerasWrite:
    """Translations of a batch, whenever it is called."""

    def __init__(self, contender):
        source = pairs()[0]
        if contender == HUB:
            self.write = functools.partial(Hub().write, source)
            return
        import numpy as np

        from kapps.generation import text_generation

        # No end, so that all write as many words.
        writer = text_generation.translator(kapps_model(), end=None, beam=None)
        start = np.ones((ROWS, 1), "int32")
        self.write = functools.partial(writer, start, WORDS, source=source)

    def __call__(self):
        self.write()


class Torch:
    """As the two above."""

    def __init__(self, work):
        import torch

        torch.set_num_threads(contest.CORES)
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
        self.data = [torch.tensor(each, dtype=torch.long) for each in pairs()]

    def embedded(self, tokens, side):
        return self.embeddings[side](tokens) + self.positions[: tokens.shape[1]]

    def decoded(self, target, memory):
        mask = self.torch.nn.Transformer.generate_square_subsequent_mask(target.shape[1])
        return self.transformer.decoder(
            self.embedded(target, 1), memory, tgt_mask=mask, tgt_is_causal=True
        )

    def __call__(self):
        source, target, labels = self.data
        if self.work == TRAIN:
            self.optimizer.zero_grad()
            logits = self.logits(
                self.decoded(target, self.transformer.encoder(self.embedded(source, 0)))
            )
            loss = self.torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels)
            loss.backward()
            self.optimizer.step()
            return
        self.transformer.eval()
        with self.torch.inference_mode():
            memory = self.transformer.encoder(self.embedded(source, 0))
            written = self.torch.ones(len(source), 1, dtype=self.torch.long)
            for _ in range(WORDS):
                last = self.logits(self.decoded(written, memory)[:, -1])
                written = self.torch.cat([written, last.argmax(-1, keepdim=True)], dim=1)


def prepare(work, contender):
    """Returns a function that does a piece of work once."""
    if contender == TORCH:
        return Torch(work)
    return {TRAIN: KerasTrain, WRITE: KerasWrite}[work](contender)


def start(name, options):
    python = options.peer_python if name == TORCH else sys.executable
    return contest.Contender([python, __file__, f"--contender={name}"])


def compare(options):
    """Returns the median seconds of each contender's works: {work: {contender: seconds}}."""
    names = (KAPPS, HUB, *[TORCH] * bool(options.peer_python))
    entered = {name: start(name, options) for name in names}
    return contest.works(entered, (TRAIN, WRITE), options.rounds, "the Transformer")


def peak(length, chunk):
    """Prints the most megabytes that this process took for one layer and its gradient over `length` steps."""
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


def memory(options):
    """Prints megabytes by length, and draws them."""
    found = {PLAIN: [], CHUNKED: []}
    for length in LENGTHS:
        for name, chunk in ((PLAIN, 0), (CHUNKED, CHUNK)):
            command = [sys.executable, __file__, f"--peak={length}", f"--chunk={chunk}"]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
    more = {name: [max(0.0, each - rest[0]) for each in rest[1:]] for name, rest in found.items()}
    print(f"\n| steps | {PLAIN}, MB | {CHUNKED}, MB | ratio |")
    print("|" + " --- |" * 4)
    for length, plain, chunked in zip(LENGTHS[1:], more[PLAIN], more[CHUNKED], strict=True):
        print(f"| {length:,} | {plain:,.0f} | {chunked:,.0f} | {plain / max(chunked, 1.0):.1f} |")
    if options.plot:
        from kapps import visualize

        drawn = {name: (LENGTHS[1:], each) for name, each in more.items()}
        visualize.plot_lines(drawn, options.plot, "steps", "MB for attention and its gradient")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--peer_python", help="a Python with PyTorch; without it that is left out")
    parser.add_argument("--plot", help="an image of memory against length: .png, .svg or .pdf")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--chunk", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        contest.serve(prepare, options.contender, named=True)
        return
    if options.peak:
        peak(options.peak, options.chunk or None)
        return
    print(
        f"{LAYERS} + {LAYERS} layers, d_model {D_MODEL}, d_ff {FFN}, {HEADS} heads, {VOCABULARY:,} tokens; {ROWS} "
        f"pairs of {STEPS} + {STEPS} tokens; thousands of tokens a second\n"
    )
    names = [name for name in (HUB, TORCH) if name != TORCH or options.peer_python]
    results = compare(options)
    print(f"| | kapps | {' | '.join(f'{name} | ratio' for name in names)} |")
    print("|" + " --- |" * (2 + 2 * len(names)))
    for work, about, count in (
        (TRAIN, "trains, tokens", 2 * ROWS * STEPS), (WRITE, "writes, words", ROWS * WORDS),
    ):  # fmt: skip
        own = results[work][KAPPS]
        cells = [f"{count / own / 1000:.2f}"]
        for name in names:
            theirs = results[work].get(name)
            cells += [f"{count / theirs / 1000:.2f}", f"{theirs / own:.2f}"] if theirs else ["", ""]
        print(f"| {about} | {' | '.join(cells)} |", flush=True)
    memory(options)


if __name__ == "__main__":
    main()
