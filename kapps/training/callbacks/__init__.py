"""Keras callbacks: progress, throughput, history, a limit on time, states of recurrent layers."""
