"""What a run's options mean for one another."""

import pytest
from jsonargparse import Namespace

from zoo.commands.settle import read_by, same_model, settle_image_branch
from zoo.registry import UsageError


def options(image, images, ckpt=None):
    conditioner = Namespace(class_path="HandConditioner", init_args=Namespace(image=image))
    model = Namespace(class_path="HHMR", init_args=Namespace(conditioner=conditioner))
    data = Namespace(class_path="OpenHandData", init_args=Namespace(images=images))
    return Namespace(model=model, data=data, ckpt=ckpt)


def branch(given):
    return given.model.init_args.conditioner.init_args.image


def test_a_branch_without_images_is_not_built_unless_weights_bring_it():
    given = options("a branch", False)
    settle_image_branch(given, [])
    assert branch(given) is None
    config = {"init_args": {"conditioner": {"init_args": {"image": "a branch"}}}}
    given = options("a branch", False, "hhmr-image")
    settle_image_branch(given, [], config)
    assert branch(given) == "a branch"


def test_images_are_not_asked_for_in_vain():
    words = ["fit", "--ckpt", "hhmr", "--data.images", "true"]
    with pytest.raises(UsageError, match="the model of --ckpt hhmr looks at no images"):
        settle_image_branch(options(None, True, "hhmr"), words)
    settle_image_branch(options(None, True, "hhmr"), words[:3])  # a dataset that always has them
    settle_image_branch(options("a branch", True, "hhmr"), words)


def test_what_a_run_reads_is_among_its_options_however_deep(tmp_path):
    given = options(None, True)
    given.data.init_args.root = str(tmp_path)
    given.data.init_args.more = [{"a": "deep"}, 3]
    assert {str(tmp_path), "deep"} <= set(read_by(given))


def made_by_a_function():
    """Stands for a user's own function that builds a model."""


def test_weights_are_compared_with_classes_alone():
    trained = {"class_path": "zoo.models.HHMR"}
    same_model(Namespace(ckpt="x", model=Namespace(class_path="test_settle.made_by_a_function")), trained)
    same_model(Namespace(ckpt="x", model=Namespace(class_path="zoo.models.hhmr.HHMR")), trained)
    with pytest.raises(UsageError, match=r"--ckpt x holds weights of HHMR, and the model is LatentDiffusion"):
        same_model(
            Namespace(ckpt="x", model=Namespace(class_path="zoo.models.latent_diffusion.LatentDiffusion")), trained
        )
