"""Text generation: decoding step models with their caches, greedy decoding, sampling and beam search."""

from kapps.generation.stepping import EncoderAndStep, encoder_and_step, step_model
from kapps.generation.text_generation import generate, translate, translator

__all__ = [
    "EncoderAndStep",
    "encoder_and_step",
    "generate",
    "step_model",
    "translate",
    "translator",
]
