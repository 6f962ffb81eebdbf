"""N-gram language models: text -> counts -> Kneser-Ney -> ARPA -> the memory-mapped form that the decoder queries."""
