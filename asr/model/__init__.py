"""The acoustic model: encoder families, CTC loss, model file."""
