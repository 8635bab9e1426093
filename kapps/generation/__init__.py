"""Text generation: decoding step models with their caches, greedy decoding, sampling and beam search."""

from kapps._names import attribute_finder
from kapps.generation._decoding_loop import DecodingLoop, DecodingOptions
from kapps.generation.pointing import point
from kapps.generation.step_models import EncoderAndStep, encoder_and_step, step_model
from kapps.generation.text_generation import generate, translate, translator

__all__ = [
    "DecodingLoop",
    "DecodingOptions",
    "EncoderAndStep",
    "encoder_and_step",
    "generate",
    "point",
    "step_model",
    "translate",
    "translator",
]

__getattr__ = attribute_finder(__name__)
