"""Input pipelines in tf.data: datasets of images, images with masks or captions, text, translations and sequences.

    kapps.data.open_source, train_dataset, eval_dataset    image classification
    kapps.data.image                                       its readers, augmentation and TFRecord files
    kapps.data.segmentation                                images with masks
    kapps.data.captions                                    images with captions
    kapps.data.text                                        vocabularies, n-grams, subsequences, buckets
    kapps.data.translation                                 parallel corpora, batches by number of tokens
    kapps.data.sequence                                    synthetic tasks, time series, music, moving digits

Every submodule is loaded on first use. `__init__.pyi` lists the public names.
"""

import lazy_loader

from kapps._names import attribute_finder

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = attribute_finder(__name__, _load)
