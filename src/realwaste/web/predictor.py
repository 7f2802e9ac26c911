"""One model that predicts the classes of photographs, one photograph at a time."""

import asyncio
import base64
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from realwaste.core.log import logger
from realwaste.evaluation import overlays
from realwaste.images.reader import Pixels, decode_image, resize_image
from realwaste.models import image_predictions
from realwaste.models.image_predictions import ImagePrediction
from realwaste.models.model_file import Classifier
from realwaste.models.session import Session
from realwaste.runtime.inference_engine import has_tensorflow

if TYPE_CHECKING:
    from realwaste.evaluation.grad_cam import GradCam

_LARGE_PIXELS = 30_000_000  # larger photographs are decoded in a thread of their own


class UndefinedPredictionError(Exception):
    """The model's output is NaN or infinite."""


Saliency = dict[str, str | None]
"""`saliency_of` and `saliency` of schemas.Prediction; empty if the request asks for none."""


@dataclass(frozen=True)
class PredictionSettings:
    """What a request asks of a prediction.

    Attributes:
        saliency: whether to compute a Grad-CAM heat map, if TensorFlow is installed.
        target_class: the class of that heat map, one of the model's; None for the most probable class.
        min_confidence: see image_predictions.apply_min_confidence.
    """

    saliency: bool = False
    target_class: str | None = None
    min_confidence: float | None = None


class Predictor:
    """Decodes and predicts in one thread, decodes large photographs in a second, computes Grad-CAM in a third.

    One thread each, because Keras functions and TensorFlow tapes are not thread-safe, one prediction keeps all cores
    busy, and several photographs of many megapixels do not fit in memory at once. Decoding a large photograph may take
    seconds, and so does importing TensorFlow for Grad-CAM: other predictions do not wait for them.
    """

    def __init__(self, session: Session, load_classifier: Callable[[], Classifier]) -> None:
        """`load_classifier` loads the classifier of `session`; it is called once Grad-CAM is needed."""
        self.metadata = session.metadata
        self.model_info = image_predictions.model_record(session)
        self._session = session
        self._load_classifier = load_classifier
        self._model_thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._decode_thread = ThreadPoolExecutor(1, thread_name_prefix="decode")
        self._grad_cam_thread = ThreadPoolExecutor(1, thread_name_prefix="grad-cam")

    def warm_up(self) -> None:
        """Predict one black picture, so that the first request does not wait for the set-up.

        Raises:
            UndefinedPredictionError: the model's output is NaN or infinite.
        """
        self._model_thread.submit(self._predict_pixels, self._black_picture()).result()

    def prepare_grad_cam(self) -> None:
        """Load TensorFlow and the classifier in the background. Call it last: the import slows down all else."""
        if not has_tensorflow():
            logger.info("no heat maps: TensorFlow is not installed")
            return
        self._grad_cam_thread.submit(self._saliency, self._black_picture(), self.metadata.classes[0])

    async def classify(
        self, file: BinaryIO, pixels: int, settings: PredictionSettings
    ) -> tuple[ImagePrediction, Saliency]:
        """Predict the class of an image file.

        Args:
            file: read when its turn comes, so that waiting photographs are not in memory.
            pixels: number of pixels according to the file's header, see file_format.declared_pixel_count.

        Returns:
            The prediction, without a file name, and the heat map.

        Raises:
            UnreadableImageError: the file is not an image, or is damaged.
            UndefinedPredictionError: the model's output is NaN or infinite.
        """
        loop = asyncio.get_running_loop()
        if pixels > _LARGE_PIXELS:
            picture = await loop.run_in_executor(self._decode_thread, self._decode_and_resize, file)
            prediction = await loop.run_in_executor(self._model_thread, self._predict_pixels, picture)
        else:
            picture, prediction = await loop.run_in_executor(self._model_thread, self._decode_and_predict, file)
        (prediction,) = image_predictions.apply_min_confidence([prediction], settings.min_confidence)
        if not settings.saliency:
            return prediction, {}
        if not has_tensorflow():
            return prediction, {"saliency_of": None, "saliency": None}
        target_class = settings.target_class or prediction.predictions[0].name
        return prediction, await loop.run_in_executor(self._grad_cam_thread, self._saliency, picture, target_class)

    def close(self) -> None:
        """Cancel what waits; only the photograph in progress is finished."""
        for thread in (self._model_thread, self._decode_thread, self._grad_cam_thread):
            thread.shutdown(wait=False, cancel_futures=True)

    def _black_picture(self) -> Pixels:
        return np.zeros((self.metadata.image_size, self.metadata.image_size, 3), np.uint8)

    def _decode_and_resize(self, file: BinaryIO) -> Pixels:
        file.seek(0)
        return resize_image(decode_image(file.read()), self.metadata.image_size)

    def _decode_and_predict(self, file: BinaryIO) -> tuple[Pixels, ImagePrediction]:
        pixels = self._decode_and_resize(file)
        return pixels, self._predict_pixels(pixels)

    def _predict_pixels(self, pixels: Pixels) -> ImagePrediction:
        probabilities, score, is_novel = image_predictions.predict_arrays(self._session, [pixels])[0]
        if not np.isfinite(probabilities).all():
            raise UndefinedPredictionError(image_predictions.UNDEFINED)
        ranked = image_predictions.rank_classes(probabilities, self.metadata.classes)
        return ImagePrediction(Path(), ranked, novelty_score=score, is_novel=is_novel)

    def _saliency(self, pixels: Pixels, target_class: str) -> Saliency:
        heat = self._grad_cam.heat(pixels[np.newaxis], np.array([self.metadata.classes.index(target_class)]))[0]
        png = overlays.encode_png(overlays.heat_layer(heat, *pixels.shape[:2]))
        data_url = "data:image/png;base64," + base64.b64encode(png).decode()
        return {"saliency_of": target_class, "saliency": data_url if heat.any() else None}

    @cached_property
    def _grad_cam(self) -> "GradCam":
        """Created and used in one thread only."""
        classifier = self._load_classifier()
        from realwaste.evaluation.grad_cam import GradCam  # noqa: PLC0415 - TensorFlow

        return GradCam(classifier.model)
