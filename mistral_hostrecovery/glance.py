# SPDX-License-Identifier: Apache-2.0

"""The only module that talks to Glance."""

from collections.abc import Mapping
from typing import Any

from keystoneauth1 import exceptions as ksa_exc

from mistral_hostrecovery import answers
from mistral_hostrecovery import clock
from mistral_hostrecovery import config
from mistral_hostrecovery import model


def connect(stopwatch: clock.Stopwatch) -> "Glance":
    """Return Glance, with the service credentials."""
    return Glance(config.session(stopwatch))


class Glance:
    """What images say, over keystoneauth."""

    def __init__(self, session: config.Session) -> None:
        self._session = session
        settings = config.settings()
        self._endpoint = {
            "service_type": "image",
            "interface": settings.valid_interfaces,
            "region_name": settings.region_name,
        }

    def image(self, image_id: str) -> model.Image | None:
        """Return an image, None if it has been deleted."""
        with answers.translated("Glance", f"image {image_id}"):
            try:
                found = self._session.get(
                    f"/v2/images/{image_id}", endpoint_filter=self._endpoint
                ).json()
            except ksa_exc.NotFound:
                return None
        return _image(found)

    def list_one(self) -> int:
        """List one image, to see whether Glance lets us."""
        with answers.translated("Glance", "an image"):
            found = self._session.get(
                "/v2/images?limit=1", endpoint_filter=self._endpoint
            ).json()
        return len(found["images"])


def _image(raw: Mapping[str, Any]) -> model.Image:
    return model.Image(
        id=raw["id"],
        name=raw.get("name") or raw["id"],
        # Only an administrator publishes; "community" any owner may.
        public=raw.get("visibility") == "public",
        tags=frozenset(raw.get("tags", ())),
        properties={
            key: value for key, value in raw.items() if isinstance(value, str)
        },
    )
