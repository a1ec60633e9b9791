"""Bases from the Hugging Face hub: fetched when the user names one, and only then."""

from pathlib import Path

WANTED = ("*.json", "unet/*.safetensors", "vae/*.safetensors", "text_encoder/*.safetensors")
UNWANTED = ("*.fp16.*", "*non_ema*", "safety_checker/*", "feature_extractor/*")


def fetch(name: str) -> Path:
    """The folder of a model of the hub, from its cache where it is there already.

    Args:
        name: `owner/name`.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=list(WANTED), ignore_patterns=list(UNWANTED)))
    except GatedRepoError as error:
        raise ValueError(
            f"{name} asks for an agreement first. Agree on its page of the hub, log in with `hf auth login`, try again."
        ) from error
    except RepositoryNotFoundError as error:
        raise ValueError(
            f"{name} is not on the hub, or is not public. Give another owner/name, a diffusers folder, or a file."
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise ValueError(
            f"{name} is neither a folder nor a file here, so it would come from the hub, which cannot be reached "
            f"({type(error).__name__}). Connect once, or give a diffusers folder or a single file."
        ) from error
