"""What `predict` is given: files, folders, patterns, addresses and standard input, all as files."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit, urlunsplit

from realwaste.cli import image_paths
from realwaste.models import remote_image
from realwaste.models.remote_image import STANDARD_INPUT, RemoteImage
from realwaste.sources import urls


@dataclass(frozen=True)
class Inputs:
    """Photographs to look at, as long as they are open.

    Attributes:
        paths: each once, in the order of the arguments.
        remote: of those that are yet to be brought to their paths, what brings them.
        local: the arguments that are files, folders or patterns here.
    """

    paths: list[Path]
    remote: dict[Path, RemoteImage]
    local: list[str]


@contextmanager
def opened(arguments: Sequence[str], *, needed: bool = True) -> Iterator[Inputs]:
    """The photographs that `arguments` name, as of image_paths.find_images; addresses start with http:// or https://.

    What is on standard input is read here; what is at an address, when it is needed.

    Args:
        needed: whether there must be one.

    Raises:
        UserError: as of image_paths.find_images; an address that is none; a terminal as standard input.
    """
    with TemporaryDirectory(prefix="realwaste-") as temporary:
        distant = [one for one in arguments if _is_far(one)]
        for argument in distant:
            if argument != STANDARD_INPUT:
                urls.check(argument)
        far = {one: Path(temporary, str(number), _file_name(one)) for number, one in enumerate(distant)}
        named = [path for one in arguments for path in ([far[one]] if one in far else image_paths.images_of(one))]
        brought = {path: RemoteImage(_shown(argument), path, _fetch(argument)) for argument, path in far.items()}
        local = [one for one in arguments if one not in far]
        paths = image_paths.require_images(arguments, named) if needed else list(dict.fromkeys(named))
        yield Inputs(paths, brought, local)


def _is_far(argument: str) -> bool:
    return argument == STANDARD_INPUT or "://" in argument


def _file_name(argument: str) -> str:
    return "standard input" if argument == STANDARD_INPUT else urls.file_name(argument)


def _shown(argument: str) -> str:
    """As given, but for a user's name and password: answers are sent around."""
    if argument == STANDARD_INPUT:
        return argument
    parts = urlsplit(argument)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _fetch(argument: str) -> Callable[[], bytes]:
    if argument != STANDARD_INPUT:
        from realwaste.cli import predict_download  # noqa: PLC0415 - requests, which files need not wait for

        return partial(predict_download.download, argument)
    data = remote_image.read_standard_input()
    return lambda: data
