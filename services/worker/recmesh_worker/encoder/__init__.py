"""Texts to vectors: the sentence encoder, what it computes with, and the one thread that it runs on."""

from recmesh_worker.encoder.encoder import DEFAULT_SOURCE, Encoder, Precision
from recmesh_worker.encoder.thread import EncoderThread

__all__ = ["DEFAULT_SOURCE", "Encoder", "EncoderThread", "Precision"]
