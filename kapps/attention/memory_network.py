"""The end-to-end memory network: the answer to a question about a story, read from memory in several hops.

[1] Sukhbaatar 2015, arXiv:1503.08895
[2] their code, https://github.com/facebook/MemNN, MemN2N-babi-matlab

The input is the sentences of the story, oldest first, and last the question, each padded with token 0 to the same number
of words. `kapps.attention_weights` returns the weights of the sentences in each hop.

Linear start [1, 4.2] trains the network without the softmax in the hops first:

    start = kapps.families.memory_network(linear=True)  # trained for some epochs
    model = kapps.families.memory_network()
    model.set_weights(start.get_weights())

Departures from the papers:
- J in the position encoding is the number of words of the input, as in [2], not of each sentence.
- Empty sentences have a weight of 0. [2] gives them the score 0, with the vector 0, so that they lower other weights.
- Random noise does not insert empty sentences into the story: it counts them in the times of older sentences.
"""

from functools import partial

from kapps import heads
from kapps.builders import sequence_family, variant
from kapps.layers.sentence_memory import (
    MemoryHop,
    SentenceEmbedding,
    SentenceTimes,
    SplitQuestion,
)

TYINGS = ("adjacent", "layer_wise")


def adjacent(story, question, times, *, embed, memories, hops, linear):
    """A_1 = B, A_(k+1) = C_k, W^T = C_K [1, 2.2]. Returns u and the embedding of the answer."""
    embeddings = [embed(memories=memories, name=f"embedding{k}") for k in range(1, hops + 2)]
    u = embeddings[0](question)
    vectors = [embedding(story, times) for embedding in embeddings]
    for k in range(1, hops + 1):
        u = MemoryHop(linear=linear, name=f"hop{k}")(u, vectors[k - 1], vectors[k], times)
    return u, embeddings[-1]


def layer_wise(story, question, times, *, embed, memories, hops, linear):
    """A_1 = ... = A_K, C_1 = ... = C_K, u_(k+1) = H u_k + o_k [1, 2.2]. Returns u and the head with W."""
    u = embed(name="question_embedding")(question)
    m = embed(memories=memories, name="memory_embedding")(story, times)
    c = embed(memories=memories, name="output_embedding")(story, times)
    hop = MemoryHop(projects=True, linear=linear, name="hop")
    for _ in range(hops):
        u = hop(u, m, c, times)
    return u, partial(heads.classifier, use_bias=False)


@sequence_family(shape=(None, 6), vocabulary=20)
def body(
    x, *, vocabulary, embedding=20, hops=3, memories=10, tying="adjacent", encoding="code", time="vector", noise=0.1,
    linear=False,
):  # fmt: skip
    """Predicts the word that answers the question [1].

    Args:
        x: tokens, int32 (batch, sentences + 1, words), 0 for padding; the last sentence is the question.
        vocabulary: number of tokens, padding included.
        embedding: d, width of all vectors.
        hops: K.
        memories: number of sentences that the network can read, the newest ones.
        tying: "adjacent" or "layer_wise": which matrices are the same.
        encoding: weights of the words: "code" [2], "paper" [1] or "bag", as for `kapps.layers.SentenceEmbedding`.
        time: "vector" or "word", as for `kapps.layers.SentenceEmbedding`.
        noise: fraction of empty sentences that training counts in the times ("random noise" [1]).
        linear: whether the hops are without softmax ("linear start" [1]).

    Raises:
        ValueError: for another value of tying, encoding or time.
    """
    if tying not in TYINGS:
        raise ValueError(f"tying is one of {', '.join(TYINGS)}, not {tying!r}")
    story, question = SplitQuestion(name="split")(x)
    times = SentenceTimes(memories, noise, name="times")(story)
    embed = partial(SentenceEmbedding, vocabulary, embedding, encoding=encoding, time=time)
    hop_over = adjacent if tying == "adjacent" else layer_wise
    return hop_over(
        story, question, times, embed=embed, memories=memories, hops=hops, linear=linear
    )


SUKHBAATAR = "arXiv:1503.08895"
# fmt: off
# Parameters: (K + 1) (V + T) d of adjacent tying; (2 (V + T) + 2 V + d) d of layer-wise tying.     V = 20, T = 10: task 1 of bAbI
memory_network_1hop       = variant(body, "memory_network_1hop",       hops=1,                      paper=SUKHBAATAR, params=1_200)
memory_network_2hop       = variant(body, "memory_network_2hop",       hops=2,                      paper=SUKHBAATAR, params=1_800)
memory_network_3hop       = variant(body, "memory_network_3hop",       hops=3,                      paper=SUKHBAATAR, params=2_400)
memory_network_layer_wise = variant(body, "memory_network_layer_wise", hops=3, tying="layer_wise",  paper=SUKHBAATAR, params=2_400)
# fmt: on
