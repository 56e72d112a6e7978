"""Bytes of a text file → text, with the encoding recognised or refused.

A byte order mark decides; else strict UTF-8; else simplified Chinese (GB18030) or Western European
(Windows-1252, which holds Latin-1), judged by what each makes of the bytes.
"""

from __future__ import annotations

import codecs
import contextlib
import re

_MARKS = (  # UTF-32 first: its little-endian mark starts with that of UTF-16
    (codecs.BOM_UTF8, "utf-8", "UTF-8"),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
_SAVE_AS_UTF8 = "save the file as UTF-8 (Excel: CSV UTF-8)"
_NON_ASCII = re.compile(r"[^\x00-\x7f]")
_NON_ASCII_RUN = re.compile(r"[^\x00-\x7f]{3,}")


class DecodingError(ValueError):
    """What is wrong with the bytes of a text, and what to do."""


def decode_text(raw: bytes) -> tuple[str, list[str]]:
    """Decode the bytes of a text file, noting every choice but UTF-8.

    Parameters
    ----------
    raw : bytes

    Returns
    -------
    text : str
    notes : list of str
        What was recognised, for the user to confirm; empty for UTF-8.

    Raises
    ------
    DecodingError
        Binary content, damaged UTF-8, or an encoding other than those above.

    Examples
    --------
    >>> decode_text("年龄".encode("utf-8"))
    ('年龄', [])
    """
    for mark, codec, name in _MARKS:
        if raw.startswith(mark):
            text = _marked(raw, codec, name)
            return text, [] if name == "UTF-8" else [f"text read as {name}"]
    if b"\x00" in raw:
        problem = f"it holds NUL bytes: it is binary, or UTF-16 without its mark; {_SAVE_AS_UTF8}"
        raise DecodingError(problem)
    try:
        return raw.decode("utf-8"), []
    except UnicodeDecodeError as error:
        return _decoded_otherwise(raw, error)


def _marked(raw: bytes, codec: str, name: str) -> str:
    """Decode a text whose byte order mark declares the encoding."""
    try:
        return raw.decode(codec).removeprefix("\ufeff")  # utf-8-sig would miscount the bad byte
    except UnicodeDecodeError as error:
        problem = f"it starts with the mark of {name}, but {_where(raw, error)}; {_SAVE_AS_UTF8}"
        raise DecodingError(problem) from None


def _decoded_otherwise(raw: bytes, error: UnicodeDecodeError) -> tuple[str, list[str]]:
    """Decode a text that is not UTF-8 as Chinese or Western European, if it is either.

    Both encodings accept nearly any bytes, so what they make of them is judged: Chinese text stays
    within GB 2312, Western words have one or two accented letters in a row. charset-normalizer
    3.5.2 took a header "crp µg/L,temp °C" for Chinese and gave up on a short Swedish text.
    """
    if _is_damaged_utf8(raw):
        problem = f"{_where(raw, error)}, while the rest of the text is; {_SAVE_AS_UTF8}"
        raise DecodingError(problem) from None
    for codec, name, fits in _LEGACY:
        with contextlib.suppress(UnicodeDecodeError):
            text = raw.decode(codec)
            if fits(text):
                return text, [f"text read as {name}; if it looks wrong, {_SAVE_AS_UTF8}"]
    problem = (
        f"{_where(raw, error)}, nor is the text GB18030 (Chinese) or Windows-1252 (Western "
        f"European); {_SAVE_AS_UTF8}"
    )
    raise DecodingError(problem) from None


def _where(raw: bytes, error: UnicodeDecodeError) -> str:
    line = raw[: error.start].decode(error.encoding, errors="ignore").count("\n") + 1
    return f"byte {error.start + 1:,} (line {line:,}) is not {error.encoding.upper()}"


def _is_damaged_utf8(raw: bytes) -> bool:
    """Whether most of what is not ASCII is UTF-8: other encodings look like it now and then."""
    text = raw.decode("utf-8", errors="replace")
    broken = text.count("\N{REPLACEMENT CHARACTER}")
    return len(_NON_ASCII.findall(text)) > 2 * broken


def _is_chinese(text: str) -> bool:
    """Whether at least half of the different non-ASCII characters tell of simplified Chinese."""
    letters = set(_NON_ASCII.findall(text))
    return 2 * sum(_tells_of_chinese(letter) for letter in letters) >= len(letters)


def _tells_of_chinese(letter: str) -> bool:
    """Whether a character is in GB 2312 and not also two lower-case letters of Windows-1252."""
    code = letter.encode("gb2312", errors="ignore")
    return len(code) == 2 and min(code) < 0xDF  # ß, à, …, ÿ


def _is_western(text: str) -> bool:
    """Whether fewer than half of the non-ASCII characters stand in runs of three or more."""
    in_runs = sum(len(run) for run in _NON_ASCII_RUN.findall(text))
    return 2 * in_runs < len(_NON_ASCII.findall(text))


_LEGACY = (
    ("gb18030", "GB18030 (Chinese)", _is_chinese),
    ("cp1252", "Windows-1252 (Western European)", _is_western),
)
