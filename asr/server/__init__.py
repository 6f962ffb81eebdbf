"""`asr serve`: the recogniser behind the protocols that other programs speak."""
