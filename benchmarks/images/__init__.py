"""Images as tensors: halves and batches, archives and folders of one's own, data sets that are downloaded or given.

Imports PyTorch (all but folder_files), and of this package errors, files, names and paths.
"""
