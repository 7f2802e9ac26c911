"""A Keras model as a network of OpenVINO."""

import keras
import tensorflow as tf

from realwaste.runtime.openvino_import import openvino


def converted(model: keras.Model) -> openvino.Model:
    """`model`, one input and one output, with its weights as they are now; the batch is left open.

    Pictures, inputs of four dimensions, are taken as uint8, whatever the model takes.
    """
    image = model.inputs[0]
    traced = tf.function(lambda inputs: model(inputs, training=False), autograph=False)
    graph = traced.get_concrete_function(tf.TensorSpec(image.shape, image.dtype))
    # Weights of its own: shared ones are TensorFlow's memory, which others write to once `graph` has gone.
    made = openvino.convert_model(graph, share_weights=False)
    if len(image.shape) != 4:
        return made
    taking = openvino.preprocess.PrePostProcessor(made)
    taking.input().tensor().set_element_type(openvino.Type.u8)
    return taking.build()
