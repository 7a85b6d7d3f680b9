"""What is measured between epochs: curvature, the supernet's and the table's accuracies, the loss's landscape.

Reads a search and never moves it; imports search and tables.
"""
