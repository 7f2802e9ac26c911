"""A contact sheet: small pictures of the chosen photographs with their names and best two classes, as one picture."""

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from PIL import Image, ImageDraw, ImageFont

from realwaste.core.errors import UserError
from realwaste.core.files import replacing
from realwaste.images.reader import decode, read_bytes
from realwaste.labelling.choice import SHOWN, Candidate
from realwaste.sources.file_names import printable

KINDS = (".jpg", ".jpeg", ".png")
MOST = 1000  # photographs; more would make a picture that few programs open
_SIDE, _GAP, _LINE, _FONT = 220, 14, 19, 14  # pixels
_TALL = 1.4  # height to width, about that of paper
_INK, _QUIET, _PAPER, _GROUND = "#1d211e", "#5d645f", "#ffffff", "#eceae2"


def check(file: Path, count: int, arguments: Sequence[str]) -> None:
    """Say why a file is none to write a sheet to, before anything is looked at.

    Args:
        arguments: files, folders and patterns with the photographs.

    Raises:
        UserError: another kind of file, too many photographs, or a place where it would be taken for a photograph.
    """
    if file.suffix.lower() not in KINDS:
        raise UserError(f"--sheet must name a picture to write: {', '.join(KINDS)}.", "Rename it.", str(file))
    if count > MOST:
        raise UserError(f"--sheet shows {MOST:,} photos at most.", "Choose fewer by --count, or take --csv.", count)
    searched = [Path(argument).resolve() for argument in arguments if Path(argument).is_dir()]
    if any(file.resolve().is_relative_to(one) for one in searched):
        rule = "--sheet must lie outside of the folders with the photos, or it would be taken for one."
        raise UserError(rule, "Name another place.", str(file))


def write(file: Path, chosen: Sequence[Candidate]) -> None:
    """Write the sheet, row by row, the least sure first; with nothing chosen an empty one."""
    cell = _SIDE + _GAP, _SIDE + _GAP + (1 + SHOWN) * _LINE
    columns = max(1, round(math.sqrt(len(chosen) * _TALL * cell[1] / cell[0]) / _TALL))
    rows = max(1, math.ceil(len(chosen) / columns))
    sheet = Image.new("RGB", (columns * cell[0] + _GAP, rows * cell[1] + _GAP), _PAPER)
    drawing = ImageDraw.Draw(sheet)
    fonts = [_font("DejaVuSans-Bold.ttf"), _font("DejaVuSans.ttf")]
    for number, one in enumerate(chosen):
        left, top = _GAP + number % columns * cell[0], _GAP + number // columns * cell[1]
        drawing.rectangle((left, top, left + _SIDE - 1, top + _SIDE - 1), fill=_GROUND)
        small = _thumbnail(one.path)
        sheet.paste(small, (left + (_SIDE - small.width) // 2, top + (_SIDE - small.height) // 2))
        name = _fitted(f"{number + 1}. {printable(one.path.name)}", fonts[0])
        drawing.text((left, top + _SIDE + 3), name, _INK, fonts[0])
        for line, said in enumerate(one.predictions[:SHOWN], 1):
            share = f" {said.probability:.0%}"
            text = _fitted(printable(said.name), fonts[1], fonts[1].getlength(share)) + share
            drawing.text((left, top + _SIDE + 3 + line * _LINE), text, _QUIET, fonts[1])
    with replacing(file) as temporary:
        sheet.save(temporary, quality=90)


def _thumbnail(path: Path) -> Image.Image:
    small = Image.fromarray(decode(read_bytes(path)))
    small.thumbnail((_SIDE, _SIDE))
    return small


def _font(name: str) -> ImageFont.FreeTypeFont:
    """Matplotlib's own, which is there wherever it is."""
    return ImageFont.truetype(Path(mpl.get_data_path(), "fonts/ttf", name), _FONT)


def _fitted(text: str, font: ImageFont.FreeTypeFont, taken: float = 0) -> str:
    """The text, its middle left out where it is too long for a cell: a name's end tells photographs apart."""
    room = _SIDE - taken
    if font.getlength(text) <= room:
        return text
    half = len(text) // 2
    while half > 1 and font.getlength(f"{text[:half]}…{text[-half:]}") > room:
        half -= 1
    return f"{text[:half]}…{text[-half:]}"
