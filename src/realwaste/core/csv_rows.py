"""Rows of CSV files (RFC 4180) for spreadsheets.

The encoding is UTF-8 with a byte-order mark, without which Excel assumes another encoding. Pandas skips the mark, and
Python does with the encoding `utf-8-sig`.
"""

import re
from collections.abc import Sequence

from realwaste.core.file_names import to_unicode

ENCODING = "utf-8-sig"
Value = str | float | bool | None  # float includes int
_SPECIAL = re.compile(r'[",;\t\r\n]|^\s|\s$')
# Spreadsheets take a cell that starts with one of these for a formula; the full-width forms in Japanese versions.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def path_cell(name: str) -> str:
    """A path as the user gave it, after `./` if a spreadsheet would otherwise take it for a formula."""
    text = to_unicode(name)
    return f"./{text}" if text.startswith(_FORMULA_STARTS) and text != "-" else text


def format_row(values: Sequence[Value]) -> str:
    """A row with its line end. Cells with a separator are quoted; some programs take a semicolon for one."""
    cells = map(_format, values)
    return ",".join('"{}"'.format(cell.replace('"', '""')) if _SPECIAL.search(cell) else cell for cell in cells) + "\n"


def _format(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    text = to_unicode(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) and text != "-" else text
