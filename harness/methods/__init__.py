"""What a search method is composed of, one file and one registry per kind of part; ``compositions`` has the methods.

Pure functions of tensors; imports the words of spaces and nothing that searches. ``compositions`` is the standard
library alone, so that names and settings are known before PyTorch is.
"""
