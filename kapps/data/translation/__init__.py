"""Sentences in two languages, to batches of pairs of similar length."""

from kapps._names import attribute_finder
from kapps.data.translation.parallel_corpus import load_tfds_sentences as load_tfds_sentences
from kapps.data.translation.parallel_corpus import read_sentences as read_sentences
from kapps.data.translation.token_batches import TokenBatches as TokenBatches
from kapps.data.translation.vocabulary_pair import EncodedPairs as EncodedPairs
from kapps.data.translation.vocabulary_pair import VocabularyPair as VocabularyPair
from kapps.data.translation.vocabulary_pair import learn_vocabularies as learn_vocabularies

__getattr__ = attribute_finder(__name__)
