import json
from importlib import import_module

import pytest
import yaml
from toys import Leap, Stroll, Toy

import zoo
from zoo import registry


def words(*argv):
    return registry.resolve(list(argv))


def test_a_name_is_a_file(toy_zoo):
    assert zoo.names() == ["toy"]
    assert zoo.names("data") == ["openhand", "other"]
    assert yaml.safe_load(registry.find("model", "toy").read_text())["class_path"] == "toys.Toy"


def test_names_become_files_in_front_of_everything_else(toy_zoo):
    resolved = words("fit", "--trainer.max_steps", "3", "--model=toy", "--data", "other", "--model.width", "5")
    files = [str(toy_zoo / "model" / "toy.yaml"), str(toy_zoo / "data" / "other.yaml")]
    assert resolved == [
        "fit", f"--model={files[0]}", f"--data={files[1]}", "--trainer.max_steps", "3", "--model.width", "5"
    ]  # fmt: skip


def test_data_is_openhand_unless_given(toy_zoo):
    assert words("fit", "--model", "toy")[2].endswith("openhand.yaml")


def test_run_defaults_of_a_model_come_first(toy_zoo):
    (toy_zoo / "model" / "runs").mkdir()
    (toy_zoo / "model" / "runs" / "toy.yaml").write_text("trainer: {max_steps: 7}")
    assert words("fit", "--model", "toy")[1] == f"--config={toy_zoo / 'model' / 'runs' / 'toy.yaml'}"


def test_what_a_config_says_is_not_asked_for_again(toy_zoo, tmp_path):
    config = tmp_path / "run.yaml"
    config.write_text("model: {class_path: toys.Toy}\ndata: {class_path: toys.ToyData}\n")
    assert words("fit", "--config", str(config)) == ["fit", "--config", str(config)]


@pytest.mark.parametrize("option", ["config", "data"])
@pytest.mark.parametrize("seeded", [{"seed": 3}, {"class_path": "toys.ToyData", "init_args": {"seed": 3}}])
def test_a_seed_of_the_data_in_a_file_is_refused_as_on_the_command_line(toy_zoo, tmp_path, option, seeded):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"data": seeded} if option == "config" else seeded))
    with pytest.raises(zoo.UsageError, match=rf"--{option} {path} has a seed of the data, .* give --seed N"):
        words("fit", "--model", "toy", f"--{option}", str(path))
    with pytest.raises(zoo.UsageError, match="has a seed of the data"):
        words("fit", "--model", "toy", f"--data={json.dumps({**seeded, 'root': 'x' * 300})}")


@pytest.mark.parametrize("value", ["toys.Toy", "Toy", '{"class_path": "toys.Toy"}'])
def test_classes_and_json_pass_unchanged(toy_zoo, value):
    assert words("fit", "--model", value)[1] == f"--model={value}"


def test_a_wrong_name_suggests_the_nearest_and_lists_all(toy_zoo):
    message = r"--data=openhnd is not in the zoo\. Did you mean openhand\? Known: openhand, other\."
    with pytest.raises(zoo.UsageError, match=message):
        words("fit", "--model", "toy", "--data", "openhnd")


def test_a_missing_model_is_asked_for_by_name(toy_zoo):
    with pytest.raises(zoo.UsageError, match=r"fit needs --model NAME\. Known: toy"):
        words("fit", "--trainer.max_steps", "3")


def test_help_needs_no_model(toy_zoo):
    assert words("fit", "--model", "toy", "--help") == ["fit", "--help"]
    assert words("fit", "--model.help", "toy") == ["fit", "--model.help", "toys.Toy"]
    assert words("fit", "--model.help=toy") == ["fit", "--model.help=toys.Toy"]


def test_an_option_without_its_value_is_noticed(toy_zoo):
    with pytest.raises(zoo.UsageError, match="--model needs a value"):
        words("fit", "--model", "--trainer.max_steps", "3")


def test_create_builds_by_name_with_overrides(toy_zoo):
    model = zoo.create("toy", width=7, **{"sampler.steps": 9})
    assert isinstance(model, Toy)
    assert (model.width, model.lr, model.sampler) == (7, 0.5, Leap(9))


def test_create_swaps_parts_by_dictionary(toy_zoo):
    model = zoo.create("toy", sampler={"class_path": "toys.Stroll", "init_args": {"steps": 2}})
    assert model.sampler == Stroll(2)


def test_build_says_which_class_it_could_not_build(toy_zoo):
    with pytest.raises(ValueError, match=r"toys\.Toy cannot be built"):
        registry.build({"class_path": "toys.Toy", "init_args": {"widht": 3}})


@pytest.mark.parametrize("kind", ["model", "data"])
def test_every_shipped_config_names_a_class_and_says_what_it_is(kind):
    for path in registry.folder(kind).glob("*.yaml"):
        content = yaml.safe_load(path.read_text())
        assert set(content) <= {"class_path", "init_args"}, path
        assert path.read_text().startswith("# "), path
        assert len(path.read_text().splitlines()) <= 40, path
        module, _, name = content["class_path"].rpartition(".")
        assert isinstance(getattr(import_module(module), name), type), path


def test_json_is_yaml_so_overrides_survive_as_they_are(toy_zoo):
    assert zoo.create("toy", lr=1e-7).lr == json.loads("1e-7")
