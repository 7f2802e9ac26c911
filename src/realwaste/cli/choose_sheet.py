"""The contact sheet of `realwaste choose`: one image with thumbnails, file names and the two most probable classes."""

import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from realwaste.cli import output_options
from realwaste.cli.choose_selection import Candidate
from realwaste.cli.output_options import OutputKind
from realwaste.core.errors import UserError
from realwaste.core.file_names import printable
from realwaste.core.files import atomic_replace
from realwaste.images.reader import UnreadableImageError, decode_image, read_bytes

SHOWN_CLASSES = 2  # per photograph
SUFFIXES = (".jpg", ".jpeg", ".png")
MAX_PHOTOS = 1000  # more would make an image that few programs open
_SIDE, _GAP, _LINE_HEIGHT, _FONT_SIZE = 220, 14, 19, 14  # pixels
_ASPECT = 1.4  # height divided by width, about that of paper
_MARK = "realwaste contact sheet"  # in the PNG's text chunk or the JPEG's comment
SHEET = OutputKind("the sheet of an earlier run", lambda file: output_options.is_marked(file, _MARK.encode()))
_TEXT, _SECONDARY_TEXT, _BACKGROUND, _CELL = "#1d211e", "#5d645f", "#ffffff", "#eceae2"


def check_sheet(file: Path, count: int, arguments: Sequence[str], photographs: Sequence[Path]) -> None:
    """Check --sheet for `count` photographs: its suffix, their number, and as output_options.check_file."""
    if file.suffix.lower() not in SUFFIXES:
        raise UserError(f"--sheet must name an image file: {', '.join(SUFFIXES)}.", "Change its suffix.", str(file))
    if count > MAX_PHOTOS:
        raise UserError(f"--sheet shows at most {MAX_PHOTOS:,} photos.", "Lower --count, or use --csv.", count)
    output_options.check_file("--sheet", file, SHEET, arguments, photographs)


def write_sheet(file: Path, selected: Sequence[Candidate]) -> list[tuple[Path, str]]:
    """Write the sheet, row by row in the order given; without photographs it is empty.

    Returns:
        Path and reason of each photograph that can no longer be read; the sheet shows the reason in its place.
    """
    cell = _SIDE + _GAP, _SIDE + _GAP + (1 + SHOWN_CLASSES) * _LINE_HEIGHT
    columns = max(1, round(math.sqrt(len(selected) * _ASPECT * cell[1] / cell[0]) / _ASPECT))
    rows = max(1, math.ceil(len(selected) / columns))
    sheet = Image.new("RGB", (columns * cell[0] + _GAP, rows * cell[1] + _GAP), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    errors: list[tuple[Path, str]] = []
    fonts = [_font("DejaVuSans-Bold.ttf"), _font("DejaVuSans.ttf")]
    for number, candidate in enumerate(selected):
        left, top = _GAP + number % columns * cell[0], _GAP + number // columns * cell[1]
        draw.rectangle((left, top, left + _SIDE - 1, top + _SIDE - 1), fill=_CELL)
        try:
            thumbnail = _thumbnail(candidate.path)
            sheet.paste(thumbnail, (left + (_SIDE - thumbnail.width) // 2, top + (_SIDE - thumbnail.height) // 2))
        except (OSError, UnreadableImageError) as error:
            errors.append((candidate.path, str(getattr(error, "strerror", None) or error)))
            draw.text((left, top + _SIDE // 2), _shorten(errors[-1][1], fonts[1]), _SECONDARY_TEXT, fonts[1])
        name = _shorten(f"{number + 1}. {printable(candidate.path.name)}", fonts[0])
        draw.text((left, top + _SIDE + 3), name, _TEXT, fonts[0])
        for line, prediction in enumerate(candidate.predictions[:SHOWN_CLASSES], 1):
            share = f" {prediction.probability:.0%}"
            text = _shorten(printable(prediction.name), fonts[1], fonts[1].getlength(share)) + share
            draw.text((left, top + _SIDE + 3 + line * _LINE_HEIGHT), text, _SECONDARY_TEXT, fonts[1])
    with atomic_replace(file.resolve(), SHEET.may_replace) as temporary:
        metadata = PngInfo()
        metadata.add_text("Software", _MARK)
        sheet.save(temporary, quality=90, comment=_MARK, pnginfo=metadata)
    return errors


def _thumbnail(path: Path) -> Image.Image:
    image = Image.fromarray(decode_image(read_bytes(path)))
    image.thumbnail((_SIDE, _SIDE))
    return image


def _font(name: str) -> ImageFont.FreeTypeFont:
    """A font of Matplotlib, which is installed with it."""
    import matplotlib as mpl  # noqa: PLC0415 - only for a sheet

    return ImageFont.truetype(Path(mpl.get_data_path(), "fonts/ttf", name), _FONT_SIZE)


def _shorten(text: str, font: ImageFont.FreeTypeFont, reserved: float = 0) -> str:
    """The text, without its middle if it is wider than a cell less `reserved` pixels.

    The end of a file name stays, since it distinguishes photographs.
    """
    width = _SIDE - reserved
    if font.getlength(text) <= width:
        return text
    half = len(text) // 2
    while half > 1 and font.getlength(f"{text[:half]}…{text[-half:]}") > width:
        half -= 1
    return f"{text[:half]}…{text[-half:]}"
