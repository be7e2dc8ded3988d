# SPDX-License-Identifier: Apache-2.0
"""The compact form in which instances travel to the plan."""

import json
from typing import Any

from oslotest import base

from mistral_hostrecovery import layers
from mistral_hostrecovery import listing
from mistral_hostrecovery import model
from mistral_hostrecovery import policy
from tests.unit import facts

RECOVER_KEY = "hostrecovery:recover"


def candidate(
    instance: model.Instance,
    selected: bool = True,
    moving: str | None = None,
    evacuating: bool = False,
    flavors: list[model.Flavor] | None = None,
) -> model.Candidate:
    return listing.candidate(
        instance,
        selected,
        moving,
        evacuating,
        [] if flavors is None else flavors,
        policy.Policy(),
    )


class CandidateTest(base.BaseTestCase):
    def test_only_metadata_that_decides_is_kept(self) -> None:
        found = candidate(
            facts.instance(
                metadata={RECOVER_KEY: "x" * 255, "note": "y" * 255}
            )
        )
        self.assertEqual([RECOVER_KEY], list(found.metadata))
        self.assertLessEqual(
            len(found.metadata[RECOVER_KEY]), layers.VALUE_LENGTH + 1
        )

    def test_long_name_is_cut(self) -> None:
        found = candidate(facts.instance(name="n" * 255))
        self.assertEqual("n" * model.NAME_LENGTH, found.name)

    def test_facts_make_the_round_trip(self) -> None:
        found = candidate(
            facts.instance(
                task_state="rebuilding", image="i1", launched=False
            ),
            selected=False,
            moving="c4",
            evacuating=True,
        )
        listed = json.loads(json.dumps({"instances": [found.to_dict()]}))
        self.assertEqual([found], listing.candidates(listed))

    def test_ordinary_facts_take_no_room(self) -> None:
        found = candidate(facts.instance()).to_dict()
        for key in ("launched", "evacuating", "image", "flavor"):
            self.assertNotIn(key, found)


class FlavorTest(base.BaseTestCase):
    def test_equal_flavors_are_listed_once(self) -> None:
        flavors: list[model.Flavor] = []
        big = model.Flavor("big", {RECOVER_KEY: "false", "hw:cpu": "x"})
        found = [
            candidate(facts.instance(flavor=flavor), flavors=flavors).flavor
            for flavor in (
                big,
                model.Flavor("small", {}),
                # As it was when another instance was made from it.
                model.Flavor("big", {}),
                big,
                None,
            )
        ]
        self.assertEqual([0, 1, 2, 0, None], found)
        self.assertEqual({RECOVER_KEY: "false"}, flavors[0].extra_specs)

    def test_traits_and_a_tpm_are_kept(self) -> None:
        flavors: list[model.Flavor] = []
        specs: dict[str, Any] = {
            "trait:HW_GPU": "required",
            "hw:tpm_version": "2.0",
            "quota:cpu_shares": "7",
        }
        candidate(
            facts.instance(flavor=model.Flavor("gpu", specs)), flavors=flavors
        )
        del specs["quota:cpu_shares"]
        self.assertEqual(specs, flavors[0].extra_specs)

    def test_flavors_make_the_round_trip(self) -> None:
        raw = {"flavors": [{"name": "big", "extra_specs": {"a": "b"}}]}
        self.assertEqual(
            [model.Flavor("big", {"a": "b"})], listing.flavors(raw)
        )


class ImageTest(base.BaseTestCase):
    def image(self, **more: Any) -> model.Image:
        ordinary: dict[str, Any] = {
            "id": "i1",
            "name": "cirros",
            "public": True,
            "tags": frozenset({"amphora", "mine"}),
            "properties": {RECOVER_KEY: "false", "os_distro": "x"},
        }
        return model.Image(**{**ordinary, **more})

    def test_only_what_decides_is_kept(self) -> None:
        found = listing.image(self.image(), policy.Policy())
        self.assertEqual({"amphora"}, found.tags)
        self.assertEqual({RECOVER_KEY: "false"}, found.properties)
        self.assertTrue(found.public)

    def test_images_make_the_round_trip(self) -> None:
        found = listing.image(self.image(), policy.Policy())
        listed = json.loads(json.dumps({"images": [found.to_dict()]}))
        self.assertEqual({"i1": found}, listing.images(listed))
