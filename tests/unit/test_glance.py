# SPDX-License-Identifier: Apache-2.0
"""The one question to Glance, and what its answers mean."""

from typing import Any

import ddt

from mistral_hostrecovery import errors
from mistral_hostrecovery import glance
from mistral_hostrecovery import model
from tests.unit import services
from tests.unit.services import GLANCE

IMAGE = f"{GLANCE}/v2/images/i1"


def image(**more: Any) -> dict[str, Any]:
    """Return an image as Glance shows it."""
    return {
        "id": "i1",
        "name": "cirros",
        "visibility": "public",
        "tags": ["amphora"],
        "size": 12,
        "protected": False,
        "owner": None,
        "hostrecovery:recover": "false",
        **more,
    }


@ddt.ddt
class ImageTest(services.ServicesTestCase):
    def ask(self) -> model.Image | None:
        return glance.Glance(self.session()).image("i1")

    def found(self, **more: Any) -> model.Image:
        self.web.get(IMAGE, json=image(**more))
        answer = self.ask()
        if answer is None:
            self.fail("there is an image")
        return answer

    def test_what_it_says(self) -> None:
        answer = self.found()
        self.assertEqual("i1", answer.id)
        self.assertEqual("cirros", answer.name)
        self.assertEqual({"amphora"}, answer.tags)
        self.assertEqual("false", answer.properties["hostrecovery:recover"])
        self.assertNotIn("size", answer.properties)

    @ddt.data(
        ("public", True),
        ("community", False),
        ("shared", False),
        ("private", False),
        (None, False),
    )
    @ddt.unpack
    def test_only_an_administrators_image_is_public(
        self, visibility: str | None, public: bool
    ) -> None:
        self.assertIs(public, self.found(visibility=visibility).public)

    def test_image_without_a_name_has_its_id(self) -> None:
        self.assertEqual("i1", self.found(name=None).name)

    def test_deleted_image_is_none(self) -> None:
        self.web.get(IMAGE, status_code=404)
        self.assertIsNone(self.ask())

    @ddt.data((503, errors.Unavailable), (403, errors.Refused))
    @ddt.unpack
    def test_failures(self, status: int, wanted: type[Exception]) -> None:
        self.web.get(IMAGE, status_code=status)
        error = self.assertRaises(wanted, self.ask)
        self.assertIn("Glance", str(error))
        self.assertIn("image i1", str(error))
