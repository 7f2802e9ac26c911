"""A classifier for programs without Keras: as ONNX, LiteRT (formerly TensorFlow Lite) or TensorFlow's SavedModel.

Input `image`: RGB in 0..255, channels last, (batch, image_size, image_size, 3), in the dtype that the Keras model
takes: uint8 for the CNN, float32 for a backbone with its head. Outputs `probabilities`: float32 (batch, classes), and
`strangeness`: float32 (batch,), as of realwaste.models.novelty, where the model has a measure of it.
Preprocessing is inside. The batch is free in all three; a LiteRT interpreter starts at 1, and its signature runner
follows the input. What the numbers mean travels inside: ONNX metadata, `realwaste.json` in a zip archive behind the
LiteRT model (where TensorFlow Lite keeps label files too), `realwaste.json` in the SavedModel's folder.
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

from realwaste.models import feature_split, session
from realwaste.models.model_file import Classifier
from realwaste.models.novelty import UNLIKE
from realwaste.models import export_target
from realwaste.models.export_target import RECORD, Format, default_target
from realwaste.core.errors import UserError, first_line
from realwaste.core.files import replacing, write_json
from realwaste.core.log import logger

__all__ = ["Format", "default_target", "export"]
INPUT, OUTPUT, STRANGENESS = "image", "probabilities", "strangeness"
# Of each output. Usual are 1e-7; noise through unlucky random weights came to 1e-4, a wrong conversion is far off.
TOLERANCE = 1e-3
_LARGE = 1_000_000  # numbers in a kernel
Answers = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class _Kind:
    title: str
    packages: tuple[str, ...]
    write: Callable[[keras.Model, dict[str, Any], Path], None]
    answer: Callable[[Path, NDArray[Any]], Answers]


def export(classifier: Classifier, format: Format, target: Path) -> Path:  # noqa: A002 - keras.Model.export calls it so
    """Write `target` and return it; an earlier export there is replaced.

    The file must answer two noise pictures as Keras does, by its format's own runtime, before it takes its place.

    Raises:
        UserError: a package is missing; `target` has another format's suffix, or is something else than an earlier
            export; the format has no operation for something in the model; the export answers otherwise than it.
    """
    kind = _KINDS[format]
    _check_packages(kind)
    export_target.check(format, target)
    named = _named(classifier)
    image = named.inputs[0]
    with replacing(target.resolve(), partial(export_target.may_replace, format)) as temporary, _quiet():
        pixels = np.random.default_rng(0).integers(0, 256, (2, *image.shape[1:])).astype(image.dtype)
        try:
            kind.write(named, _record(classifier, image.dtype), temporary)
            found = kind.answer(temporary, pixels)
        except Exception as error:  # Converters and runtimes each have errors of their own, some plain RuntimeErrors.
            if (no_room := os.strerror(errno.ENOSPC)) in str(error):
                raise OSError(errno.ENOSPC, no_room, str(target)) from error
            if isinstance(error, (OSError, MemoryError, tf.errors.ResourceExhaustedError)):
                raise  # not the format's fault
            raise _unfit(kind, first_line(error)) from error
        _check_answers(kind, found, named.predict_on_batch(pixels))
    if classifier.facts.precision != "float32":
        off = np.max(np.abs(found[OUTPUT] - session.of(classifier)(pixels.astype(np.uint8))[0]))
        logger.info("tested in %s, exported in float32: probabilities %.2g apart", classifier.facts.precision, off)
    return target


def _named(classifier: Classifier) -> keras.Model:
    """The model with its outputs by the names that Keras gives the tensors of each format."""
    model, known = classifier.model, classifier.novelty
    if known is None:
        return keras.Model(model.inputs, {OUTPUT: model.outputs[0]})
    seen = feature_split.observed(model)
    answers, found = seen.outputs
    return keras.Model(seen.inputs, {OUTPUT: answers, STRANGENESS: feature_split.strangeness(known, found)})


def _record(classifier: Classifier, dtype: str) -> dict[str, Any]:
    facts, known = classifier.facts, classifier.novelty
    side = facts.image_size
    record = asdict(facts) | {"input": f"RGB, 0 to 255, {dtype} (batch, {side}, {side}, 3)"}
    if known is not None:
        record |= {"strangeness_threshold": known.threshold, "above_threshold": UNLIKE}
    caution = facts.caution()
    return record if caution is None else record | {"caution": caution}


def _check_packages(kind: _Kind) -> None:
    missing = [package for package in kind.packages if importlib.util.find_spec(package) is None]
    if missing:
        raise UserError(
            f"To export as {kind.title}, {' and '.join(kind.packages)} must be installed.",
            "Run `make setup-dev`, or pip install '.[export]', in the checkout.",
            f"no {', '.join(missing)}",
        )


def _check_answers(kind: _Kind, found: Answers, expected: Answers) -> None:
    for name, own in expected.items():
        # A network that diverged answers NaN here and there.
        if not np.allclose(found[name], own, rtol=0, atol=TOLERANCE, equal_nan=True):
            raise _unfit(kind, f"a difference of {np.max(np.abs(found[name] - own)):.2g} in {name}")


def _unfit(kind: _Kind, what: str) -> UserError:
    rule = f"As {kind.title} the model must run, and give the Keras model's answers to {TOLERANCE:g}."
    return UserError(rule, "Use another format: this one's converter cannot do all of the model's layers.", what)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without TensorFlow's warnings of functions that tf2onnx still calls, and tf2onnx' list of what it cannot do."""
    levels = {one: one.level for one in map(logging.getLogger, ("tensorflow", "tf2onnx"))}
    for one in levels:
        one.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for one, level in levels.items():
            one.setLevel(level)


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
    """Frozen first: else tf2onnx, and Keras' own ONNX export, make inputs of the constants in preprocessing.

    But for large kernels of dense layers, which are inputs until the graph is converted: tf2onnx copies what is in the
    graph in each of its two dozen passes, 45 s and 9.5 GB for the report's CNN. They are put in afterwards as they are.
    """
    import onnx  # noqa: PLC0415 - optional
    import tf2onnx  # noqa: PLC0415 - optional
    from tensorflow.python.framework import convert_to_constants  # noqa: PLC0415 - no public name; tf2onnx uses it too

    image, outputs = model.inputs[0], sorted(model.output)
    kernels = [weight for weight in model.weights if len(weight.shape) == 2 and np.prod(weight.shape) > _LARGE]

    def serve(pixels: tf.Tensor, *values: tf.Tensor) -> list[tf.Tensor]:
        with keras.StatelessScope(list(zip(kernels, values, strict=True))):
            return [tensor for _, tensor in sorted(model(pixels, training=False).items())]

    signature = [tf.TensorSpec(image.shape, image.dtype, INPUT)]
    signature += [tf.TensorSpec(kernel.shape, kernel.dtype, f"kernel_{n}") for n, kernel in enumerate(kernels)]
    traced = tf.function(serve, input_signature=signature, autograph=False).get_concrete_function()
    frozen = convert_to_constants.convert_variables_to_constants_v2(traced)
    names = [tensor.name for tensor in frozen.inputs]
    outside = [tensor.name for tensor in frozen.outputs]
    proto, _ = tf2onnx.convert.from_graph_def(
        frozen.graph.as_graph_def(),
        name=record["name"],
        input_names=names,
        output_names=outside,
        tensors_to_rename={names[0]: INPUT} | dict(zip(outside, outputs, strict=True)),
    )
    proto.graph.initializer.extend(map(onnx.numpy_helper.from_array, map(np.asarray, kernels), names[1:]))
    for end in [end for end in proto.graph.input if end.name != INPUT]:
        proto.graph.input.remove(end)
    for end in (proto.graph.input[0], *proto.graph.output):
        end.type.tensor_type.shape.dim[0].dim_param = "batch"
    # Metadata values are text.
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in record.items()}
    onnx.helper.set_model_props(proto, texts)
    onnx.checker.check_model(proto)
    onnx.save(proto, path)


def _answer_of_saved_model(folder: Path, pixels: NDArray[Any]) -> Answers:
    said = tf.saved_model.load(folder).signatures["serving_default"](**{INPUT: tf.constant(pixels)})
    return {name: tensor.numpy() for name, tensor in said.items()}


def _answer_of_litert(path: Path, pixels: NDArray[Any]) -> Answers:
    from ai_edge_litert import interpreter  # noqa: PLC0415 - optional

    # The default delegate announces itself on standard error.
    plain = interpreter.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    runner = interpreter.Interpreter(str(path), experimental_op_resolver_type=plain).get_signature_runner()
    return dict(runner(**{INPUT: pixels}))


def _answer_of_onnx(path: Path, pixels: NDArray[Any]) -> Answers:
    import onnxruntime  # noqa: PLC0415 - optional

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [end.name for end in session.get_outputs()]
    return dict(zip(names, session.run(names, {INPUT: pixels}), strict=True))


_KINDS: dict[Format, _Kind] = {
    "onnx": _Kind("ONNX", ("onnx", "tf2onnx", "onnxruntime"), _write_onnx, _answer_of_onnx),
    "litert": _Kind("LiteRT", ("ai_edge_litert",), _write_litert, _answer_of_litert),
    "saved_model": _Kind("SavedModel", (), _write_saved_model, _answer_of_saved_model),
}
