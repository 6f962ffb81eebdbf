"""The acoustic model: encoder families, CTC loss and the model file."""
