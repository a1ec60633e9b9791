"""The small extractor sees how much pictures are spoilt; weights come from files that are what they claim to be."""

import hashlib
import sys
import types

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate

from tests.metrics.noisy_pictures import blobs
from zoo.metrics.extractors import SHA256, ZooSmall
from zoo.metrics.images import FID, KID
from zoo.metrics.inception import FidInception, ImageNetInception
from zoo.metrics.weights_file import read_weights


def blurred(images, factor):
    small = avg_pool2d(images, factor)
    return interpolate(small, size=images.shape[-2:], mode="bilinear")


def noisy(images, level):
    generator = torch.Generator().manual_seed(0)
    return (images + level * torch.randn(images.shape, generator=generator)).clamp(0, 1)


def test_its_weights_are_the_same_bits_everywhere():
    assert ZooSmall().sha256 == SHA256


def test_it_takes_any_size_and_draws_no_random_numbers():
    state = torch.get_rng_state()
    extractor = ZooSmall()
    assert torch.equal(torch.get_rng_state(), state)
    assert extractor(torch.rand(2, 3, 40, 300)).shape == (2, extractor.num_features)


def test_no_training_mode_and_no_state_for_checkpoints():
    extractor = ZooSmall()
    assert not nn.ModuleList([extractor]).train()[0].training
    assert extractor.state_dict() == {}


def test_a_set_is_no_distance_from_itself():
    extractor, images = ZooSmall(), blobs(16)
    metric = FID(extractor)
    metric.update(images, True)
    metric.update(images, False)
    assert float(metric.compute()) < 1e-3


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")
@pytest.mark.parametrize(("spoil", "levels"), [(noisy, [0.0, 0.03, 0.1, 0.3]), (blurred, [1, 2, 4, 8])])
def test_distances_grow_with_noise_and_blur(spoil, levels):
    extractor, images = ZooSmall(), blobs(16)
    real, distances, kernels = extractor(images), [], []
    for level in levels:
        features = extractor(spoil(images, level))
        for metric, into in ((FID(extractor), distances), (KID(extractor, subsets=20), kernels)):
            metric.add(real, True)
            metric.add(features, False)
            value = metric.compute()
            into.append(float(value if isinstance(metric, FID) else value.mean))
    assert distances == sorted(distances)
    assert kernels == sorted(kernels)
    assert distances[0] < 1e-3 < distances[1]
    assert kernels[0] < kernels[-1]


def test_a_missing_file_is_not_downloaded(tmp_path):
    with pytest.raises(FileNotFoundError, match="Nothing is downloaded"):
        ImageNetInception(tmp_path / "inception_v3_google-0cc3c7bd.pth")


def test_a_file_that_is_not_what_its_name_or_the_caller_says_is_refused(tmp_path):
    file = tmp_path / "weights-12345678.pth"
    torch.save({"a": torch.zeros(1)}, file)
    with pytest.raises(ValueError, match="should begin with 12345678"):
        read_weights(file, "--extractor")
    other = file.rename(tmp_path / "weights.pth")
    real = hashlib.sha256(other.read_bytes()).hexdigest()
    assert read_weights(other, "--extractor", real).sha256 == real
    assert read_weights(other, "--extractor", real[:8]).sha256 == real
    with pytest.raises(ValueError, match="should begin with abc"):
        read_weights(other, "--extractor", "abc")


class Spy:
    """Would run when unpickled."""

    def __reduce__(self):
        return print, ("it ran",)


def test_code_in_a_file_is_never_run(tmp_path, capsys):
    torch.save({"a": Spy()}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match="never run"):
        read_weights(tmp_path / "w.pth", "--extractor")
    assert "it ran" not in capsys.readouterr().out


def test_no_state_dict_and_no_weights_are_said(tmp_path):
    torch.save([1, 2], tmp_path / "w.pth")
    with pytest.raises(ValueError, match="no state dict"):
        read_weights(tmp_path / "w.pth", "--extractor")
    (tmp_path / "w.pth").write_bytes(b"<html>")
    with pytest.raises(ValueError, match="cannot be read as weights"):
        read_weights(tmp_path / "w.pth", "--extractor")


def test_torchvisions_inception_gives_what_its_own_class_gives_before_the_classifier(tmp_path):
    from torchvision.models import Inception3
    from torchvision.transforms.v2.functional import normalize

    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Inception3(init_weights=False, transform_input=True)
    torch.save(net.state_dict(), tmp_path / "own.pth")
    extractor = ImageNetInception(tmp_path / "own.pth")
    assert extractor.name.startswith("inception-imagenet-")
    assert "not the published file" in extractor.about
    images = torch.rand(1, 3, 299, 299)
    net.eval().fc = nn.Identity()
    with torch.no_grad():
        expected = net(normalize(images, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    torch.testing.assert_close(extractor(images), expected)


def test_weights_of_another_network_name_what_is_missing(tmp_path):
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="does not fit Inception3"):
        ImageNetInception(tmp_path / "other.pth")


def test_without_torch_fidelity_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(ValueError, match=r"-e '\.\[metrics\]"):
        FidInception(tmp_path / "w.pth")


def test_fids_inception_gets_bytes_and_a_copy_of_the_weights_that_was_read_safely(tmp_path, monkeypatch):
    seen = {}

    class FeatureExtractorInceptionV3(nn.Module):  # the interface of torch-fidelity's
        def __init__(self, name, features_list, feature_extractor_weights_path=None):
            super().__init__()
            assert (name, features_list) == ("inception-v3-compat", ["2048"])
            self.scale = nn.Parameter(torch.zeros(()))
            self.load_state_dict(torch.load(feature_extractor_weights_path, weights_only=True))
            self.requires_grad_(False)

        def forward(self, x):
            seen["pixels"] = x
            return (self.scale * x.float().mean((2, 3)),)

    module = types.ModuleType("torch_fidelity.feature_extractor_inceptionv3")
    module.FeatureExtractorInceptionV3 = FeatureExtractorInceptionV3
    monkeypatch.setitem(sys.modules, "torch_fidelity", types.ModuleType("torch_fidelity"))
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", module)
    torch.save({"scale": torch.tensor(2.0)}, tmp_path / "w.pth")
    extractor = FidInception(tmp_path / "w.pth")
    assert extractor(torch.full((1, 3, 4, 4), 0.4999))[0].tolist() == [254.0] * 3
    assert seen["pixels"].dtype == torch.uint8
    torch.save({"scale": Spy()}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match="never run"):
        FidInception(tmp_path / "w.pth")


def test_fids_inception_is_torch_fidelitys(tmp_path):
    fidelity = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")

    class Blank(fidelity.FeatureExtractorInceptionV3):
        def load_state_dict(self, state):
            return super().load_state_dict(self.state_dict())

    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save({}, tmp_path / "empty.pth")
        net = Blank("inception-v3-compat", ["2048"], str(tmp_path / "empty.pth"))
    torch.save(net.state_dict(), tmp_path / "own.pth")
    extractor = FidInception(tmp_path / "own.pth")
    pixels = torch.randint(256, (1, 3, 80, 120), dtype=torch.uint8)
    torch.testing.assert_close(extractor(pixels.float() / 255), net(pixels)[0])
