"""Spoken English numbers -> digits: cardinals, ordinals, decimals, years, times, money, percentages, digit strings.

text2num finds the numbers among the words; which neighbours belong together is decided here. Whole numbers below ten
stay words, as style guides have it, except in times, amounts and digit strings.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from asr.transcript import Word

PAUSE = 0.6  # seconds between words that end a number
DIGIT_STRING = 3  # digits spoken one by one that are written together, at least
LETTER_O = ("oh", "o")  # zero, in years, times and digit strings
OH = "o"  # the text of such a zero until it is part of a number
MULTIPLES = ("hundred", "thousand", "million", "billion")
CURRENCIES = {"dollar": "$", "dollars": "$", "euro": "€", "euros": "€"}  # pounds may be a weight
DECADES = {"twenties": 20, "thirties": 30, "forties": 40, "fifties": 50}
DECADES |= {"sixties": 60, "seventies": 70, "eighties": 80, "nineties": 90}


@dataclass(frozen=True)
class Number:
    """Some words in a row and the number that they are."""

    start: int  # the first word
    end: int  # behind the last one
    text: str  # in digits
    single: bool = False  # one digit, spoken as one
    whole: bool = True  # neither a decimal nor an ordinal

    def joined(self, other: "Number", text: str) -> "Number":
        """This number and the one behind it, written together."""
        return Number(self.start, other.end, text, whole=False)


def find_numbers(words: Sequence[Word]) -> list[Number]:
    """The numbers among the words that are to be written in digits, in order."""
    found = _join(_spoken_numbers(words))
    numbers = [_with_unit(_with_article(number, words), words) for number in found]
    return [number for number in _with_cents(numbers, words) if not _stays_words(number, words)]


class _Token:
    """A word, as text2num takes it."""

    def __init__(self, word: Word, separated: bool):
        self._text, self._separated = word.text.lower(), separated

    def text(self) -> str:
        return self._text

    def text_lowercase(self) -> str:
        return self._text

    def nt_separated(self, previous: "_Token") -> bool:
        """Whether a pause parts this word from the one before."""
        return self._separated

    def not_a_number_part(self) -> bool:
        return False


def _spoken_numbers(words: Sequence[Word]) -> list[Number]:
    """Each number that text2num finds, and each "oh" as a zero."""
    import text_to_num

    tokens = [
        _Token(word, word.start - before.end > PAUSE)
        for before, word in zip([*words[:1], *words[:-1]], words, strict=True)
    ]
    numbers = []
    for each in text_to_num.find_numbers(tokens, "en", 0):
        whole = not each.is_ordinal and each.text.isdigit()
        if whole and len(each.text) == each.end - each.start > 1 and each.text.startswith("0"):  # zero zero seven
            numbers += [Number(at, at + 1, digit, True) for at, digit in enumerate(each.text, each.start)]
        else:
            single = whole and len(each.text) == 1
            numbers.append(Number(each.start, each.end, each.text, single, whole))
    numbers = [number for number in numbers if words[number.start].text.lower() not in LETTER_O]
    covered = {at for number in numbers for at in range(number.start, number.end)}
    numbers += [
        Number(at, at + 1, OH, True)
        for at, word in enumerate(words)
        if word.text.lower() in LETTER_O and at not in covered
    ]
    return sorted(numbers, key=lambda number: number.start)


def _join(numbers: Sequence[Number]) -> Iterator[Number]:
    """Digit strings, years and times of numbers without a word between them."""
    at = 0
    while at < len(numbers):
        run = at + 1
        while run < len(numbers) and numbers[run].start == numbers[run - 1].end:
            run += 1
        yield from _join_run(numbers[at:run])
        at = run


def _join_run(run: Sequence[Number]) -> Iterator[Number]:
    time = len(run) == 3 and run[1].text == OH  # seven oh five
    if len(run) >= DIGIT_STRING and all(number.single for number in run) and not time:
        yield run[0].joined(run[-1], "".join(number.text for number in run).replace(OH, "0"))
        return
    at = 0
    while at < len(run):
        first, rest = run[at], run[at + 1 : at + 3]
        if (
            len(rest) == 2
            and rest[0].text == OH
            and rest[1].single
            and (text := _pair(first, "0" + rest[1].text.replace(OH, "0")))
        ):
            yield first.joined(rest[1], text)
            at += 3
        elif rest and rest[0].whole and len(rest[0].text) == 2 and (text := _pair(first, rest[0].text)):
            yield first.joined(rest[0], text)
            at += 2
        else:
            yield first
            at += 1


def _pair(first: Number, second: str) -> str:
    """A time of hours and minutes, or a year of centuries and years; nothing for other numbers."""
    value = int(first.text) if first.whole and first.text != OH and len(first.text) <= 2 else 0
    if 1 <= value <= 12 and int(second) < 60:
        return f"{value}:{second}"
    return f"{value}{second}" if 11 <= value <= 20 else ""


def _with_article(number: Number, words: Sequence[Word]) -> Number:
    """A number with the article of `a hundred and fifty`."""
    article = number.start and words[number.start - 1].text.lower() == "a"
    begins = words[number.start].text.lower() in MULTIPLES and number.end - number.start > 1
    return Number(number.start - 1, number.end, number.text) if article and begins else number


def _with_unit(number: Number, words: Sequence[Word]) -> Number:
    """A number with its percent or currency sign, or the decade of its century, and in groups of thousands."""
    text = number.text
    if text == OH:
        return number
    if text.isdigit() and len(text) > 4 and number.whole and not text.startswith("0"):
        text = f"{int(text):,}"
    following = [word.text.lower() for word in words[number.end : number.end + 2]]
    if following[:1] == ["percent"]:
        return Number(number.start, number.end + 1, f"{text}%")
    if following == ["per", "cent"]:
        return Number(number.start, number.end + 2, f"{text}%")
    if following and following[0] in DECADES and number.whole and text.isdigit() and 11 <= int(text) <= 20:
        return Number(number.start, number.end + 1, f"{text}{DECADES[following[0]]}s")
    if following and following[0] in CURRENCIES and ":" not in text and text[-1].isdigit():
        return Number(number.start, number.end + 1, f"{CURRENCIES[following[0]]}{text}")
    return Number(number.start, number.end, text, number.single, number.whole)


def _with_cents(numbers: Sequence[Number], words: Sequence[Word]) -> Iterator[Number]:
    """Dollars or euros and cents as one amount."""
    at = 0
    while at < len(numbers):
        number, following = numbers[at], numbers[at + 1 : at + 2]
        if following and number.text[0] in CURRENCIES.values() and following[0].text.isdigit():
            between = [word.text.lower() for word in words[number.end : following[0].start]]
            behind = [word.text.lower() for word in words[following[0].end : following[0].end + 1]]
            if between in ([], ["and"]) and behind == ["cents"] and int(following[0].text) < 100:
                yield Number(number.start, following[0].end + 1, f"{number.text}.{int(following[0].text):02d}")
                at += 2
                continue
        yield number
        at += 1


def _stays_words(number: Number, words: Sequence[Word]) -> bool:
    """Small numbers, ordinals and a bare `hundred`, which `a` or `several` may precede."""
    digits = number.text.rstrip("sthndr")
    spoken = words[number.start].text.lower()
    small = digits == OH or (digits.isdigit() and len(digits) == 1)
    return small or (number.end - number.start == 1 and spoken in MULTIPLES)
