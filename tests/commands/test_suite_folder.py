from zoo.commands.suite_folder import fingerprint


def test_what_a_file_or_a_folder_holds_is_told_apart(tmp_path):
    one, weights = tmp_path / "set" / "a.jpg", tmp_path / "weights" / "model.safetensors"
    for path in (one, weights):
        path.parent.mkdir()
        path.write_text("abc")
    before = [fingerprint(path) for path in (one.parent, weights.parent, weights)]
    assert before[1] == before[2]
    assert fingerprint(None) is None
    (one.parent / "b.jpg").write_text("")
    weights.write_text("abd")
    after = [fingerprint(path) for path in (one.parent, weights.parent, weights)]
    assert all(x != y for x, y in zip(before, after, strict=True))
