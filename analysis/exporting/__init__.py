"""The records as trackers have them: TensorBoard, MLflow, Weights & Biases. Each is an optional extra.

Imports study and the folder's format; a tracker's library is imported when it is asked for, PyTorch never.
"""
