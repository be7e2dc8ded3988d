# SPDX-License-Identifier: Apache-2.0
"""The verdict on each instance, and the reason for it."""

import json
from typing import Any

import ddt
import hypothesis
from hypothesis import strategies as st
from oslotest import base

from mistral_hostrecovery import errors
from mistral_hostrecovery import model
from mistral_hostrecovery import plan
from mistral_hostrecovery import policy
from mistral_hostrecovery import storage
from tests.unit import facts

SHARED = (storage.SHARED, "the request says on_shared_storage=true")
LOCAL = (storage.LOCAL, "the request says on_shared_storage=false")
VOLUME = (storage.VOLUME, "booted from a volume")


@ddt.ddt
class CheckRequestTest(base.BaseTestCase):
    def test_host_is_named(self) -> None:
        for shared in (True, False):
            self.assertEqual("c1", plan.check_request({"host": "c1"}, shared))

    def test_blanks_around_the_host_do_not_matter(self) -> None:
        self.assertEqual("c1", plan.check_request({"host": " c1 "}, True))

    @ddt.data(None, "c1", ["c1"], 3, True)
    def test_search_opts_must_be_an_object(self, given: Any) -> None:
        error = self.assertRaises(
            errors.Refused, plan.check_request, given, True
        )
        self.assertIn(f"search_opts is {given!r}", str(error))
        self.assertIn('{"host": "compute-1"}', str(error))

    @ddt.data({}, {"host": ""}, {"host": " "}, {"host": None}, {"host": 1})
    def test_host_must_be_a_name(self, given: Any) -> None:
        error = self.assertRaises(
            errors.Refused, plan.check_request, given, True
        )
        self.assertIn('{"host": "compute-1"}', str(error))

    @ddt.data(None, "true", 1, 0, [], {})
    def test_on_shared_storage_must_be_said(self, given: Any) -> None:
        error = self.assertRaises(
            errors.Refused, plan.check_request, {"host": "c1"}, given
        )
        self.assertIn("host c1", str(error))
        self.assertIn("give true or false", str(error))


class FiltersTest(base.BaseTestCase):
    def test_only_what_narrows_is_left(self) -> None:
        self.assertEqual({}, plan.filters({"host": "c1"}))
        self.assertEqual(
            {"flavor": "big", "status": "ACTIVE"},
            plan.filters(
                {
                    "host": "c1",
                    "all_tenants": False,
                    "flavor": "big",
                    "status": "ACTIVE",
                }
            ),
        )


@ddt.ddt
class MovingToTest(base.BaseTestCase):
    def moving(self, *lost: str, **record: Any) -> dict[str, str]:
        record = {
            "type": "live-migration",
            "status": "running",
            "destination": "c4",
            **record,
        }
        return plan.moving_to([facts.migration(**record)], frozenset(lost))

    @ddt.data(
        ("live-migration", "queued"),
        ("live-migration", "preparing"),
        ("live-migration", "running"),
        ("live-migration", "post-migrating"),
        ("migration", "migrating"),
        ("migration", "post-migrating"),
        ("migration", "finished"),
        ("resize", "migrating"),
        ("resize", "reverting"),
        ("live-migration", "a status of the future"),
    )
    @ddt.unpack
    def test_open_move_may_already_run_there(
        self, kind: str, status: str
    ) -> None:
        found = self.moving(type=kind, status=status)
        self.assertEqual({"web": "c4"}, found)

    @ddt.data(
        "completed",
        "done",
        "failed",
        "error",
        "cancelled",
        "confirmed",
        "reverted",
    )
    def test_move_that_is_over_does_not_count(self, status: str) -> None:
        self.assertEqual({}, self.moving(status=status))

    def test_evacuation_is_no_move(self) -> None:
        self.assertEqual({}, self.moving(type="evacuation"))

    def test_resize_on_the_same_host_is_no_move(self) -> None:
        self.assertEqual({}, self.moving(type="resize", destination="c1"))

    def test_destination_that_is_fenced_too_does_not_count(self) -> None:
        self.assertEqual({}, self.moving("c4"))
        self.assertEqual({"web": "c4"}, self.moving("c3"))

    def test_unknown_destination_counts(self) -> None:
        for destination in (None, ""):
            found = self.moving("c4", destination=destination)
            self.assertEqual({"web": "an unknown host"}, found)

    def test_newest_move_is_named(self) -> None:
        records = [
            facts.migration(
                id=number, type="resize", status="migrating", destination=host
            )
            for number, host in ((5, "c5"), (3, "c3"))
        ]
        self.assertEqual({"web": "c5"}, plan.moving_to(records, frozenset()))


def surroundings(**more: Any) -> plan.Surroundings:
    """Return a host without aggregates, images or flavors."""
    ordinary: dict[str, Any] = {
        "host": "c1",
        "flavors": [],
        "images": {},
        "aggregates": [],
    }
    return plan.Surroundings(**{**ordinary, **more})


def judge(
    disk: tuple[str, str] = SHARED,
    settings: policy.Policy | None = None,
    around: plan.Surroundings | None = None,
    **candidate: Any,
) -> tuple[model.Verdict, list[str]]:
    verdicts, _, warnings = plan.judge(
        [facts.candidate(**candidate)],
        {"web": disk},
        around or surroundings(),
        settings or policy.Policy(),
    )
    (verdict,) = verdicts
    return verdict, warnings


@ddt.ddt
class StateTest(base.BaseTestCase):
    @ddt.data("active", "stopped", "error")
    def test_nova_evacuates(self, vm_state: str) -> None:
        verdict, warnings = judge(vm_state=vm_state)
        self.assertTrue(verdict.recover)
        self.assertEqual(vm_state, verdict.was)
        self.assertIs(vm_state == "stopped", verdict.stopped)
        self.assertIsNone(verdict.first)
        self.assertEqual("policy recover=true", verdict.reason)
        self.assertEqual([], warnings)

    @ddt.data(
        ("paused", "reset its state to active"),
        ("suspended", "reset its state to active"),
        ("rescued", "reset its state to active"),
        ("resized", "confirm the resize"),
        ("building", "delete it and create it again"),
        ("shelved", "unshelve it"),
        ("shelved_offloaded", "unshelve it"),
        ("soft-delete", "restore it"),
    )
    @ddt.unpack
    def test_nova_does_not_evacuate(self, vm_state: str, cure: str) -> None:
        verdict, _ = judge(VOLUME, vm_state=vm_state)
        self.assertFalse(verdict.recover)
        self.assertIn(f"an instance that is {vm_state}: ", verdict.reason)
        self.assertIn(cure, verdict.reason)

    def test_what_was_being_deleted_is_left(self) -> None:
        verdict, _ = judge(task_state="deleting")
        self.assertFalse(verdict.recover)
        self.assertEqual("it was being deleted", verdict.reason)

    @ddt.data("pausing", "powering-off", "image_snapshot")
    def test_other_tasks_do_not_decide(self, task_state: str) -> None:
        self.assertTrue(judge(task_state=task_state)[0].recover)

    def test_evacuation_under_way_goes_on(self) -> None:
        found, _ = judge(task_state="rebuilding", evacuating=True)
        self.assertTrue(found.recover)
        self.assertIsNone(found.first)

    def test_what_its_owner_was_rebuilding_is_left(self) -> None:
        """Nova would wait for that rebuild for ever."""
        found, _ = judge(task_state="rebuild_spawning")
        self.assertFalse(found.recover)
        self.assertIn("an instance that is rebuilding", found.reason)

    def test_what_may_already_run_elsewhere_is_left(self) -> None:
        verdict, _ = judge(VOLUME, moving_to="c4")
        self.assertFalse(verdict.recover)
        self.assertIn("may already run on c4", verdict.reason)


RECOVER_KEY = "hostrecovery:recover"


@ddt.ddt
class WishTest(base.BaseTestCase):
    def wish(
        self, text: str, default: bool = True
    ) -> tuple[model.Verdict, list[str]]:
        return judge(
            settings=policy.Policy(recover=default),
            metadata={RECOVER_KEY: text},
        )

    @ddt.data("false", "False", " FALSE ", "no", "0", "off")
    def test_opt_out(self, text: str) -> None:
        verdict, warnings = self.wish(text)
        self.assertFalse(verdict.recover)
        self.assertEqual(
            "instance metadata sets hostrecovery:recover=false", verdict.reason
        )
        self.assertEqual([], warnings)

    @ddt.data("true", "True", " TRUE ", "yes", "1", "on")
    def test_opt_in(self, text: str) -> None:
        verdict, warnings = self.wish(text, default=False)
        self.assertTrue(verdict.recover)
        self.assertEqual(
            "instance metadata sets hostrecovery:recover=true", verdict.reason
        )
        self.assertEqual([], warnings)

    def test_site_that_recovers_nothing_by_default(self) -> None:
        verdict, _ = judge(settings=policy.Policy(recover=False))
        self.assertFalse(verdict.recover)
        self.assertEqual("policy recover=false", verdict.reason)

    @ddt.data("yess", "", "2", "nope", "flase")
    def test_nonsense_warns_and_the_next_source_decides(
        self, text: str
    ) -> None:
        for default in (True, False):
            verdict, warnings = self.wish(text, default)
            self.assertIs(default, verdict.recover)
            self.assertIn("policy recover", verdict.reason)
            (warning,) = warnings
            self.assertEqual(
                "instance web: instance metadata sets"
                f" hostrecovery:recover={text}, which is neither true nor"
                " false: ignored",
                warning,
            )

    def test_wish_does_not_make_the_impossible_possible(self) -> None:
        for given in (
            {"vm_state": "paused"},
            {"moving_to": "c4"},
            {"task_state": "deleting"},
            {"selected": False},
        ):
            verdict, _ = judge(metadata={RECOVER_KEY: "true"}, **given)
            self.assertFalse(verdict.recover, given)

    def test_wish_does_not_risk_a_disk(self) -> None:
        verdict, _ = judge(LOCAL, metadata={RECOVER_KEY: "true"})
        self.assertFalse(verdict.recover)

    def test_what_search_opts_leave_out_is_left(self) -> None:
        verdict, _ = judge(selected=False)
        self.assertFalse(verdict.recover)
        self.assertEqual("not selected by search_opts", verdict.reason)


class DiskTest(base.BaseTestCase):
    def test_disk_that_survives(self) -> None:
        for disk in (SHARED, VOLUME):
            verdict, _ = judge(disk)
            self.assertTrue(verdict.recover)
            self.assertEqual(disk[0], verdict.disk)

    def test_disk_that_is_lost_is_left_and_says_how_that_is_known(
        self,
    ) -> None:
        verdict, _ = judge(LOCAL)
        self.assertFalse(verdict.recover)
        self.assertEqual(
            "its root disk is lost with the host (the request says"
            " on_shared_storage=false)",
            verdict.reason,
        )

    def test_disk_that_was_not_looked_up_is_not_risked(self) -> None:
        verdicts, _, _ = plan.judge(
            [facts.candidate()], {}, surroundings(), policy.Policy()
        )
        self.assertFalse(verdicts[0].recover)
        self.assertEqual(storage.UNKNOWN, verdicts[0].disk)

    def test_site_may_say_that_an_empty_disk_is_wanted(self) -> None:
        verdict, _ = judge(LOCAL, policy.Policy(local_disks="rebuild"))
        self.assertTrue(verdict.recover)
        self.assertEqual(storage.LOCAL, verdict.disk)
        self.assertEqual(
            "policy recover=true; its root disk is new (policy"
            " local_disks=rebuild)",
            verdict.reason,
        )

    def test_owner_may_want_an_empty_disk_or_not(self) -> None:
        key = "hostrecovery:local_disk"
        verdict, _ = judge(LOCAL, metadata={key: "rebuild"})
        self.assertTrue(verdict.recover)
        self.assertIn(
            "instance metadata sets hostrecovery:local_disk=rebuild",
            verdict.reason,
        )
        site = policy.Policy(local_disks="rebuild")
        verdict, _ = judge(LOCAL, site, metadata={key: "leave"})
        self.assertFalse(verdict.recover)


def image(**more: Any) -> model.Image:
    ordinary: dict[str, Any] = {
        "id": "i1",
        "name": "cirros",
        "public": True,
        "tags": frozenset(),
        "properties": {},
    }
    return model.Image(**{**ordinary, **more})


def aggregate(name: str, *hosts: str, **tags: str) -> model.Aggregate:
    return model.Aggregate(name, frozenset(hosts), tags)


class LevelTest(base.BaseTestCase):
    """Who says something about an instance, from fine to coarse."""

    def test_each_level_decides_where_no_finer_one_does(self) -> None:
        around = surroundings(
            flavors=[model.Flavor("m1.batch", {"evacuate": "no"})],
            images={"i1": image(properties={"evacuate": "no"})},
            aggregates=[aggregate("rack", "c1", evacuate="no")],
        )
        metadata = {"evacuate": "no"}
        for given, words in (
            (
                {"metadata": metadata, "image": "i1", "flavor": 0},
                "instance metadata sets evacuate=false",
            ),
            ({"image": "i1", "flavor": 0}, "image cirros sets evacuate=false"),
            ({"flavor": 0}, "flavor m1.batch sets evacuate=false"),
            ({}, "aggregate rack sets evacuate=false"),
        ):
            verdict, warnings = judge(around=around, **given)
            self.assertFalse(verdict.recover)
            self.assertEqual(words, verdict.reason)
            self.assertEqual([], warnings)

    def test_aggregate_of_other_hosts_says_nothing(self) -> None:
        around = surroundings(
            aggregates=[aggregate("rack", "c2", evacuate="no")]
        )
        self.assertTrue(judge(around=around)[0].recover)

    def test_image_that_is_not_known_says_nothing(self) -> None:
        self.assertTrue(judge(image="gone")[0].recover)

    def test_own_image_of_a_tenant_is_its_word(self) -> None:
        """Else a tenant would raise its priority with an image."""
        for public, wanted in ((True, 1000), (False, 500)):
            around = surroundings(
                images={
                    "i1": image(
                        public=public,
                        properties={"hostrecovery:priority": "1000"},
                    )
                }
            )
            _, made, warnings = plan.judge(
                [facts.candidate(image="i1")],
                {"web": SHARED},
                around,
                policy.Policy(),
            )
            self.assertEqual([wanted], [w.priority for w in made])
            self.assertEqual(0 if public else 1, len(warnings))

    def test_service_instance_is_left(self) -> None:
        for public in (True, False):
            around = surroundings(
                images={
                    "i1": image(tags=frozenset({"amphora"}), public=public)
                }
            )
            verdict, _ = judge(around=around, image="i1")
            self.assertFalse(verdict.recover)
            self.assertEqual(
                "image cirros has the tag amphora: its service replaces the"
                " instance",
                verdict.reason,
            )

    def test_service_instance_may_be_wanted(self) -> None:
        around = surroundings(
            images={"i1": image(tags=frozenset({"amphora"}))}
        )
        verdict, _ = judge(
            around=around, image="i1", metadata={"evacuate": "yes"}
        )
        self.assertTrue(verdict.recover)

    def test_service_instance_is_left_whatever_keys_are_read(self) -> None:
        around = surroundings(
            images={"i1": image(tags=frozenset({"amphora"}))}
        )
        for keys in ([], ["mine"]):
            settings = policy.Policy(recover_keys=keys)
            verdict, warnings = judge(
                settings=settings, around=around, image="i1"
            )
            self.assertFalse(verdict.recover)
            self.assertEqual(
                "image cirros has the tag amphora: its service replaces the"
                " instance",
                verdict.reason,
            )
            self.assertEqual([], warnings)

    def test_what_is_not_about_an_instance_is_said_once(self) -> None:
        """Else one misspelt aggregate hides the warnings about others."""
        around = surroundings(
            flavors=[model.Flavor("m1", {"evacuate": "flavoured"})],
            images={"i1": image(properties={"evacuate": "imaged"})},
            aggregates=[
                aggregate("rack", "c1", evacuate="racked"),
                aggregate("a", "c1", **{"hostrecovery:recover": "no"}),
                aggregate("b", "c1", **{"hostrecovery:recover": "yes"}),
            ],
        )
        names = ("web", "db", "dns")
        _, _, warnings = plan.judge(
            [
                facts.candidate(
                    id=name, flavor=0, image="i1", metadata={"evacuate": "own"}
                )
                for name in names
            ],
            dict.fromkeys(names, SHARED),
            around,
            policy.Policy(),
        )
        for text in ("=imaged", "=flavoured", "=racked", "contradict"):
            (warning,) = [w for w in warnings if text in w]
            self.assertNotIn("instance", warning.partition(":")[0])
        for name in names:
            prefix = f"instance {name}: instance metadata sets evacuate=own"
            (warning,) = [w for w in warnings if w.startswith(prefix)]
        self.assertEqual(4 + len(names), len(warnings))

    def test_tag_that_the_site_does_not_name_says_nothing(self) -> None:
        around = surroundings(images={"i1": image(tags=frozenset({"mine"}))})
        self.assertTrue(judge(around=around, image="i1")[0].recover)

    def test_names_are_shown_as_they_are_written(self) -> None:
        around = surroundings(
            flavors=[model.Flavor("a\x1b[0m\nb", {"evacuate": "no"})]
        )
        verdict, _ = judge(around=around, flavor=0)
        self.assertEqual(
            "flavor a\\x1b[0m\\nb sets evacuate=false", verdict.reason
        )


class GroupTest(base.BaseTestCase):
    def waves(self, **given: tuple[int, str | None]) -> dict[str, int]:
        """Return the waves of instances with a priority and a group."""
        flavors = []
        candidates = []
        for name, (priority, group) in given.items():
            specs = {"hostrecovery:priority": str(priority)}
            if group is not None:
                specs["hostrecovery:group"] = group
            candidates.append(facts.candidate(id=name, flavor=len(flavors)))
            flavors.append(model.Flavor(name, specs))
        verdicts, _, warnings = plan.judge(
            candidates,
            dict.fromkeys(given, SHARED),
            surroundings(flavors=flavors),
            policy.Policy(),
        )
        self.assertEqual([], warnings)
        return {v.instance: v.wave for v in verdicts}

    def test_group_shares_the_wave_of_its_highest(self) -> None:
        self.assertEqual(
            {"web": 1, "db": 1, "dns": 2},
            self.waves(web=(1, "shop"), db=(900, "shop"), dns=(500, None)),
        )

    def test_other_groups_are_not_raised(self) -> None:
        self.assertEqual(
            {"web": 2, "db": 1, "dns": 2},
            self.waves(web=(1, "shop"), db=(900, "bank"), dns=(1, None)),
        )

    def test_one_that_is_left_raises_nobody(self) -> None:
        flavors = [
            model.Flavor("a", {"hostrecovery:group": "shop"}),
            model.Flavor(
                "b",
                {
                    "hostrecovery:group": "shop",
                    "hostrecovery:priority": "1000",
                    "evacuate": "no",
                },
            ),
        ]
        _, made, _ = plan.judge(
            [
                facts.candidate(id="a", flavor=0),
                facts.candidate(id="b", flavor=1),
            ],
            {"a": SHARED, "b": SHARED},
            surroundings(flavors=flavors),
            policy.Policy(),
        )
        self.assertEqual([model.Wave(1, 500, 1)], made)

    def test_tenant_joins_no_group_and_raises_nobody(self) -> None:
        """By default: a group says something about other instances too."""
        candidates = [
            facts.candidate(
                id="mine",
                metadata={
                    "hostrecovery:group": "shop",
                    "hostrecovery:priority": "1000",
                },
            ),
            facts.candidate(id="shop", flavor=0),
        ]
        verdicts, made, warnings = plan.judge(
            candidates,
            {"mine": SHARED, "shop": SHARED},
            surroundings(
                flavors=[model.Flavor("f", {"hostrecovery:group": "shop"})]
            ),
            policy.Policy(),
        )
        self.assertEqual([model.Wave(1, 500, 2)], made)
        self.assertEqual(2, len(warnings))


@ddt.ddt
class StartTest(base.BaseTestCase):
    """How an instance ends, and what Nova has to be able to for that."""

    def verdict(
        self,
        start: str,
        disk: tuple[str, str] = VOLUME,
        can_halt: bool = True,
        trust: bool = False,
        **candidate: Any,
    ) -> model.Verdict:
        settings = policy.Policy(
            start=start, trust_shared_storage=trust, unevacuable="reset"
        )
        around = surroundings(can_halt=can_halt)
        return judge(disk, settings, around, **candidate)[0]

    @ddt.data(
        # start, vm_state, halted, stopped
        ("restore", "active", False, False),
        ("restore", "stopped", False, True),
        ("restore", "error", False, False),
        ("restore", "paused", True, True),
        ("ordered", "active", True, False),
        ("ordered", "stopped", True, True),
        ("ordered", "error", False, False),
        ("ordered", "paused", True, True),
        ("stopped", "active", True, True),
        ("stopped", "stopped", True, True),
        ("stopped", "error", False, True),
        ("stopped", "paused", True, True),
    )
    @ddt.unpack
    def test_how_it_is_asked_and_ends(
        self, start: str, state: str, halted: bool, stopped: bool
    ) -> None:
        found = self.verdict(start, vm_state=state)
        self.assertTrue(found.recover)
        self.assertEqual((halted, stopped), (found.halted, found.stopped))

    @ddt.data("ordered", "stopped")
    def test_old_nova_cannot_and_says_so(self, start: str) -> None:
        error = self.assertRaises(
            errors.Refused, self.verdict, start, can_halt=False
        )
        self.assertIn(f"policy start={start} needs a Nova", str(error))
        self.assertIn("use start=restore", str(error))

    def test_old_nova_recovers_and_we_stop_what_was_paused(self) -> None:
        found = self.verdict("restore", can_halt=False, vm_state="paused")
        self.assertEqual((False, True), (found.halted, found.stopped))
        self.assertTrue(found.recover)

    def test_shared_disk_is_checked_rather_than_left_stopped(self) -> None:
        """A disk is worth more than an order."""
        found = self.verdict("ordered", SHARED)
        self.assertTrue(found.recover)
        self.assertFalse(found.halted)
        found = self.verdict("stopped", SHARED)
        self.assertFalse(found.recover)
        self.assertIn("trust_shared_storage=true", found.reason)
        for start in ("ordered", "stopped"):
            found = self.verdict(start, SHARED, trust=True)
            self.assertTrue(found.recover and found.halted)


class ManyTest(base.BaseTestCase):
    def test_each_of_2000_instances_is_in_the_plan_once(self) -> None:
        flavors = [
            model.Flavor(f"f{n}", {"hostrecovery:priority": str(n * 50)})
            for n in range(20)
        ]
        candidates = [
            facts.candidate(
                id=f"i{n}",
                flavor=n % 20,
                vm_state=["active", "stopped", "paused"][n % 3],
                metadata={"hostrecovery:priority": "1000", "evacuate": "?"},
            )
            for n in range(2000)
        ]
        verdicts, made, warnings = plan.judge(
            candidates,
            {c.id: SHARED for c in candidates},
            surroundings(flavors=flavors),
            policy.Policy(max_wave_size=10),
        )
        self.assertEqual(
            [c.id for c in candidates], [v.instance for v in verdicts]
        )
        recover = sum(v.recover for v in verdicts)
        self.assertEqual(recover, sum(w.evacuate for w in made))
        self.assertLessEqual(len(warnings), 101)
        found = plan.Plan(facts.NOW, 0, verdicts, made, warnings).to_dict()
        self.assertLess(len(json.dumps(found)) / 2000, 300)


class HostileTest(base.BaseTestCase):
    @facts.REPEATABLE
    @hypothesis.given(
        st.dictionaries(
            st.sampled_from(
                [
                    "hostrecovery:recover",
                    "hostrecovery:priority",
                    "hostrecovery:local_disk",
                    "hostrecovery:group",
                    "evacuate",
                ]
            ),
            st.text(max_size=70)
            | st.sampled_from(
                ["<% $ %>", "{{ _ }}", "1000", "shop", "rebuild", "\x00"]
            ),
        ),
        st.text(max_size=40),
    )
    def test_tenant_changes_no_other_instance(
        self, metadata: dict[str, str], name: str
    ) -> None:
        around = surroundings(
            flavors=[model.Flavor("f", {"hostrecovery:group": "shop"})]
        )
        others = [
            facts.candidate(id="shop", flavor=0),
            facts.candidate(id="lone"),
        ]
        hostile = facts.candidate(id="mine", name=name, metadata=metadata)
        disks = dict.fromkeys(("shop", "lone", "mine"), SHARED)
        alone, _, _ = plan.judge(others, disks, around, policy.Policy())
        found, _, warnings = plan.judge(
            [*others, hostile], disks, around, policy.Policy()
        )
        self.assertEqual(alone, found[:2])
        for sentence in warnings:
            self.assertTrue(sentence.startswith("instance mine: "))
            self.assertTrue(sentence.isprintable())
            self.assertLess(len(sentence), 300)


class PlanTest(base.BaseTestCase):
    def test_it_survives_the_round_trip(self) -> None:
        made = plan.Plan(
            facts.NOW,
            7,
            [
                facts.verdict(),
                facts.verdict(instance="db", recover=False),
                facts.verdict(
                    instance="dns",
                    wave=1,
                    start=3,
                    first="reset",
                    halted=True,
                    stopped=True,
                ),
            ],
            [model.Wave(1, None, 2), model.Wave(2, 500, 1, 1)],
            ["a warning"],
        )
        again = plan.Plan.from_dict(json.loads(json.dumps(made.to_dict())))
        self.assertEqual(made, again)
        self.assertEqual(["web", "dns"], [v.instance for v in again.recover])


candidates = st.lists(
    st.builds(
        facts.candidate,
        id=st.uuids().map(str),
        vm_state=st.sampled_from(
            [
                "active",
                "stopped",
                "error",
                "paused",
                "rescued",
                "resized",
                "building",
                "unknown",
            ]
        ),
        task_state=st.sampled_from([None, "deleting", "rebuilding"]),
        selected=st.booleans(),
        moving_to=st.sampled_from([None, "c4"]),
        launched=st.booleans(),
        evacuating=st.booleans(),
        metadata=st.dictionaries(
            st.sampled_from([RECOVER_KEY, "evacuate", "hostrecovery:group"]),
            st.sampled_from(["true", "false", "yes", "flase", ""]),
        ),
    ),
    max_size=8,
    unique_by=lambda candidate: candidate.id,
)

policies = st.builds(
    policy.Policy,
    recover=st.booleans(),
    local_disks=st.sampled_from(["leave", "rebuild"]),
    unevacuable=st.sampled_from(["leave", "reset"]),
    resized=st.sampled_from(["leave", "confirm"]),
    error_instances=st.sampled_from(["recover", "leave"]),
    start=st.sampled_from(["restore", "ordered", "stopped"]),
    trust_shared_storage=st.booleans(),
)


class PropertyTest(base.BaseTestCase):
    @facts.REPEATABLE
    @hypothesis.given(
        candidates,
        policies,
        st.sampled_from([SHARED, LOCAL, VOLUME, None]),
    )
    def test_each_candidate_has_one_verdict_with_a_reason(
        self,
        given: list[model.Candidate],
        settings: policy.Policy,
        disk: tuple[str, str] | None,
    ) -> None:
        disks = {c.id: disk for c in given} if disk else {}
        verdicts, _, _ = plan.judge(given, disks, surroundings(), settings)
        self.assertEqual([c.id for c in given], [v.instance for v in verdicts])
        for candidate, verdict in zip(given, verdicts, strict=True):
            self.assertTrue(verdict.reason)
            if not verdict.recover:
                self.assertNotIn("recover=true", verdict.reason)
                continue
            self.assertIsNone(candidate.moving_to)
            self.assertTrue(candidate.selected)
            self.assertTrue(candidate.launched)
            self.assertNotEqual("deleting", candidate.task_state)
            self.assertRegex(verdict.reason, "(recover|evacuate)=true")
            if settings.local_disks == "leave":
                self.assertIn(verdict.disk, ("volume", "shared"))
            if candidate.vm_state in ("paused", "rescued"):
                self.assertEqual("reset", verdict.first)
            if candidate.vm_state == "resized":
                self.assertEqual("confirm", verdict.first)
