"""A contact sheet: small pictures of the chosen photographs with their names and best two classes, as one picture."""

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from realwaste.cli import output_options
from realwaste.cli.choose_selection import SHOWN, Candidate
from realwaste.cli.output_options import Kind
from realwaste.core.errors import UserError
from realwaste.core.file_names import printable
from realwaste.core.files import replacing
from realwaste.images.reader import UnreadableImageError, decode, read_bytes

KINDS = (".jpg", ".jpeg", ".png")
MOST = 1000  # photographs; more would make a picture that few programs open
_SIDE, _GAP, _LINE, _FONT = 220, 14, 19, 14  # pixels
_TALL = 1.4  # height to width, about that of paper
_MARK = "realwaste contact sheet"  # in a PNG's text and a JPEG's comment
SHEET = Kind("the sheet of an earlier run", lambda file: output_options.is_marked(file, _MARK.encode()))
_INK, _QUIET, _PAPER, _GROUND = "#1d211e", "#5d645f", "#ffffff", "#eceae2"


def check(file: Path, count: int, arguments: Sequence[str], photographs: Sequence[Path]) -> None:
    """As outputs.check_file, of --sheet.

    Raises:
        UserError: another kind of file, or too many photographs; or as of outputs.check_file.
    """
    if file.suffix.lower() not in KINDS:
        raise UserError(f"--sheet must name a picture to write: {', '.join(KINDS)}.", "Rename it.", str(file))
    if count > MOST:
        raise UserError(f"--sheet shows {MOST:,} photos at most.", "Choose fewer by --count, or take --csv.", count)
    output_options.check_file("--sheet", file, SHEET, arguments, photographs)


def write(file: Path, chosen: Sequence[Candidate]) -> list[tuple[Path, str]]:
    """Write the sheet, row by row, the least sure first; with nothing chosen an empty one.

    Returns:
        Path and reason of photographs that can be read no longer: the reason stands in the place of each.
    """
    cell = _SIDE + _GAP, _SIDE + _GAP + (1 + SHOWN) * _LINE
    columns = max(1, round(math.sqrt(len(chosen) * _TALL * cell[1] / cell[0]) / _TALL))
    rows = max(1, math.ceil(len(chosen) / columns))
    sheet = Image.new("RGB", (columns * cell[0] + _GAP, rows * cell[1] + _GAP), _PAPER)
    drawing = ImageDraw.Draw(sheet)
    errors: list[tuple[Path, str]] = []
    fonts = [_font("DejaVuSans-Bold.ttf"), _font("DejaVuSans.ttf")]
    for number, one in enumerate(chosen):
        left, top = _GAP + number % columns * cell[0], _GAP + number // columns * cell[1]
        drawing.rectangle((left, top, left + _SIDE - 1, top + _SIDE - 1), fill=_GROUND)
        try:
            small = _thumbnail(one.path)
            sheet.paste(small, (left + (_SIDE - small.width) // 2, top + (_SIDE - small.height) // 2))
        except (OSError, UnreadableImageError) as error:
            errors.append((one.path, str(getattr(error, "strerror", None) or error)))
            drawing.text((left, top + _SIDE // 2), _fitted(errors[-1][1], fonts[1]), _QUIET, fonts[1])
        name = _fitted(f"{number + 1}. {printable(one.path.name)}", fonts[0])
        drawing.text((left, top + _SIDE + 3), name, _INK, fonts[0])
        for line, said in enumerate(one.predictions[:SHOWN], 1):
            share = f" {said.probability:.0%}"
            text = _fitted(printable(said.name), fonts[1], fonts[1].getlength(share)) + share
            drawing.text((left, top + _SIDE + 3 + line * _LINE), text, _QUIET, fonts[1])
    with replacing(file.resolve(), SHEET.may_replace) as temporary:
        about = PngInfo()
        about.add_text("Software", _MARK)
        sheet.save(temporary, quality=90, comment=_MARK, pnginfo=about)
    return errors


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
