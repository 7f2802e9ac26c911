"""POST /predict: the photographs of a request, their predictions, and the response as JSON or CSV."""

import asyncio
import re
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, HTTPException, Query, Request, Response
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.formparsers import MultiPartParser
from starlette.requests import ClientDisconnect

from realwaste.core.csv_rows import ENCODING, Value, format_row
from realwaste.images.file_format import declared_pixel_count
from realwaste.images.reader import MAX_PIXELS, UnreadableImageError
from realwaste.models import image_predictions
from realwaste.models.image_predictions import ImagePrediction
from realwaste.web import schemas
from realwaste.web.predictor import PredictionSettings, Predictor, Saliency, UndefinedPredictionError
from realwaste.web.request_limits import FORM_CONTENT_TYPE, PHOTO_TOO_LARGE

T = TypeVar("T")
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_FILES = {"type": "array", "items": _BYTES["schema"], "minItems": 1}
_CSV = {"content": {"text/csv": {"schema": {"type": "string"}}}, "description": "One photo, several, or a CSV file."}
_CSV_CLASSES = 3  # see `realwaste predict --top`
_FORM = {"schema": {"type": "object", "properties": {"file": _FILES}, "required": ["file"]}}
_REQUEST_BODY = {"required": True, "content": {"application/octet-stream": _BYTES, FORM_CONTENT_TYPE: _FORM}}


@dataclass(frozen=True)
class UploadLimits:
    """Limits per request.

    Attributes:
        photo_bytes: size of one photograph.
        files: files in one form.
        total_bytes: size of one form.
        pixels: decoded pixels of all photographs together: a few bytes may decode to any number of pixels, and other
            requests wait meanwhile.
    """

    photo_bytes: int = 20_000_000
    files: int = 20
    total_bytes: int = 100_000_000
    pixels: int = 500_000_000

    @property
    def form_bytes(self) -> int:
        """Size of one form, at least that of one photograph and the form's own overhead."""
        return max(self.total_bytes, self.photo_bytes + 10_000)


def add_predict_route(app: FastAPI, predictor: Predictor, upload_limits: UploadLimits) -> None:
    """Answer POST /predict."""

    @app.post(
        "/predict",
        response_model=schemas.OnePhoto | schemas.Photos,
        response_model_exclude_unset=True,
        responses={200: _CSV, **schemas.errors(400, 413, 422, 503)},
        openapi_extra={"requestBody": _REQUEST_BODY},
    )
    async def predict(
        request: Request,
        saliency: bool = False,
        target_class: Annotated[str | None, Query(alias="of")] = None,
        min_confidence: Annotated[float | None, Query(ge=0, le=1)] = None,
    ) -> dict[str, Any] | Response:
        """Predictions for one photo, sent as the raw body or as the one file of a form; or for several files of a form.

        `unlike` is true if the photo is unlike anything this model has learned: its novelty score `strangeness` exceeds
        the model's `strangeness_threshold`, which five percent of its validation pictures exceed.

        With `min_confidence=0.8` the `answer` is "not sure", and `not_sure` true, if the largest probability is lower
        or the photo is unlike anything learned.

        With `saliency=true` the response also shows where the model looked for its most probable class, or for the
        class `of`: a PNG data URL, to be stretched over the photo; null if nothing in the photo supports that class.
        Both are null if the server has no TensorFlow.

        Several files are answered in their order, in `answers`. A file that cannot be read has an `error` there, and
        the status is still 200.

        With the header `Accept: text/csv` the response is a CSV file with a row per photo and the columns of
        `realwaste predict --csv`. Errors of the whole request are JSON.
        """
        settings = PredictionSettings(saliency, target_class, min_confidence)
        return await _respond(request, predictor, upload_limits, settings)


Result = tuple[ImagePrediction, Saliency]


async def _respond(
    request: Request, predictor: Predictor, upload_limits: UploadLimits, settings: PredictionSettings
) -> dict[str, Any] | Response:
    classes, target_class = predictor.metadata.classes, settings.target_class
    if target_class is not None and target_class not in classes:
        raise HTTPException(422, f"of must be one of {', '.join(classes)}; received {target_class!r}.")
    as_csv = _prefers_csv(request.headers.get("accept", ""))
    if as_csv:
        settings = replace(settings, saliency=False)
    async with _uploaded_photos(request, upload_limits.files) as photos:
        work = _predict_photos(predictor, photos, upload_limits, settings)
        results = await _cancel_on_disconnect(request, work)
    if as_csv:
        return _csv_response(results, min(_CSV_CLASSES, len(classes)))
    return predictor.model_info | _json_response(results)


async def _predict_photos(
    predictor: Predictor, photos: list[UploadFile], upload_limits: UploadLimits, settings: PredictionSettings
) -> list[Result]:
    """The results in the order of the photos; of several, one that cannot be predicted has an error."""
    remaining_pixels = upload_limits.pixels

    async def classify(photo: UploadFile) -> Result:
        nonlocal remaining_pixels
        if (photo.size or 0) > upload_limits.photo_bytes:
            raise HTTPException(413, PHOTO_TOO_LARGE.format(upload_limits.photo_bytes / 1e6))
        pixels = await asyncio.to_thread(lambda: declared_pixel_count(photo.file.read()))
        if remaining_pixels < pixels <= MAX_PIXELS:
            rule = f"The photos of one request may have at most {upload_limits.pixels / 1e6:g} million pixels together."
            raise HTTPException(413, rule)
        remaining_pixels -= pixels if pixels <= MAX_PIXELS else 0  # larger photos are refused before decoding
        return await predictor.classify(photo.file, pixels, settings)

    results = []
    for photo in photos:
        try:
            prediction, saliency = await classify(photo)
        except (HTTPException, UnreadableImageError, UndefinedPredictionError) as error:
            if len(photos) == 1:
                raise
            prediction, saliency = ImagePrediction(Path(), error=error_message(error)), {}
        results.append((replace(prediction, source=photo.filename or "-"), saliency))
    return results


def _json_response(results: list[Result]) -> dict[str, Any]:
    """As schemas.OnePhoto or schemas.Photos, without the model."""
    records = []
    for prediction, saliency in results:
        record = image_predictions.record(prediction, len(prediction.predictions)) | saliency
        keys = ("answer", "not_sure", "predictions", "strangeness", "unlike", *saliency)
        records.append({"file": record["path"], "error": record["error"]} | {key: record[key] for key in keys})
    if len(records) > 1:
        return {"answers": records}
    return {key: value for key, value in records[0].items() if key not in {"file", "error"}}


def _csv_response(results: list[Result], top: int) -> Response:
    """As the file of `realwaste predict --csv`."""
    rows: list[list[Value]] = [[*image_predictions.csv_header(top)]]
    rows += [image_predictions.csv_row(prediction, top) for prediction, _ in results]
    return Response("".join(map(format_row, rows)).encode(ENCODING), media_type="text/csv")


def _prefers_csv(accept: str) -> bool:
    """Whether a header `Accept` gives text/csv a higher quality than application/json (RFC 9110, 12.5.1)."""
    qualities: dict[str, float] = {}
    for item in accept.lower().replace(" ", "").split(","):
        media_type, *parameters = item.split(";")
        quality = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        qualities[media_type] = float(quality) if re.fullmatch(r"[01](\.\d{0,3})?", quality) else 0.0
    csv, json = (
        next((qualities[name] for name in (f"{kind}/{subtype}", f"{kind}/*", "*/*") if name in qualities), 0.0)
        for kind, subtype in (("text", "csv"), ("application", "json"))
    )
    return csv > json


def error_message(error: Exception) -> str:
    """Why a photo has no prediction."""
    if isinstance(error, UnreadableImageError):
        return f"This photo cannot be read: {error}."
    if isinstance(error, StarletteHTTPException):
        return str(error.detail)
    return f"There is no prediction: {error}."


@asynccontextmanager
async def _uploaded_photos(request: Request, max_files: int) -> AsyncIterator[list[UploadFile]]:
    """The uploaded files in their order, open while the block runs; large ones are temporary files on disk.

    Raises:
        HTTPException: a form that is malformed or has too many files (400), or no file (422).
    """
    if not request.headers.get("content-type", "").lower().startswith(FORM_CONTENT_TYPE):
        with SpooledTemporaryFile(MultiPartParser.spool_max_size) as file:
            body = UploadFile(file, size=0)  # type: ignore[arg-type]  # like Starlette itself
            async for chunk in request.stream():
                await body.write(chunk)
            await body.seek(0)
            yield [body]
        return
    async with request.form(max_files=max_files, max_fields=8) as form:
        photos = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        if not photos:
            raise HTTPException(422, "The form must contain a file: curl -F file=@photo.jpg …")
        yield photos


async def _cancel_on_disconnect(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the client disconnects, since other clients wait for the model.

    Custom code, because neither Starlette nor FastAPI cancels a route whose client has disconnected.

    Args:
        request: its body has been read.

    Raises:
        ClientDisconnect: the client has disconnected.
    """

    async def wait_for_disconnect() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    work_task, disconnect_task = asyncio.create_task(work), asyncio.create_task(wait_for_disconnect())
    try:
        await asyncio.wait({work_task, disconnect_task}, return_when=asyncio.FIRST_COMPLETED)
        if not work_task.done():
            raise ClientDisconnect
        return work_task.result()
    finally:
        work_task.cancel()
        disconnect_task.cancel()
