"""IP-Adapters (Ye et al., arXiv 2308.06721): reference images that a U-Net sees next to the prompt."""

from pathlib import Path
from typing import Any

import torch

from datasetdm import config
from datasetdm.errors import DatasetDMError
from datasetdm.utils.digests import IMAGE_SUFFIXES, file_digest
from datasetdm.utils.images import read_image

MOST_IMAGES = 16  # each adds tokens to every cross-attention


def check_ip_adapter(pipeline_class: Any, settings: config.Backbone) -> None:
    """Refuse, before a model is loaded, an IP-Adapter that lacks something, or that the family is not read with.

    Raises:
        DatasetDMError: it says what is missing, or names the families that work.
    """
    from diffusers.loaders import IPAdapterMixin

    if settings.ip_adapter is None:
        return
    if not issubclass(pipeline_class, IPAdapterMixin):
        raise DatasetDMError(
            f"backbone.ip_adapter in params.yaml works with Stable Diffusion 1.x and 2.x and with SDXL, and "
            f"{settings.path} is a {pipeline_class.__name__}: remove backbone.ip_adapter, or choose another model."
        )
    find_ip_adapter(settings.ip_adapter)
    reference_images(settings.ip_adapter)


def ip_adapter_fingerprint(settings: config.IPAdapter | None) -> str:
    """What the IP-Adapter adds to a backbone's fingerprint: nothing if there is none."""
    if settings is None:
        return ""
    folder = find_ip_adapter(settings)
    files = [folder / settings.file, *_encoder_files(folder, settings), *reference_images(settings)]
    digests = " ".join(file_digest(file).hex() for file in files)
    return f" ip_adapter {settings.scale} {digests}"


def find_ip_adapter(settings: config.IPAdapter) -> Path:
    """The folder of an IP-Adapter, fetched from the hub if its path is no local one.

    Raises:
        DatasetDMError: its weights or its image encoder are missing.
    """
    folder = Path(settings.path)
    if not folder.is_dir():
        folder = _fetch(settings)
    wanted = {
        settings.file: (folder / settings.file).is_file(),
        settings.image_encoder: _encoder_files(folder, settings),
    }
    if missing := [name for name, found in wanted.items() if not found]:
        raise DatasetDMError(
            f"backbone.ip_adapter in params.yaml has {settings.path}, which lacks {', '.join(missing)}. Name the "
            "weights as `file` and the folder of the CLIP image encoder as `image_encoder`, both below `path`."
        )
    return folder


def reference_images(settings: config.IPAdapter) -> list[Path]:
    """The files of the reference images, by name.

    Raises:
        DatasetDMError: there is none, or there are more than `MOST_IMAGES`.
    """
    folder = settings.images
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    images = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")]
    if not 0 < len(images) <= MOST_IMAGES:
        raise DatasetDMError(
            f"backbone.ip_adapter.images in params.yaml is {folder}, where 1 to {MOST_IMAGES} images are expected "
            f"({', '.join(sorted(IMAGE_SUFFIXES))}); found: {len(images)}. The model sees all of them at once."
        )
    return images


def add_ip_adapter(pipeline: Any, settings: config.IPAdapter | None) -> None:
    """Load an IP-Adapter and its image encoder into a pipeline.

    Raises:
        DatasetDMError: it does not fit the pipeline.
    """
    if settings is None:
        return
    folder = find_ip_adapter(settings)
    try:
        pipeline.load_ip_adapter(
            str(folder),
            subfolder="",
            weight_name=settings.file,
            image_encoder_folder=settings.image_encoder,
            local_files_only=True,
        )
        pipeline.set_ip_adapter_scale(settings.scale)
    except Exception as error:  # diffusers and safetensors have no common base for files that do not fit
        reason = " ".join(str(error).split())
        raise DatasetDMError(
            f"The IP-Adapter {folder / settings.file} of backbone.ip_adapter does not fit the model ({reason})."
        ) from None


@torch.no_grad()
def embed_references(pipeline: Any, settings: config.IPAdapter, device: torch.device) -> list[torch.Tensor]:
    """What the network sees of the reference images, as the pipeline takes it.

    Returns:
        One tensor, 2 x N x ...: of no image (for classifier-free guidance), and of the N reference images.

    Raises:
        DatasetDMError: an image cannot be read, or the adapter needs something else than images (faces, for one).
    """
    images = [read_image(file) for file in reference_images(settings)]
    try:
        embeds: list[torch.Tensor] = pipeline.prepare_ip_adapter_image_embeds([images], None, device, 1, True)
        project = pipeline.unet.encoder_hid_proj  # tried now, so that what does not fit is found here
        at_home = next(project.parameters())
        project([part.to(at_home.device, at_home.dtype) for part in embeds])
    except Exception as error:  # what an adapter expects shows when it is given something else
        reason = " ".join(str(error).split())
        raise DatasetDMError(
            f"{settings.file} of backbone.ip_adapter cannot use the reference images ({reason}). Adapters that need "
            "more than a CLIP image encoder, such as those for faces, are not supported."
        ) from None
    return [part.to(pipeline.unet.dtype) for part in embeds]


def _encoder_files(folder: Path, settings: config.IPAdapter) -> list[Path]:
    encoder = folder / settings.image_encoder
    files = [encoder / "config.json", *sorted(encoder.glob("*.safetensors"))]
    return files if files[0].is_file() and len(files) > 1 else []


def _fetch(settings: config.IPAdapter) -> Path:
    from huggingface_hub import snapshot_download

    encoder = settings.image_encoder
    wanted = [settings.file, f"{encoder}/config.json", f"{encoder}/model*.safetensors"]
    try:
        return Path(snapshot_download(settings.path, revision=settings.revision, allow_patterns=wanted))
    except Exception as error:  # the hub's client raises errors of a dozen unrelated types
        raise DatasetDMError(
            f"The IP-Adapter {settings.path} of backbone.ip_adapter is no local folder, and cannot be fetched from the "
            f"hub ({type(error).__name__})."
        ) from error
