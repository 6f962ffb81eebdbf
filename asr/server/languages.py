"""The language of a model as its clients name it: by code, with or without a region, or by OpenAI's name for it."""

NAMES = {
    **{"ar": "arabic", "cs": "czech", "da": "danish", "de": "german", "el": "greek", "en": "english", "es": "spanish"},
    **{"fi": "finnish", "fr": "french", "hi": "hindi", "it": "italian", "ja": "japanese", "ko": "korean"},
    **{"nl": "dutch", "no": "norwegian", "pl": "polish", "pt": "portuguese", "ru": "russian", "sv": "swedish"},
    **{"tr": "turkish", "uk": "ukrainian", "vi": "vietnamese", "zh": "chinese"},
}
ANY = ("", "auto")


def name_of(code: str) -> str:
    """OpenAI's name of a language, or its code."""
    return NAMES.get(code, code)


def problem(asked: str, code: str) -> str | None:
    """Why a model of one language cannot be used for what a client asks for, if so."""
    if asked.lower() in (*ANY, name_of(code)) or asked.lower().replace("_", "-").partition("-")[0] == code:
        return None
    return f"the model is for '{code}', not for '{asked[:20]}'"
