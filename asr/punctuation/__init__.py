"""Punctuation, capital letters and numbers: recognised words -> text as people write it."""
