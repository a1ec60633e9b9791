import copy
import json
import pickle
import resource

import numpy as np
import pytest

from datamodules import json_arrays
from datamodules.json_arrays import JsonArray, parse


def written(path, value):
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def whole(path, shape):
    return np.concatenate(list(parse(path, shape)))


@pytest.mark.parametrize("shape", [(), (3,), (1, 61), (3, 3), (21, 3)])
@pytest.mark.parametrize("piece", [7, 100, 1 << 20])
def test_a_list_is_what_json_reads_however_it_is_cut(shape, piece, tmp_path, monkeypatch):
    monkeypatch.setattr(json_arrays, "_PIECE", piece)
    values = np.random.default_rng(0).normal(size=(5, *shape)).tolist()
    values[0] = np.full(shape, -1.5e-7).tolist()
    path = written(tmp_path / "a.json", values)
    np.testing.assert_array_equal(whole(path, shape), np.array(json.loads(path.read_text()), np.float32))


def test_white_space_and_line_ends_do_not_matter(tmp_path):
    path = written(tmp_path / "a.json", json.dumps([[1, 2], [3, 4]], indent=2).replace("\n", "\r\n"))
    np.testing.assert_array_equal(whole(path, (2,)), [[1, 2], [3, 4]])


BROKEN = {
    "nothing": ("", (3,)),
    "cut in a number": ("[[1, 2, 3], [4, 5", (3,)),
    "cut after a sample": ("[[1, 2, 3], [4, 5, 6]", (3,)),
    "cut after a comma": ("[[1, 2, 3], ", (3,)),
    "not a number": ("[[1, 2, 3], [4, NaN, 6]]", (3,)),
    "html": ("<html>403</html>", (3,)),
    "a dictionary": ('{"a": [1, 2, 3]}', (3,)),
    "a sample too long": ("[[1, 2, 3], [4, 5, 6, 7], [1, 2, 3]]", (3,)),
    "a sample too short": ("[[1, 2, 3], [4, 5], [1, 2, 3]]", (3,)),
    "too few rows": ("[[[1, 2], [3, 4]], [[1, 2]]]", (2, 2)),
    "wrong nesting": ("[[1, 2], [3, 4]]", (1, 2)),
    "nested scalars": ("[[1], [2]]", ()),
    "cut scalars": ("[1, 2", ()),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused_by_name(name, tmp_path):
    text, shape = BROKEN[name]
    path = written(tmp_path / "training_xyz.json", text)
    with pytest.raises(ValueError, match=r"training_xyz\.json .* Copy or unpack the file again"):
        whole(path, shape)


def test_the_error_says_about_where(tmp_path):
    path = written(tmp_path / "a.json", [[1, 2, 3]] * 100 + [[[1, 2, 3]]] + [[1, 2, 3]] * 100)
    with pytest.raises(ValueError, match="entry 100"):
        whole(path, (3,))


def test_the_second_reader_parses_nothing(tmp_path, monkeypatch):
    path = written(tmp_path / "a.json", [1.0, 2.0])
    assert JsonArray(path, ()).array.tolist() == [1, 2]
    monkeypatch.setattr(json_arrays, "parse", None)
    again = JsonArray(path, ()).array
    assert again.tolist() == [1, 2]
    assert isinstance(again, np.memmap)


def test_a_changed_file_is_parsed_again_and_the_old_copy_goes(tmp_path):
    path, cache = written(tmp_path / "a.json", [1.0, 2.0]), tmp_path / "cache"
    assert len(JsonArray(path, (), cache)) == 2
    written(path, [1.0, 2.0, 3.0])
    assert len(JsonArray(path, (), cache)) == 3
    assert len(list(cache.iterdir())) == 1


def test_a_copy_that_another_process_has_just_finished_stays(tmp_path, monkeypatch):
    path, cache = written(tmp_path / "a.json", [1.0, 2.0]), tmp_path / "cache"
    assert len(JsonArray(path, (), cache)) == 2
    (kept,) = cache.iterdir()
    looked, parsed = [], []

    def is_file(self):
        looked.append(self)
        return len(looked) > 1 and self.exists()  # it was not there yet when this process looked

    monkeypatch.setattr(type(kept), "is_file", is_file)
    monkeypatch.setattr(JsonArray, "_convert", lambda self, file, size: parsed.append(file))
    assert len(JsonArray(path, (), cache)) == 2
    assert parsed == [kept]


def test_a_failed_parse_leaves_nothing_behind(tmp_path):
    path, cache = written(tmp_path / "a.json", "[[1, 2], [3"), tmp_path / "cache"
    with pytest.raises(ValueError, match="ends early"):
        JsonArray(path, (2,), cache).array  # noqa: B018
    assert not list(cache.iterdir())


def test_no_room_for_the_copy_names_the_option(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")
        yield

    monkeypatch.setattr(json_arrays, "parse", full)
    with pytest.raises(OSError, match=r"--data\.cache"):
        JsonArray(written(tmp_path / "a.json", [1]), (), tmp_path / "cache").array  # noqa: B018


def test_a_worker_gets_the_path_and_not_the_numbers(tmp_path):
    array = JsonArray(written(tmp_path / "a.json", np.zeros((1000, 3)).tolist()), (3,), tmp_path)
    assert len(array) == 1000
    assert len(pickle.dumps(array)) < 500
    np.testing.assert_array_equal(copy.deepcopy(array).array, array.array)


@pytest.mark.slow
def test_memory_stays_bounded_on_a_gigabyte(tmp_path):
    entry = json.dumps(np.random.default_rng(0).normal(size=(778, 3)).tolist())
    with (tmp_path / "big.json").open("w") as file:
        file.write("[" + entry)
        for _ in range(20_000):
            file.write("," + entry)
        file.write("]")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert len(JsonArray(tmp_path / "big.json", (778, 3), tmp_path)) == 20_001
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kilobytes
