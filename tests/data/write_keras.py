"""Write the files of Keras and QKeras that tests/workload/test_keras.py reads.

    KERAS_BACKEND=torch python tests/data/write_keras.py 3
    TF_USE_LEGACY_KERAS=1 python tests/data/write_keras.py 2   # tf_keras and qkeras

Archives hold the configuration alone; ``counts_N.json`` what Keras counts of each model.
"""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent / "keras"
EXAMPLES = Path(__file__).parent.parent.parent / "examples"
COUNTS: dict[str, int] = {}


def write(name: str, model: Any, packed: bool = False) -> None:
    """Keep a model's configuration; Lambdas lose their code."""
    COUNTS[name] = model.count_params()
    data = json.loads(model.to_json())
    text = json.dumps(stripped(data), separators=(",", ":"))
    if not packed:
        folder = EXAMPLES if name == "jet_tagger_qkeras" else HERE
        (folder / f"{name}.json").write_text(text + "\n")
        return
    with zipfile.ZipFile(HERE / f"{name}.keras", "w") as made:
        made.writestr(
            zipfile.ZipInfo("config.json"),
            text,
            compress_type=zipfile.ZIP_DEFLATED,
            compresslevel=9,
        )


def stripped(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            k: "" if k in {"function", "code"} and isinstance(v, list | dict) else stripped(v)
            for k, v in value.items()
        }
    return [stripped(v) for v in value] if isinstance(value, list) else value


def shared(keras: Any, version: str) -> None:
    """Write what both generations have."""
    layers: Any = keras.layers
    ids = layers.Input((None,), dtype="int32", name="ids")
    e = layers.Embedding(1000, 32)(ids)
    a = layers.MultiHeadAttention(4, 8)(e, value=e, key=e)
    h = layers.LayerNormalization()(layers.Add()([a, e]))
    b = layers.Bidirectional(layers.LSTM(16, return_sequences=True))(h)
    g = layers.GRU(12, return_sequences=True)(b)
    s = layers.SimpleRNN(5)(layers.TimeDistributed(layers.Dense(7))(g))
    write(f"sequence_{version}", keras.Model(ids, layers.Dense(2)(s)))
    tower = keras.Sequential(
        [layers.Input((8,)), layers.Dense(4, activation="relu"), layers.Dense(3)], name="tower"
    )
    one, two = layers.Input((8,)), layers.Input((8,))
    both = layers.Subtract()([tower(one), tower(two)])
    write(f"siamese_{version}", keras.Model([one, two], layers.Dense(1)(both)))
    x = layers.Input((10,))
    doubled = layers.Lambda(lambda v: v * 2, output_shape=(10,), name="doubled")(x)
    write(f"lambda_{version}", keras.Model(x, layers.Dense(3)(doubled)))


def generation_3() -> None:
    import keras

    layers = keras.layers
    for name in ("MobileNetV2", "ResNet50", "DenseNet121", "InceptionV3", "ConvNeXtTiny"):
        write(f"{name}_3", getattr(keras.applications, name)(weights=None), packed=True)
    image = layers.Input((64, 64, 3), name="image")
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(image)
    x = layers.ZeroPadding2D(((1, 0), (2, 1)))(layers.SeparableConv2D(16, 3, strides=2)(x))
    x = layers.Cropping2D(3)(layers.UpSampling2D()(x))
    x = layers.Conv2DTranspose(4, 3, strides=2, padding="same")(x)
    y = layers.LayerNormalization()(layers.DepthwiseConv2D(3, depth_multiplier=2)(x))
    y = layers.GroupNormalization(4)(layers.PReLU(shared_axes=[1, 2])(y))
    flat = layers.Flatten()(layers.MaxPooling2D(7)(y))
    outputs = [layers.Dense(10, activation="softmax")(flat), layers.GlobalAveragePooling2D()(y)]
    model = keras.Model(image, outputs)
    write("assorted_3", model)
    COUNTS["assorted_3 shapes"] = [list(o.shape) for o in model.outputs]  # type: ignore[assignment]
    shared(keras, "3")


def generation_2() -> None:
    import qkeras as q
    import tf_keras as keras

    layers = keras.layers
    for name in ("MobileNet", "MobileNetV2"):
        write(f"{name}_2", getattr(keras.applications, name)(weights=None), packed=True)
    shared(keras, "2")
    features = x = layers.Input((16,), name="features")
    six = {n: q.quantized_bits(6, 0, alpha=1) for n in ("kernel_quantizer", "bias_quantizer")}
    for i, width in enumerate((64, 32, 32)):
        x = q.QDense(width, name=f"fc{i + 1}", **six)(x)
        x = q.QActivation(q.quantized_relu(6), name=f"relu{i + 1}")(x)
    text = dict.fromkeys(six, "quantized_bits(6,0,alpha=1)")
    x = layers.Activation("softmax", name="classes")(q.QDense(5, name="fc4", **text)(x))
    write("jet_tagger_qkeras", keras.Model(features, x))
    image = x = layers.Input((32, 32, 3), name="image")
    x = q.QConv2D(
        16, 3, kernel_quantizer="ternary", bias_quantizer=q.quantized_bits(10, 2), name="conv"
    )(x)
    x = q.QActivation("quantized_relu(3,1)", name="relu")(q.QBatchNormalization(name="norm")(x))
    x = q.QDepthwiseConv2D(3, depthwise_quantizer="binary", name="depthwise")(x)
    x = layers.Flatten()(layers.MaxPooling2D()(q.QActivation("quantized_tanh(4)", name="tanh")(x)))
    x = q.QDense(
        10,
        kernel_quantizer=q.quantized_po2(4),
        bias_quantizer=None,
        name="dense",
        activation="quantized_bits(8,4)",
    )(x)
    write("mixed_qkeras", keras.Model(image, x))


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    which = sys.argv[1]
    generation_3() if which == "3" else generation_2()
    (HERE / f"counts_{which}.json").write_text(json.dumps(COUNTS, indent=1) + "\n")
