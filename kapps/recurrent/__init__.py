"""Recurrent networks: cells that Keras lacks, for `keras.layers.RNN`, and what goes with them."""
