"""One model that answers photographs one after the other."""

import asyncio
import base64
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from realwaste.classifier.model_file import Classifier
from realwaste.commands import prediction
from realwaste.commands.prediction import Prediction
from realwaste.explanation import overlays
from realwaste.explanation.grad_cam import GradCam
from realwaste.images.reader import Pixels, decode, resize


class UndefinedAnswerError(Exception):
    """The model's output is no number."""


@dataclass(frozen=True)
class Answered:
    """Every class, the most probable first; and the heat of one of them as a PNG data URL, if it was asked for.

    strangeness and unlike are as of realwaste.commands.prediction.Answer.

    The heat is a layer to lay over the photograph, as opaque as it is high, stretched to the photograph's sides. It is
    None where nothing in the photograph speaks for the class.
    """

    predictions: tuple[Prediction, ...]
    strangeness: float | None = None
    unlike: bool | None = None
    saliency_of: str | None = None
    saliency: str | None = None


class Predictor:
    """Decoding, prediction and Grad-CAM in one thread of its own.

    One thread, since Keras' functions and TensorFlow's tapes are not to be shared, one answer keeps all cores busy, and
    several photographs of many megapixels at once would not fit in memory.
    """

    def __init__(self, classifier: Classifier) -> None:
        self.facts = classifier.facts
        self.about = prediction.facts_of(classifier)
        self._classifier = classifier
        self._cam = GradCam(classifier.model)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")

    def warm_up(self) -> None:
        """TensorFlow traces what it runs at the first call: not while somebody waits for an answer."""
        size = self.facts.image_size
        self._thread.submit(self._look, np.zeros((size, size, 3), np.uint8), self.facts.classes[0]).result()

    async def answer(self, data: bytes, *, saliency: bool, of: str | None) -> Answered:
        """What the model says of an image file's bytes.

        Args:
            saliency: whether to compute heat.
            of: the class to compute it for, one of the model's; None for the most probable.

        Raises:
            UnreadableImageError: no picture that can be read.
            UndefinedAnswerError: the model's output is no number.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._answer, data, saliency, of)

    def close(self) -> None:
        """Answers nothing any more; the photograph in work is the last."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _answer(self, data: bytes, saliency: bool, of: str | None) -> Answered:
        pixels = resize(decode(data), self.facts.image_size)
        return self._look(pixels, of, saliency=saliency)

    def _look(self, pixels: Pixels, of: str | None, *, saliency: bool = True) -> Answered:
        row, strangeness, unlike = prediction.said_of(self._classifier, [pixels], 1)[0]
        if not np.isfinite(row).all():
            raise UndefinedAnswerError(prediction.UNDEFINED)
        predictions = prediction.ranked(row, self.facts.classes)
        told = Answered(predictions, strangeness, unlike)
        if not saliency:
            return told
        of = of or predictions[0].name
        heat = self._cam.heat(pixels[np.newaxis], np.array([self.facts.classes.index(of)]))[0]
        if not heat.any():
            return replace(told, saliency_of=of)
        png = overlays.png(overlays.layer(heat, *pixels.shape[:2]))
        return replace(told, saliency_of=of, saliency="data:image/png;base64," + base64.b64encode(png).decode())
