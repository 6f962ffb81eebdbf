"""N-gram language models: text -> counts -> Kneser-Ney -> ARPA -> the memory-mapped form that the decoder queries."""

ARPA_NAMES = (".arpa", ".arpa.gz", ".arpa.xz")  # suffixes of ARPA files
