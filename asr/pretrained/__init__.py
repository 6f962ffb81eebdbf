"""The English model that comes with the program, with its language model, lexicon and decoder settings: MODEL_CARD.md
says what it was made from and how good it is."""

from pathlib import Path

ENGLISH = Path(__file__).parent / "english" / "model.safetensors"
