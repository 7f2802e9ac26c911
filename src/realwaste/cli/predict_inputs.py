"""The inputs of `realwaste predict`, all as files: files, folders, patterns, URLs and standard input."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit, urlunsplit

from realwaste.cli import image_paths
from realwaste.images import remote_image
from realwaste.images.remote_image import STANDARD_INPUT, RemoteImage
from realwaste.sources import urls


@dataclass(frozen=True)
class Inputs:
    """Photographs to predict.

    Attributes:
        paths: each once, in the order of the arguments.
        remote: by path, the photographs that must be downloaded (or copied from standard input) to their path first.
        local: the arguments that are files, folders or patterns.
    """

    paths: list[Path]
    remote: dict[Path, RemoteImage]
    local: list[str]


@contextmanager
def open_inputs(arguments: Sequence[str], *, required: bool = True) -> Iterator[Inputs]:
    """The photographs that `arguments` name; temporary files of downloads exist as long as the block runs.

    Standard input is read at once, URLs are downloaded when they are needed.

    Args:
        arguments: as for image_paths.find_images; or URLs that start with http:// or https://; or `-`, standard input.
        required: whether there must be a photograph.

    Raises:
        UserError: as image_paths.find_images; a URL is invalid; or standard input is a terminal.
    """
    with TemporaryDirectory(prefix="realwaste-") as temporary:
        remote_arguments = list(filter(_is_remote, arguments))
        for argument in remote_arguments:
            if argument != STANDARD_INPUT:
                urls.check(argument)
        files = {name: Path(temporary, str(n), _file_name(name)) for n, name in enumerate(remote_arguments)}
        paths: list[Path] = []
        for argument in arguments:
            paths.extend([files[argument]] if argument in files else image_paths.images_of(argument))
        remote = {file: RemoteImage(_without_password(name), file, _fetcher(name)) for name, file in files.items()}
        local = [argument for argument in arguments if argument not in files]
        unique = image_paths.require_images(arguments, paths) if required else list(dict.fromkeys(paths))
        yield Inputs(unique, remote, local)


def _is_remote(argument: str) -> bool:
    return argument == STANDARD_INPUT or "://" in argument


def _file_name(argument: str) -> str:
    return "standard input" if argument == STANDARD_INPUT else urls.file_name(argument)


def _without_password(argument: str) -> str:
    """The argument without user name and password, since results are shared."""
    if argument == STANDARD_INPUT:
        return argument
    parts = urlsplit(argument)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _fetcher(argument: str) -> Callable[[], bytes]:
    """The function that returns the bytes of a URL, or of standard input."""
    if argument != STANDARD_INPUT:
        from realwaste.cli import predict_download  # noqa: PLC0415 - requests, which local files do not need

        return partial(predict_download.download, argument)
    data = remote_image.read_standard_input()
    return lambda: data
