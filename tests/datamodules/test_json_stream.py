import json

import pytest

from datamodules import json_stream
from datamodules.json_stream import entries

CONTENT = {
    "info": "a brace { and a ] in a text",
    "year": 2019,
    "images": [{"id": i, "text": 'said "x}"\\', "nested": [[1], [0]]} for i in range(5)],
    "annotations": [{"id": i, "segmentation": {"counts": [1, 2]}} for i in range(3)],
    "nothing": [],
    "named": {"a b": None, "c": 1.5},
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "some file.json"
    path.write_text(json.dumps(CONTENT))
    return path


@pytest.mark.parametrize("piece", [1, 3, 50, 1 << 20])
@pytest.mark.parametrize("indent", [None, 1])
def test_every_value_comes_with_what_leads_to_it_however_the_text_is_cut(file, monkeypatch, piece, indent):
    monkeypatch.setattr(json_stream, "PIECE", piece)
    file.write_text(json.dumps(CONTENT, indent=indent))
    wanted = [((key, i), value) for key in ("images", "annotations") for i, value in enumerate(CONTENT[key])]
    assert list(entries(file, 2)) == [*wanted, *((("named", key), value) for key, value in CONTENT["named"].items())]
    assert list(entries(file, 1)) == [((key,), value) for key, value in CONTENT.items()]


@pytest.mark.parametrize("text", ["", '{"a": [1, 2', '{"a": [1, 2]}]', "[[1]] 3", '{"a": [x]}', "3", '{"a": [1, 2}}'])
def test_what_is_no_json_is_refused_with_its_place(tmp_path, text):
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"broken\.json .* at or soon after .*unpack the file again"):
        list(entries(path, 2))
