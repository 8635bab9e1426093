"""Keras callbacks: progress, throughput, history, a time budget, states of recurrent layers."""
