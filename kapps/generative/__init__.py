"""Generative models: networks that make images from random values, and those that judge them.

kapps.generative.sagan_generator      the generator of the self-attention GAN
kapps.generative.sagan_discriminator  its discriminator

`kapps.training.AdversarialModel` trains the two. The functions are not builders, as those of `kapps.segmentation`: a
card states one image or sequence and its classes, and these have other inputs and outputs.
"""

from kapps._names import attribute_finder
from kapps.generative.sagan import sagan_discriminator, sagan_generator

__all__ = ["sagan_discriminator", "sagan_generator"]

__getattr__ = attribute_finder(__name__)
