# SPDX-License-Identifier: Apache-2.0
"""Nova's answers, also the odd ones, read as facts."""

import datetime
from typing import Any

import ddt
from oslotest import base

from mistral_hostrecovery import model
from mistral_hostrecovery import nova_facts
from tests.unit import facts

LONG_AGO = datetime.datetime.min.replace(tzinfo=datetime.UTC)


def instance(**raw: Any) -> model.Instance:
    return nova_facts.instance({"id": "web", **raw})


@ddt.ddt
class InstanceTest(base.BaseTestCase):
    def test_bare_minimum(self) -> None:
        """As the API lists instances of a cell that it cannot reach."""
        found = instance()
        self.assertEqual("unknown", found.vm_state)
        self.assertIsNone(found.host)
        self.assertTrue(found.launched)
        self.assertIsNone(found.launched_at)
        self.assertFalse(found.deleted or found.volume_backed)

    @ddt.data(
        ("", True, None),
        ({"id": "i1"}, False, "i1"),
        (None, False, None),
    )
    @ddt.unpack
    def test_image(self, raw: Any, volume: bool, image: str | None) -> None:
        found = instance(image=raw)
        self.assertEqual((volume, image), (found.volume_backed, found.image))

    def test_instance_without_an_image_key_is_not_volume_backed(self) -> None:
        """Nothing is known of its disk, so nothing is promised."""
        self.assertFalse(instance().volume_backed)

    @ddt.data(
        ({"OS-EXT-STS:vm_state": "deleted"}, True),
        ({"status": "DELETED"}, True),
        ({"OS-EXT-STS:vm_state": "soft-delete"}, True),
        ({"OS-EXT-STS:task_state": "soft-deleting"}, False),
        ({"OS-EXT-STS:vm_state": "active", "status": "ACTIVE"}, False),
    )
    @ddt.unpack
    def test_deleted(self, raw: dict[str, Any], deleted: bool) -> None:
        self.assertIs(deleted, instance(**raw).deleted)

    @ddt.data(
        ({}, True),
        ({"OS-SRV-USG:launched_at": "2030-01-01T12:00:00.000000"}, True),
        ({"OS-SRV-USG:launched_at": None}, False),
    )
    @ddt.unpack
    def test_launched(self, raw: dict[str, Any], launched: bool) -> None:
        found = instance(**raw)
        self.assertIs(launched, found.launched)
        at = raw.get("OS-SRV-USG:launched_at")
        self.assertEqual(facts.NOW if at else None, found.launched_at)

    @ddt.data(
        ({}, None),
        ({"flavor": {"id": "1"}}, None),
        (
            {"flavor": {"original_name": "m1", "extra_specs": {"a": "b"}}},
            model.Flavor("m1", {"a": "b"}),
        ),
        # Nova's policy may hide the extra specs.
        ({"flavor": {"original_name": "m1"}}, model.Flavor("m1", {})),
    )
    @ddt.unpack
    def test_flavor(
        self, raw: dict[str, Any], flavor: model.Flavor | None
    ) -> None:
        self.assertEqual(flavor, instance(**raw).flavor)

    def test_fault(self) -> None:
        self.assertIsNone(instance(fault=None).fault)
        self.assertIsNone(instance(fault={}).fault)
        self.assertIsNone(instance(fault={"message": ""}).fault)
        self.assertEqual("no", instance(fault={"message": "no"}).fault)

    def test_where_an_evacuation_failed(self) -> None:
        """As Nova 34 told it when all controllers had died."""
        frame = '  File "nova/compute/manager.py", line {}, in {}\n    {}\n'
        rebuild = "_do_rebuild_instance"
        save = "instance.save(expected_task_state=[task_states.{}])"
        late = frame.format(4287, rebuild, save.format("REBUILD_SPAWNING"))
        early = frame.format(4210, rebuild, save.format("REBUILDING"))
        for details, wanted in ((late, True), (early, False), (None, False)):
            fault = {"message": "MessagingTimeout", "details": details}
            self.assertIs(wanted, instance(fault=fault).failed_late)
        self.assertFalse(instance(fault={"message": "no"}).failed_late)
        self.assertFalse(instance(fault=None).failed_late)

    def test_fault_is_printable_and_short(self) -> None:
        """Some texts of Nova contain what a tenant chose."""
        long = "No valid host was found. " * 4
        self.assertEqual(long, instance(fault={"message": long}).fault)
        odd = "no\n\x1b[2J\u202e" + "x" * 100_000
        found = instance(fault={"message": odd}).fault or ""
        self.assertTrue(found.startswith(r"no\n\x1b[2J\u202exxx"), found)
        self.assertTrue(found.isprintable() and found.isascii())
        self.assertLess(len(found), 210)


class OtherFactsTest(base.BaseTestCase):
    def test_service_that_never_reported(self) -> None:
        found = nova_facts.service(
            {
                "id": "s",
                "host": "c1",
                "state": "down",
                "status": "enabled",
                "forced_down": False,
                "disabled_reason": None,
                "updated_at": None,
            }
        )
        self.assertEqual(LONG_AGO, found.updated_at)
        self.assertFalse(found.up or found.disabled)

    def test_migration_that_was_never_updated(self) -> None:
        found = nova_facts.migration(
            {
                "id": 7,
                "instance_uuid": "web",
                "migration_type": "evacuation",
                "status": "accepted",
                "source_compute": "c1",
                "dest_compute": None,
                "created_at": "2030-01-01T12:00:00.000000",
                "updated_at": None,
            }
        )
        self.assertEqual(facts.NOW, found.updated_at)
        self.assertIsNone(found.destination)

    def test_aggregate(self) -> None:
        found = nova_facts.aggregate(
            {"name": "rack", "hosts": ["c1", "c1"], "metadata": {"a": "b"}}
        )
        self.assertEqual(
            model.Aggregate("rack", frozenset({"c1"}), {"a": "b"}), found
        )
