"""The models that come with the program: the English recogniser with its language model, lexicon and decoder settings
(MODEL_CARD.md says what it was made from and how good it is), and the voice activity detector of the Silero team."""

from pathlib import Path

ENGLISH = Path(__file__).parent / "english" / "model.safetensors"
SILERO = Path(__file__).parent / "silero" / "silero_vad_16k_sequence.onnx"
