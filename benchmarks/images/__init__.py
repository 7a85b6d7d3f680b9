"""Images as tensors: halves and batches, numpy files of one's own, the data sets that torchvision downloads.

Imports PyTorch, and of this package errors, files, names and paths.
"""
