"""Input pipelines in tf.data: from images on disk, and from sequences, to batches of numbers.

Nothing is loaded before it is used, so that `python -m kapps.data.records` runs its module once.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "archives",
        "augment",
        "buckets",
        "chunks",
        "generation",
        "faults",
        "images",
        "moving_digits",
        "ngrams",
        "paired",
        "pairs",
        "parallel",
        "prepared",
        "records",
        "sequences",
        "sources",
        "subsequences",
        "subwords",
        "text",
        "timeseries",
    ],
    submod_attrs={
        "faults": ["DataError", "Faults", "explain", "explained"],
        "images": ["AUGMENTATIONS", "evaluation", "first", "steps", "training"],
        "records": ["write_records"],
        "sources": ["Source", "open_source"],
        "timeseries": ["Series", "read_series"],
    },
)
