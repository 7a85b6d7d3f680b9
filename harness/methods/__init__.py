"""What a search method is made of: how alpha's gradient is taken, and how the mixture is perturbed.

Pure functions of tensors; imports the words of spaces and nothing that searches.
"""
