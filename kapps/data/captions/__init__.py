"""Images with captions, to batches of images and words."""

from kapps._names import attribute_finder
from kapps.data.captions.caption_batches import CaptionBatches as CaptionBatches
from kapps.data.captions.caption_files import open_captions as open_captions
from kapps.data.captions.caption_words import CaptionWords as CaptionWords
from kapps.data.captions.caption_words import learn_words as learn_words
from kapps.data.captions.captioned_images import CaptionedImages as CaptionedImages
from kapps.data.captions.captioned_images import load_tfds_captions as load_tfds_captions
from kapps.data.captions.digit_boards import DigitBoards as DigitBoards
from kapps.data.captions.digit_boards import make_digit_boards as make_digit_boards

__getattr__ = attribute_finder(__name__)
