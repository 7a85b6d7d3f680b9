"""Tables of accuracies: what one answers (table.py), its file, readers of official dumps, downloads, questions.

Imports spaces for their architectures; images only where a table is trained.
"""
