"""Text to tokens and back, and a corpus of tokens to batches."""

from kapps._names import attribute_finder
from kapps.data.text.buckets import bucketed_dataset as bucketed_dataset
from kapps.data.text.corpus import keep_letters as keep_letters
from kapps.data.text.corpus import read_text as read_text
from kapps.data.text.ngrams import NGramModel as NGramModel
from kapps.data.text.ngrams import count_ngrams as count_ngrams
from kapps.data.text.ngrams import fit_ngram_model as fit_ngram_model
from kapps.data.text.ngrams import fit_zipf as fit_zipf
from kapps.data.text.ngrams import ngram_frequencies as ngram_frequencies
from kapps.data.text.ngrams import perplexity as perplexity
from kapps.data.text.subsequences import cut_subsequences as cut_subsequences
from kapps.data.text.subsequences import eval_stream_dataset as eval_stream_dataset
from kapps.data.text.subsequences import stream_dataset as stream_dataset
from kapps.data.text.subsequences import stream_steps_per_epoch as stream_steps_per_epoch
from kapps.data.text.subsequences import subsequence_dataset as subsequence_dataset
from kapps.data.text.subsequences import (
    subsequence_steps_per_epoch as subsequence_steps_per_epoch,
)
from kapps.data.text.subword_vocabulary import SubwordVocabulary as SubwordVocabulary
from kapps.data.text.subword_vocabulary import subwords as subwords
from kapps.data.text.vocabulary import PADDING as PADDING
from kapps.data.text.vocabulary import RESERVED as RESERVED
from kapps.data.text.vocabulary import UNKNOWN as UNKNOWN
from kapps.data.text.vocabulary import Vocabulary as Vocabulary
from kapps.data.text.vocabulary import characters as characters
from kapps.data.text.vocabulary import words as words

__getattr__ = attribute_finder(__name__)
