"""Attention that keeps packed documents apart: a ladder of kernels, each an attention function of transformers."""
