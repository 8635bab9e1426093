"""PyTorch's counterparts of two networks of kapps on tokens, with random weights."""

import torch
from torch import nn


class LanguageModel(nn.Module):
    """`kapps.zaremba_small`: an embedding, two LSTMs and a probability for each word of 10,000."""

    def __init__(self, vocabulary=10_000, units=200):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, units)
        self.lstm = nn.LSTM(units, units, num_layers=2, batch_first=True)
        self.head = nn.Linear(units, vocabulary)

    def forward(self, tokens):
        states, _ = self.lstm(self.embedding(tokens))
        return self.head(states).softmax(-1)


class Translator(nn.Module):
    """`kapps.transformer_tiny`: a Transformer of four layers, without the masks of padding."""

    def __init__(self, vocabulary=10_000, units=128, longest=512):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, units)
        self.positions = nn.Parameter(torch.zeros(longest, units), requires_grad=False)
        self.transformer = nn.Transformer(units, 4, 4, 4, 256, batch_first=True)

    def forward(self, source, target):
        causal = nn.Transformer.generate_square_subsequent_mask(target.shape[1])
        states = self.transformer(self._embed(source), self._embed(target), tgt_mask=causal)
        return (states @ self.embedding.weight.T).softmax(-1)  # the logits share the embedding

    def _embed(self, tokens):
        scale = self.embedding.embedding_dim**0.5
        return scale * self.embedding(tokens) + self.positions[: tokens.shape[1]]


NETWORKS = {"zaremba_small": LanguageModel, "transformer_tiny": Translator}
