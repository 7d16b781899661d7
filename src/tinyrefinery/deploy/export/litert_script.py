"""Convert an ONNX file to LiteRT, in the tool environment: it has no torch and no tinyrefinery.

Run as `python litert_script.py JOB`, where JOB is a JSON file:

    onnx           ONNX file to convert, for one image (1, C, H, W); or
    float          LiteRT file to quantize, and
    calibration    .npy file of its inputs (N, H, W, C) float32
    out            LiteRT file to write
    metadata       text of the entry in the metadata
    entry          name of that entry
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np


def convert(onnx_file: str) -> bytes:
    """The float LiteRT file of an ONNX file, with images (1, H, W, C)."""
    import onnx2tf  # pyright: ignore[reportMissingImports]

    with TemporaryDirectory() as folder:
        onnx2tf.convert(
            input_onnx_file_path=onnx_file,
            output_folder_path=folder,
            copy_onnx_input_output_names_to_tflite=True,
            non_verbose=True,
        )
        (file,) = Path(folder).glob("*float32.tflite")
        return file.read_bytes()


def quantize(float_file: str, calibration: str) -> bytes:
    """The int8 LiteRT file of a float one: static, per channel, ranges by minimum and maximum."""
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import quantizer, recipe  # pyright: ignore[reportMissingImports]

    name, signature = next(iter(Interpreter(float_file).get_signature_list().items()))
    images = np.load(calibration)
    inputs = [{signature["inputs"][0]: image[None]} for image in images]
    work = quantizer.Quantizer(float_file, recipe.static_wi8_ai8())
    return bytes(work.quantize(work.calibrate({name: inputs})).quantized_model)


def with_metadata(content: bytes, entry: str, text: str) -> bytes:
    """A LiteRT file with an entry in its metadata."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model: Any = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    for held in model.buffers:  # large files keep weights behind the FlatBuffer
        if held.offset > 1:
            held.data = np.frombuffer(content, np.uint8, held.size, held.offset)
            held.offset = held.size = 0
    buffer: Any = schema.BufferT()
    buffer.data = np.frombuffer(text.encode(), np.uint8)
    model.buffers.append(buffer)
    named: Any = schema.MetadataT()
    named.name, named.buffer = entry.encode(), len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), named]
    builder = flatbuffers.Builder(len(content) + len(text) + 1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def main() -> None:
    """Do the job that the command line names."""
    job = json.loads(Path(sys.argv[1]).read_text())
    content = convert(job["onnx"]) if "onnx" in job else quantize(job["float"], job["calibration"])
    Path(job["out"]).write_bytes(with_metadata(content, job["entry"], job["metadata"]))


if __name__ == "__main__":
    main()
