"""Text of any script in a PDF: finds a font for each character, and cuts the text to a width.

The PDF's own fonts have Latin-1 alone. So the Noto fonts of the package manimgx-fonts are embedded, as far as they are
used. Chinese, Japanese and Korean use the reader's own fonts, as PDF provides for (ISO 32000-1, 9.7.5.2).
Text of right-to-left scripts is ordered (Unicode Annex 9), and Arabic letters are joined. Other scripts whose letters
change beside each other, such as Devanagari, are shown letter by letter.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont

MAIN: Final = "NotoSans"
MAX_TEXT: Final = 400  # characters of one text; no line has room for more, and they would only take time
# Characters that set the direction of the text beside them. They are removed.
_OVERRIDES: Final = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)])
_MISSING: Final = "\ufffd"  # NotoSans has it
_EAST_ASIAN: Final = (
    (("HANGUL",), "HYSMyeongJo-Medium"),
    (("HIRAGANA", "KATAKANA"), "HeiseiMin-W3"),
    (("CJK", "FULLWIDTH", "IDEOGRAPHIC"), "STSong-Light"),
)


def fitted(text: str, width: float, size: float) -> Iterator[tuple[str, str, float]]:
    """Yield (font, part, width in points) of the text, cut to `width` points; "…" replaces the rest."""
    line = text[:MAX_TEXT].translate(_OVERRIDES)
    right_to_left = not line.isascii() and any(unicodedata.bidirectional(char) in ("R", "AL") for char in line)
    drawn = [_drawn(char) for char in (_joined(line) if right_to_left else line)]
    ends = list(itertools.accumulate(wide * size for _, _, wide in drawn))
    if ends and (ends[-1] > width or len(text) > MAX_TEXT):
        dots = _drawn("…")
        room = width - dots[2] * size
        drawn = [*drawn[: sum(end <= room for end in ends)], dots]
    if right_to_left:
        drawn = [_drawn(char) for char in _ordered("".join(char for _, char, _ in drawn))]
    for font, group in itertools.groupby(drawn, key=lambda one: one[0]):
        part = list(group)
        yield font, "".join(char for _, char, _ in part), sum(wide for _, _, wide in part) * size


def _joined(line: str) -> str:
    """The line with Arabic letters in the form that their neighbours require. Imported here: few reports need it."""
    import arabic_reshaper  # type: ignore[import-untyped]

    return str(arabic_reshaper.reshape(line))


def _ordered(line: str) -> str:
    """The line in the order in which it is shown, from left to right."""
    from bidi import get_display  # type: ignore[import-untyped]

    chars, waiting = list(get_display(line)), list[int]()
    for place, char in enumerate(chars):  # mirror brackets that changed places: get_display does not
        if char not in "()[]{}":
            continue
        pair = f"{chars[waiting[-1]]}{char}" if waiting else ""
        if pair in (")(", "][", "}{"):
            chars[waiting[-1]], chars[place] = char, chars[waiting[-1]]
        if pair in (")(", "][", "}{", "()", "[]", "{}"):
            waiting.pop()
        else:
            waiting.append(place)
    return "".join(chars)


@functools.lru_cache(maxsize=20_000)
def _drawn(char: str) -> tuple[str, str, float]:
    """The font, the character and its width (at size 1) by which `char` is shown."""
    if unicodedata.category(char) in ("Cc", "Zl", "Zp"):
        char = " "
    for font, known in _fonts():
        if ord(char) in known:
            return font, char, pdfmetrics.stringWidth(char, font, 1)
    for words, font in _EAST_ASIAN:
        if unicodedata.name(char, "").startswith(words):
            pdfmetrics.registerFont(UnicodeCIDFont(font))
            return font, char, 1.0
    return MAIN, _MISSING, pdfmetrics.stringWidth(_MISSING, MAIN, 1)


@functools.cache
def _fonts() -> list[tuple[str, frozenset[int]]]:
    """The fonts by name, with the characters that each has; the main one first. Reading them all takes 0.06 s."""
    package = importlib.util.find_spec("manimgx_fonts")  # it has only files, no code to import
    assert package is not None and package.origin is not None
    found = []
    for path in sorted(
        Path(package.origin).parent.glob("*.ttf"), key=lambda path: (not path.stem.startswith(f"{MAIN}["), path.stem)
    ):
        if "Italic" not in path.stem:
            font = TTFont(path.stem.partition("[")[0], str(path))
            pdfmetrics.registerFont(font)
            found.append((font.fontName, frozenset(font.face.charToGlyph)))
    return found
