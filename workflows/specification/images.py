"""The registry URIs of SageMaker's framework images, as the `sagemaker` SDK knows them.

The SDK's import takes three seconds, so it happens inside the functions.
"""

from __future__ import annotations

import difflib
import functools
import logging
import os
from pathlib import Path

from workflows.errors import RelayError
from workflows.specification.settings import FrameworkImage, Image


class ImageError(RelayError):
    """No such framework image."""


def quiet_sdk() -> None:
    """Keeps the SDK quiet at its import: it tells where it found no settings, and of its version 3."""
    os.environ.setdefault("SAGEMAKER_SUPPRESS_V2_WARNING", "1")
    for name in ("sagemaker.config", "sagemaker.image_uris"):
        logging.getLogger(name).setLevel(logging.WARNING)


def image_uri(image: Image, instance_type: str, region: str) -> str:
    """The registry URI of an image for an instance type: GPU types get the GPU image.

    Raises ImageError for a framework, version or region that the SDK does not list.
    """
    if isinstance(image, FrameworkImage):
        return _retrieve(image.framework, image.version, image.python, image.base, instance_type, region)
    return image


@functools.cache
def _retrieve(
    framework: str, version: str, python: str | None, base: str | None, instance_type: str, region: str
) -> str:
    quiet_sdk()
    from sagemaker import image_uris

    known = sorted(
        path.stem for path in Path(image_uris.__file__).with_name("image_uri_config").glob("*.json")
    )
    if framework not in known:
        near = difflib.get_close_matches(framework, known, 1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        allowed = "the names in sagemaker.image_uris, e.g. pytorch, tensorflow, huggingface, sklearn, xgboost"
        raise ImageError(f"unknown framework `{framework}`; allowed: {allowed}{hint}")
    try:
        uri: str = image_uris.retrieve(
            framework,
            region,
            version=version,
            py_version=python,
            base_framework_version=base,
            instance_type=instance_type,
            image_scope="training",
        )
    except (ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise ImageError(
            f"no image for {framework} {version} on {instance_type} in {region}: {reason}"
        ) from None
    return uri
