"""Export a classifier to ONNX, LiteRT (formerly TensorFlow Lite) or TensorFlow's SavedModel.

Input `image`: RGB in 0..255, channels last, (batch, image_size, image_size, 3), in the dtype that the Keras model
takes: uint8 for the CNN, float32 for a backbone with its head. Outputs: `probabilities`, float32 (batch, classes), and,
if the model has novelty detection, `strangeness`: the novelty score, float32 (batch,). Preprocessing is inside, and the
temperature that calibrates the probabilities.

The batch size is free in all formats; a LiteRT interpreter starts with 1, and its signature runner follows the input.
Classes, calibration and other facts are stored in ONNX metadata, in `realwaste.json` in a zip archive appended to the
LiteRT model (as TensorFlow Lite stores label files), or in `realwaste.json` in the SavedModel's folder.
"""

import errno
import importlib.util
import json
import logging
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from realwaste.core.errors import UserError, first_line
from realwaste.core.files import atomic_replace, write_json
from realwaste.core.log import logger
from realwaste.models import export_target, feature_split, session
from realwaste.models.export_target import RECORD, Format, default_target
from realwaste.models.model_file import Classifier
from realwaste.models.novelty import UNLIKE
from realwaste.models.probabilities import MIN_PROBABILITY, apply_temperature

__all__ = ["Format", "default_target", "export"]
INPUT, OUTPUT, STRANGENESS = "image", "probabilities", "strangeness"
# Of each output. Differences are usually 1e-7, and up to 1e-4 with random weights; a wrong conversion is far off.
TOLERANCE = 1e-3
_LARGE_KERNEL = 1_000_000  # numbers
Outputs = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class _Exporter:
    format_name: str
    packages: tuple[str, ...]
    write: Callable[[keras.Model, dict[str, Any], Path], None]
    run: Callable[[Path, NDArray[Any]], Outputs]


def export(classifier: Classifier, format: Format, target: Path, *, raw: bool = False) -> Path:  # noqa: A002
    """Write `target` and return it; an earlier export there is replaced.

    Before that, the export is run on two noise images by its format's runtime, and must give the outputs of Keras.

    Args:
        raw: leave out the temperature.

    Raises:
        UserError: a package is missing; `target` has another format's suffix, or exists and is not an earlier export;
            the format cannot express a layer of the model; the outputs differ from the Keras model's.
    """
    exporter = _EXPORTERS[format]
    _check_packages(exporter)
    export_target.check(format, target)
    temperature = 1.0 if raw else classifier.metadata.temperature
    model = _with_named_outputs(classifier, temperature)
    image = model.inputs[0]
    with atomic_replace(target.resolve(), partial(export_target.may_replace, format)) as temporary, _quiet():
        pixels = np.random.default_rng(0).integers(0, 256, (2, *image.shape[1:])).astype(image.dtype)
        try:
            exporter.write(model, _record(classifier, image.dtype, temperature), temporary)
            outputs = exporter.run(temporary, pixels)
        except Exception as error:  # Converters and runtimes raise many types, some plain RuntimeErrors.
            if (disk_full := os.strerror(errno.ENOSPC)) in str(error):
                raise OSError(errno.ENOSPC, disk_full, str(target)) from error
            if isinstance(error, (OSError, MemoryError, tf.errors.ResourceExhaustedError)):
                raise  # not the format's fault
            raise _cannot_export(exporter, first_line(error)) from error
        _check_outputs(exporter, outputs, model.predict_on_batch(pixels))
    if (precision := classifier.metadata.precision) != "float32":
        tested, _ = session.from_classifier(classifier)(pixels.astype(np.uint8))
        difference = np.max(np.abs(outputs[OUTPUT] - apply_temperature(tested, temperature)))
        logger.info("tested in %s, exported in float32: probabilities differ by up to %.2g", precision, difference)
    return target


def _with_named_outputs(classifier: Classifier, temperature: float) -> keras.Model:
    """The model with a dictionary of outputs; Keras uses its keys as tensor names in every format."""
    model, novelty = classifier.model, classifier.novelty
    if novelty is None:
        return keras.Model(model.inputs, {OUTPUT: _calibrate(model.outputs[0], temperature)})
    network = feature_split.with_features(model)
    probabilities, features = network.outputs
    scores = feature_split.novelty_scores(novelty, features)
    return keras.Model(network.inputs, {OUTPUT: _calibrate(probabilities, temperature), STRANGENESS: scores})


def _calibrate(probabilities: keras.KerasTensor, temperature: float) -> keras.KerasTensor:
    """probabilities.apply_temperature as Keras operations."""
    if temperature == 1:
        return probabilities
    return keras.ops.softmax(keras.ops.log(keras.ops.clip(probabilities, MIN_PROBABILITY, 1.0)) / temperature)


def _record(classifier: Classifier, dtype: str, temperature: float) -> dict[str, Any]:
    metadata, novelty, side = classifier.metadata, classifier.novelty, classifier.metadata.image_size
    # `temperature` is what a program still has to apply, as in exports of earlier versions, which had none inside.
    record = asdict(metadata) | {"temperature": metadata.temperature / temperature, "applied_temperature": temperature}
    record |= {"input": f"RGB, 0 to 255, {dtype} (batch, {side}, {side}, 3)"}
    if novelty is not None:
        record |= {"strangeness_threshold": novelty.threshold, "above_threshold": UNLIKE}
    caution = metadata.caution()
    return record if caution is None else record | {"caution": caution}


def _check_packages(exporter: _Exporter) -> None:
    missing = [package for package in exporter.packages if importlib.util.find_spec(package) is None]
    if missing:
        raise UserError(
            f"To export as {exporter.format_name}, {' and '.join(exporter.packages)} must be installed.",
            "Run `make setup-dev`, or pip install '.[export]', in the checkout.",
            f"no {', '.join(missing)}",
        )


def _check_outputs(exporter: _Exporter, outputs: Outputs, expected: Outputs) -> None:
    for name, values in expected.items():
        # A network that diverged gives NaN in both.
        if not np.allclose(outputs[name], values, rtol=0, atol=TOLERANCE, equal_nan=True):
            raise _cannot_export(exporter, f"a difference of {np.max(np.abs(outputs[name] - values)):.2g} in {name}")


def _cannot_export(exporter: _Exporter, reason: str) -> UserError:
    rule = f"The {exporter.format_name} export must run and reproduce the outputs of Keras to within {TOLERANCE:g}."
    return UserError(rule, "Use another format: the converter of this one does not support all layers.", reason)


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress TensorFlow's deprecation warnings about tf2onnx and tf2onnx' list of unsupported operations."""
    levels = {log: log.level for log in map(logging.getLogger, ("tensorflow", "tf2onnx"))}
    for log in levels:
        log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for log, level in levels.items():
            log.setLevel(level)


def _signature(model: keras.Model) -> list[keras.InputSpec]:
    image = model.inputs[0]
    return [keras.InputSpec(dtype=image.dtype, shape=image.shape, name=INPUT)]


def _write_saved_model(model: keras.Model, record: dict[str, Any], folder: Path) -> None:
    model.export(folder, format="tf_saved_model", verbose=False, input_signature=_signature(model))
    write_json(folder / RECORD, record)


def _write_litert(model: keras.Model, record: dict[str, Any], path: Path) -> None:
    model.export(path, format="litert", verbose=False, input_signature=_signature(model))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(RECORD, json.dumps(record, ensure_ascii=False, indent=2))


def _write_onnx(model: keras.Model, record: dict[str, Any], path: Path) -> None:
    """Freeze the graph and convert it with tf2onnx.

    Without freezing, tf2onnx and Keras' ONNX export turn the constants of preprocessing into inputs. Large kernels of
    dense layers are inputs during the conversion and are inserted afterwards: tf2onnx copies everything in the graph in
    each of its two dozen passes, which took 45 s and 9.5 GB for the report's CNN.
    """
    import onnx  # noqa: PLC0415 - optional
    import tf2onnx  # noqa: PLC0415 - optional
    from tensorflow.python.framework import convert_to_constants  # noqa: PLC0415 - no public name; tf2onnx uses it too

    image, outputs = model.inputs[0], sorted(model.output)
    kernels = [weight for weight in model.weights if len(weight.shape) == 2 and np.prod(weight.shape) > _LARGE_KERNEL]

    def predict(pixels: tf.Tensor, *values: tf.Tensor) -> list[tf.Tensor]:
        with keras.StatelessScope(list(zip(kernels, values, strict=True))):
            return [tensor for _, tensor in sorted(model(pixels, training=False).items())]

    signature = [tf.TensorSpec(image.shape, image.dtype, INPUT)]
    signature += [tf.TensorSpec(kernel.shape, kernel.dtype, f"kernel_{n}") for n, kernel in enumerate(kernels)]
    traced = tf.function(predict, input_signature=signature, autograph=False).get_concrete_function()
    frozen = convert_to_constants.convert_variables_to_constants_v2(traced)
    input_names = [tensor.name for tensor in frozen.inputs]
    output_names = [tensor.name for tensor in frozen.outputs]
    proto, _ = tf2onnx.convert.from_graph_def(
        frozen.graph.as_graph_def(),
        name=record["name"],
        input_names=input_names,
        output_names=output_names,
        tensors_to_rename={input_names[0]: INPUT} | dict(zip(output_names, outputs, strict=True)),
    )
    proto.graph.initializer.extend(map(onnx.numpy_helper.from_array, map(np.asarray, kernels), input_names[1:]))
    for kernel_input in [tensor for tensor in proto.graph.input if tensor.name != INPUT]:
        proto.graph.input.remove(kernel_input)
    for tensor in (proto.graph.input[0], *proto.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_param = "batch"
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in record.items()}
    onnx.helper.set_model_props(proto, texts)
    onnx.checker.check_model(proto)
    onnx.save(proto, path)


def _run_saved_model(folder: Path, pixels: NDArray[Any]) -> Outputs:
    outputs = tf.saved_model.load(folder).signatures["serving_default"](**{INPUT: tf.constant(pixels)})
    return {name: tensor.numpy() for name, tensor in outputs.items()}


def _run_litert(path: Path, pixels: NDArray[Any]) -> Outputs:
    from ai_edge_litert import interpreter  # noqa: PLC0415 - optional

    # The default delegate writes a line to standard error.
    resolver = interpreter.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    runner = interpreter.Interpreter(str(path), experimental_op_resolver_type=resolver).get_signature_runner()
    return dict(runner(**{INPUT: pixels}))


def _run_onnx(path: Path, pixels: NDArray[Any]) -> Outputs:
    import onnxruntime  # noqa: PLC0415 - optional

    onnx_session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in onnx_session.get_outputs()]
    return dict(zip(names, onnx_session.run(names, {INPUT: pixels}), strict=True))


_EXPORTERS: dict[Format, _Exporter] = {
    "onnx": _Exporter("ONNX", ("onnx", "tf2onnx", "onnxruntime"), _write_onnx, _run_onnx),
    "litert": _Exporter("LiteRT", ("ai_edge_litert",), _write_litert, _run_litert),
    "saved_model": _Exporter("SavedModel", (), _write_saved_model, _run_saved_model),
}
