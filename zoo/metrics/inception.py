"""Inception v3 from a file of the user: the network of published FID, and torchvision's for the Hand1000 variant."""

import io
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zoo.metrics.extractors import Extractor, resized
from zoo.metrics.weights_file import WeightsFile, fill, read_weights
from zoo.shapes import Images

PUBLISHED_FID = "6726825d"  # pt_inception-2015-12-05-6726825d.pth: TensorFlow's FID weights, converted
PUBLISHED_IMAGENET = "0cc3c7bd"  # inception_v3_google-0cc3c7bd.pth of torchvision
FLAG = "--extractor"


class FidInception(Extractor):
    """The network behind published FID and KID: TensorFlow's Inception of 2015 in torch-fidelity's class.

    Pictures become 8-bit again, as that network's users give them, and are resized as TensorFlow 1 did.

    Args:
        path: The weights file, `pt_inception-2015-12-05-6726825d.pth` or `weights-inception-2015-12-05-6726825d.pth`.
        sha256: What the file's hash must be or begin with; None takes any, and the name says which.
    """

    num_features = 2048
    side = 299

    def __init__(self, path: str | Path, sha256: str | None = None) -> None:
        super().__init__()
        path = Path(path)
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except ImportError as error:
            raise ValueError(
                f"{FLAG} {path} needs torch-fidelity, which has FID's Inception. "
                "Install it with: pip install -e '.[metrics]'"
            ) from error
        file = read_weights(path, FLAG, sha256)
        # The class unpickles whatever it is given the path of. It gets our own copy of the tensors, read safely.
        copy = io.BytesIO()
        torch.save(file.state, copy)
        copy.seek(0)
        try:
            self.net = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], copy)
        except RuntimeError as error:
            raise ValueError(
                f"{path} does not fit FID's Inception ({str(error).splitlines()[0]}). Pass "
                f"pt_inception-2015-12-05-{PUBLISHED_FID}.pth, or torchvision's weights with {FLAG}_kind imagenet."
            ) from error
        self.name, self.about = _named("inception-fid", "FID's Inception v3, 2048 features", file, PUBLISHED_FID)
        self.eval()

    @torch.no_grad()
    def forward(self, images: Images) -> Float[Tensor, "b d"]:
        """RGB in [0, 1] to 2048 features."""
        with torch.autocast(images.device.type, enabled=False):
            bytes_ = (255 * images.float()).round().clamp(0, 255).to(torch.uint8)
            return self.net(bytes_)[0].flatten(1)


class ImageNetInception(Extractor):
    """torchvision's Inception v3 of ImageNet, as Hand1000's scripts use it instead of FID's weights.

    Its numbers compare with that paper's at best, never with FID.

    Args:
        path: The weights file, `inception_v3_google-0cc3c7bd.pth`.
        sha256: What the file's hash must be or begin with; None takes any, and the name says which.
    """

    num_features = 2048
    side = 299
    mean: Tensor
    std: Tensor

    def __init__(self, path: str | Path, sha256: str | None = None) -> None:
        super().__init__()
        from torchvision.models import Inception3

        path = Path(path)
        file = read_weights(path, FLAG, sha256)
        self.net = Inception3(transform_input=True, aux_logits=True, init_weights=False)
        fill(self.net, file, path, FLAG)
        self.net.AuxLogits, self.net.fc = None, nn.Identity()
        self.net.requires_grad_(False)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225])[:, None, None], persistent=False)
        about = "torchvision's Inception v3 of ImageNet, not FID's weights"
        self.name, self.about = _named("inception-imagenet", about, file, PUBLISHED_IMAGENET)
        self.eval()

    @torch.no_grad()
    def forward(self, images: Images) -> Float[Tensor, "b d"]:
        """RGB in [0, 1] to 2048 features."""
        with torch.autocast(images.device.type, enabled=False):
            return self.net((resized(images.float(), self.side) - self.mean) / self.std)


def _named(name: str, what: str, file: WeightsFile, published: str) -> tuple[str, str]:
    """Numbers of weights that are not the published ones carry their hash in the name."""
    known = file.sha256.startswith(published)
    said = "the published file" if known else f"not the published file, whose sha256 begins with {published}"
    return name if known else f"{name}-{file.sha256[:8]}", f"{name}: {what}; sha256 {file.sha256} ({said})."
