"""One model that answers photographs one after the other."""

import asyncio
import base64
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from realwaste.evaluation import overlays
from realwaste.images.reader import Pixels, decode, resize
from realwaste.models import image_predictions
from realwaste.models.image_predictions import Prediction
from realwaste.models.model_file import Classifier
from realwaste.models.session import Session

if TYPE_CHECKING:
    from realwaste.evaluation.grad_cam import GradCam

_LARGE = 30_000_000  # pixels


class UndefinedAnswerError(Exception):
    """The model's output is no number."""


@dataclass(frozen=True)
class Answered:
    """Every class, the most probable first; and the heat of one of them as a PNG data URL, if it was asked for.

    strangeness and unlike are as of realwaste.models.image_predictions.Answer.

    The heat is a layer to lay over the photograph, as opaque as it is high, stretched to the photograph's sides. It is
    None where nothing in the photograph speaks for the class.
    """

    predictions: tuple[Prediction, ...]
    strangeness: float | None = None
    unlike: bool | None = None
    saliency_of: str | None = None
    saliency: str | None = None


class Predictor:
    """Decoding and prediction in one thread of its own, decoding of large pictures in another, Grad-CAM in a third.

    One thread each, since Keras' functions and TensorFlow's tapes are not to be shared, one answer keeps all cores
    busy, and several photographs of many megapixels at once would not fit in memory. Others do not wait for a large
    picture, which may take seconds. Grad-CAM needs TensorFlow, which
    takes seconds to come: answers do not wait for it.
    """

    def __init__(self, asked: Session, load: Callable[[], Classifier]) -> None:
        """`load` gives what `asked` is a session of, when heat is to be computed."""
        self.facts = asked.facts
        self.about = image_predictions.facts_of(asked)
        self._asked = asked
        self._load = load
        self._answering = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._decoding = ThreadPoolExecutor(1, thread_name_prefix="decode")
        self._looking = ThreadPoolExecutor(1, thread_name_prefix="heat")

    def warm_up(self) -> None:
        """Answer once: not while somebody waits for it.

        Raises:
            UndefinedAnswerError: the model's output is no number.
        """
        self._answering.submit(self._said, self._black()).result()

    def prepare_heat(self) -> None:
        """Begin to make Grad-CAM ready. Importing TensorFlow holds up whatever else starts: call it when all has."""
        self._looking.submit(self._look, self._black(), Answered(()), self.facts.classes[0])

    async def answer(self, file: BinaryIO, *, pixels: int, saliency: bool, of: str | None) -> Answered:
        """What the model says of an image file.

        Args:
            file: read when its turn comes, so that what waits is not in memory.
            pixels: that it states, see file_format.stated_pixels.
            saliency: whether to compute heat.
            of: the class to compute it for, one of the model's; None for the most probable.

        Raises:
            UnreadableImageError: no picture that can be read.
            UndefinedAnswerError: the model's output is no number.
        """
        loop = asyncio.get_running_loop()
        if pixels > _LARGE:
            resized = await loop.run_in_executor(self._decoding, self._resized, file)
            told = await loop.run_in_executor(self._answering, self._said, resized)
        else:
            resized, told = await loop.run_in_executor(self._answering, self._answer, file)
        return await loop.run_in_executor(self._looking, self._look, resized, told, of) if saliency else told

    def close(self) -> None:
        """Answers nothing any more; the photograph in work is the last."""
        for thread in (self._answering, self._decoding, self._looking):
            thread.shutdown(wait=False, cancel_futures=True)

    def _black(self) -> Pixels:
        return np.zeros((self.facts.image_size, self.facts.image_size, 3), np.uint8)

    def _resized(self, file: BinaryIO) -> Pixels:
        file.seek(0)
        return resize(decode(file.read()), self.facts.image_size)

    def _answer(self, file: BinaryIO) -> tuple[Pixels, Answered]:
        pixels = self._resized(file)
        return pixels, self._said(pixels)

    def _said(self, pixels: Pixels) -> Answered:
        row, strangeness, unlike = image_predictions.said_of(self._asked, [pixels])[0]
        if not np.isfinite(row).all():
            raise UndefinedAnswerError(image_predictions.UNDEFINED)
        return Answered(image_predictions.ranked(row, self.facts.classes), strangeness, unlike)

    def _look(self, pixels: Pixels, told: Answered, of: str | None) -> Answered:
        of = of or told.predictions[0].name
        heat = self._cam.heat(pixels[np.newaxis], np.array([self.facts.classes.index(of)]))[0]
        if not heat.any():
            return replace(told, saliency_of=of)
        png = overlays.png(overlays.layer(heat, *pixels.shape[:2]))
        return replace(told, saliency_of=of, saliency="data:image/png;base64," + base64.b64encode(png).decode())

    @cached_property
    def _cam(self) -> "GradCam":
        """Made, and asked, in one thread alone."""
        classifier = self._load()
        from realwaste.evaluation.grad_cam import GradCam  # noqa: PLC0415 - TensorFlow

        return GradCam(classifier.model)
