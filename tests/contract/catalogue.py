# SPDX-License-Identifier: Apache-2.0
"""Images as Glance shows them, and flavors as a server shows its own."""

import uuid

from tests.contract import base


class Catalogue(base.CloudContract):
    def test_the_properties_of_an_image_are_keys_like_any_other(self) -> None:
        image = self.make_image(
            "amphora-x64",
            visibility="private",
            tags=["amphora"],
            hw_machine_type="q35",
        )
        status, shown = self.image(image)
        self.assertEqual(200, status)
        self.assertEqual("q35", shown["hw_machine_type"])
        for key, value in (
            ("id", image),
            ("name", "amphora-x64"),
            ("visibility", "private"),
            ("tags", ["amphora"]),
            ("status", "active"),
            ("protected", False),
        ):
            self.assertEqual(value, shown[key], key)
        self.assertEqual(self.admin.get_project_id(), shown["owner"])

    def test_the_image_of_a_server(self) -> None:
        web = self.boot("web")
        status, shown = self.image(self.server(web)["image"]["id"])
        self.assertEqual((200, "tiny"), (status, shown["name"]))
        self.assertEqual([], shown["tags"])
        image = self.make_image("other")
        other = self.boot("other", image=image)
        self.assertEqual(image, self.server(other)["image"]["id"])

    def test_images_are_listed_to_a_limit(self) -> None:
        for limit in (0, 1):
            answer = self.ask("image", f"/v2/images?limit={limit}")
            self.assertEqual(200, answer.status_code)
            self.assertEqual(limit, len(answer.json()["images"]))

    def test_images_that_are_not_found(self) -> None:
        tenant = self.session("demo", "demo")
        private = self.make_image("own", visibility="private")
        for image, session in (
            (str(uuid.uuid4()), self.admin),
            ("nope", self.admin),
            (private, tenant),
        ):
            answer = self.ask("image", f"/v2/images/{image}", session=session)
            self.assertEqual(404, answer.status_code, image)
            self.assertIn(f"No image found with ID {image}", answer.text)
            self.assertIn("text/html", answer.headers["Content-Type"])
        for visibility in ("public", "community"):
            seen = self.make_image(visibility, visibility=visibility)
            answer = self.ask("image", f"/v2/images/{seen}", session=tenant)
            self.assertEqual(200, answer.status_code, visibility)
        shared = self.make_image("shared", visibility="shared")
        answer = self.ask("image", f"/v2/images/{shared}", session=tenant)
        self.assertEqual(404, answer.status_code)

    def test_a_server_embeds_its_flavor(self) -> None:
        flavor = self.make_flavor(
            "big", 2, 256, 3, **{"hw:cpu_policy": "shared"}
        )
        web = self.boot("web", flavor=flavor)
        shown = {
            "vcpus": 2,
            "ram": 256,
            "disk": 3,
            "ephemeral": 0,
            "swap": 0,
            "original_name": "big",
            "extra_specs": {"hw:cpu_policy": "shared"},
        }
        for version in ("2.47", "2.53", "2.94"):
            self.assertEqual(shown, self.server(web, version)["flavor"])
            path = f"/servers/detail?all_tenants=1&host={base.SOURCE}"
            (listed,) = self.get(path, version)["servers"]
            self.assertEqual(shown, listed["flavor"])
        old = self.server(web, "2.46")["flavor"]
        self.assertEqual({"id", "links"}, set(old))
