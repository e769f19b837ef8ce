"""Embeddings: one unit vector per record, for clusters, for distances and for the portrait of a release.

Three makers of the same column: ``StaticEmbedding`` reads a model2vec folder, ``HashedTfidf`` needs no model at all,
``SentenceEmbedding`` runs an encoder through torch.
"""

from transforms.annotate.embedding.model2vec import StaticEmbedding, static_embedding
from transforms.annotate.embedding.sentence import SentenceEmbedding, sentence_embedding
from transforms.annotate.embedding.tfidf import HashedTfidf
from transforms.annotate.embedding.vectors import COLUMN, chosen_texts, matrix

__all__ = [
    "StaticEmbedding",
    "static_embedding",
    "HashedTfidf",
    "SentenceEmbedding",
    "sentence_embedding",
    "COLUMN",
    "chosen_texts",
    "matrix",
]
