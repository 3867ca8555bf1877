"""The reader of CTranslate2's files: what it reads, and what it refuses."""

import struct

import numpy as np
import pytest

pytest.importorskip("torch")


def written(arrays, *, version=6):
    def text(word):
        return struct.pack("<H", len(word) + 1) + word.encode() + b"\0"

    kinds = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}
    data = struct.pack("<I", version) + text("WhisperSpec") + struct.pack("<II", 3, len(arrays))
    for name, array in arrays.items():
        data += text(name) + struct.pack("<B", array.ndim) + struct.pack(f"<{array.ndim}I", *array.shape)
        data += struct.pack("<BI", kinds[array.dtype.name], array.nbytes) + array.tobytes()
    return data


ARRAYS = {
    "layer_0/weight": np.arange(6, dtype=np.float16).reshape(2, 3),
    "layer_0/bias": np.array([1.5, -2.0], np.float32),
    "num_heads": np.array(6, np.int16),
}


def test_every_array_comes_back(tmp_path):
    from fixtures.originals.ctranslate2 import read

    (tmp_path / "model.bin").write_bytes(written(ARRAYS))
    found = read(tmp_path / "model.bin")
    assert found.keys() == ARRAYS.keys()
    assert all(
        np.array_equal(found[name], array) and found[name].dtype == array.dtype for name, array in ARRAYS.items()
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (written(ARRAYS, version=5), "is of binary version 5, and 6 is read here"),
        (written(ARRAYS)[:-1], "is cut off: 2 bytes are wanted at"),
        (b"", "is cut off: 4 bytes are wanted at 0, and 0 are left"),
    ],
)
def test_what_is_no_such_file_is_refused(data, message, tmp_path):
    from fixtures.originals.ctranslate2 import read

    (tmp_path / "model.bin").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read(tmp_path / "model.bin")


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    pytest.importorskip("whisper", reason="needs openai-whisper 20250625, which is not installed")
    from fixtures.originals.whisper_openai import tiny
    from harness.errors import MappingError

    (tmp_path / "model.bin").write_bytes(written(ARRAYS))
    with pytest.raises(MappingError, match="no rule takes 'layer_0/weight'"):
        tiny(tmp_path)
