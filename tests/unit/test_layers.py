# SPDX-License-Identifier: Apache-2.0
"""Who decides about an instance, and what becomes of nonsense."""

import dataclasses
from typing import Any

import ddt
import hypothesis
from hypothesis import strategies as st
from oslotest import base

from mistral_hostrecovery import layers
from mistral_hostrecovery import policy
from tests.unit import facts

DEFAULT = policy.Policy()

#: What is decided where nobody says anything usable.
POLICY_SAYS = {
    "recover": True,
    "priority": 500,
    "local_disk": "leave",
    "group": None,
}

#: Values that say nothing about anything, whatever they look like.
HOSTILE = [
    "",
    " ",
    "\x00",
    "\x1b[31mtrue",
    "true\nfalse",
    "x" * 65,
    "true" + " " * 61,
    "1" * 100_000,
    "<% $ %>",
    "<% env() %>",
    "{{ _ }}",
    "{true}",
    "%s%n%d",
    "../../etc/passwd",
    "\N{CYRILLIC SMALL LETTER TE}rue",
    "\N{FULLWIDTH LATIN SMALL LETTER T}rue",
    "\N{RIGHT-TO-LEFT OVERRIDE}eurt",
    "\N{ZERO WIDTH SPACE}true",
    "\ud800",
    "\U0001f4a9",
    "\N{ARABIC-INDIC DIGIT FIVE}",
    "\N{SUPERSCRIPT TWO}",
    "None",
    "null",
    "[]",
    "{}",
]


def metadata(by_tenant: bool = True, **tags: str) -> layers.Source:
    """Return a source; a key is written with _ for the colon."""
    return layers.Source(
        "instance metadata",
        {key.replace("hr_", "hostrecovery:"): v for key, v in tags.items()},
        by_tenant,
    )


def decide(
    saying: str,
    *levels: layers.Source | list[layers.Source],
    settings: policy.Policy = DEFAULT,
) -> layers.Decision:
    return layers.decide(
        saying,
        [[one] if isinstance(one, layers.Source) else one for one in levels],
        settings,
    )


def priority(text: str) -> layers.Decision:
    flavor = layers.Source("flavor f", {"hostrecovery:priority": text})
    return decide("priority", flavor)


def vars_of_policy() -> set[str]:
    return {field.name for field in dataclasses.fields(policy.Policy)}


@ddt.ddt
class ReaderTest(base.BaseTestCase):
    @ddt.data(
        ("0", 0),
        ("1", 1),
        ("500", 500),
        ("1000", 1000),
        ("007", 7),
        (" 7 ", 7),
    )
    @ddt.unpack
    def test_priority(self, text: str, wanted: int) -> None:
        found = priority(text)
        self.assertEqual(wanted, found.value)
        self.assertEqual([], found.warnings)
        self.assertEqual(
            f"flavor f sets hostrecovery:priority={wanted}", found.reason
        )

    @ddt.data(
        "high",
        "-1",
        "+1",
        "1001",
        "9999",
        "10000",
        "1_000",
        "1 0",
        "1.0",
        "1e2",
        "0x10",
        "true",
        "",
        " ",
        "\t5",
        "5\n",
        "\N{FULLWIDTH DIGIT FIVE}",
        "\N{ARABIC-INDIC DIGIT FIVE}",
        "\N{SUPERSCRIPT TWO}",
        "5\N{COMBINING GRAVE ACCENT}",
    )
    def test_no_priority(self, text: str) -> None:
        found = priority(text)
        self.assertEqual(500, found.value)
        self.assertEqual("policy priority=500", found.reason)
        (warning,) = found.warnings
        self.assertTrue(
            warning.startswith("flavor f sets hostrecovery:priority=")
        )
        self.assertTrue(
            warning.endswith(", which is no number from 0 to 1000: ignored")
        )

    @ddt.data(
        *[(word, True) for word in ("true", "True", "TRUE", "yes", "y", "on")],
        *[(word, True) for word in ("1", "t", " true ")],
        *[(word, False) for word in ("false", "False", "FALSE", "no", "off")],
        *[(word, False) for word in ("0", "n", "f", " false ")],
    )
    @ddt.unpack
    def test_boolean_of_any_tool(self, text: str, wanted: bool) -> None:
        found = decide("recover", metadata(hr_recover=text))
        self.assertIs(wanted, found.value)
        self.assertEqual([], found.warnings)
        self.assertEqual(
            "instance metadata sets hostrecovery:recover="
            + str(wanted).lower(),
            found.reason,
        )

    @ddt.data("leave", "rebuild")
    def test_local_disk(self, text: str) -> None:
        found = decide("local_disk", metadata(hr_local_disk=text))
        self.assertEqual(text, found.value)

    @ddt.data("Leave", " leave", "delete", "true", "")
    def test_no_local_disk(self, text: str) -> None:
        """Data is at stake, so exactly these two words."""
        found = decide("local_disk", metadata(hr_local_disk=text))
        self.assertEqual("leave", found.value)
        self.assertEqual("policy local_disks=leave", found.reason)
        self.assertIn("neither leave nor rebuild", found.warnings[0])

    def test_group(self) -> None:
        flavor = layers.Source("flavor f", {"instanceha:restart_group": "db"})
        self.assertEqual("db", decide("group", flavor).value)
        empty = layers.Source("flavor f", {"instanceha:restart_group": " "})
        found = decide("group", empty)
        self.assertIsNone(found.value)
        self.assertIn("which is no name", found.warnings[0])

    @ddt.data(*HOSTILE)
    def test_nonsense_never_raises_and_decides_nothing(
        self, text: str
    ) -> None:
        for saying in ("recover", "priority", "local_disk"):
            key = DEFAULT.keys[saying][0]
            found = decide(saying, layers.Source("flavor f", {key: text}))
            self.assertEqual(POLICY_SAYS[saying], found.value)
            (warning,) = found.warnings
            self.assertLess(len(warning), 200)
            self.assertTrue(warning.isprintable())
            self.assertTrue(warning.isascii())


@ddt.ddt
class DefaultTest(base.BaseTestCase):
    """A reason names the key of the policy that is to be changed."""

    @ddt.data(
        ("recover", {"recover": False}, False, "policy recover=false"),
        ("priority", {"priority": 7}, 7, "policy priority=7"),
        (
            "local_disk",
            {"local_disks": "rebuild"},
            "rebuild",
            "policy local_disks=rebuild",
        ),
    )
    @ddt.unpack
    def test_default(
        self, saying: str, given: dict[str, Any], value: Any, reason: str
    ) -> None:
        found = decide(saying, settings=policy.Policy(**given))
        self.assertEqual((value, reason), (found.value, found.reason))
        key = reason.split()[1].partition("=")[0]
        self.assertIn(key, vars_of_policy())


@ddt.ddt
class OrderTest(base.BaseTestCase):
    LEVELS = ("instance metadata", "image i", "flavor f", "aggregate a")

    def level(self, name: str, text: str) -> layers.Source:
        return layers.Source(name, {"hostrecovery:recover": text})

    @facts.REPEATABLE
    @hypothesis.given(
        st.lists(
            st.sampled_from([None, "true", "false", "flase", "\x00"]),
            min_size=4,
            max_size=4,
        ),
        st.booleans(),
    )
    def test_finer_always_beats_coarser(
        self, texts: list[str | None], default: bool
    ) -> None:
        said = [
            [self.level(name, text)] if text is not None else []
            for name, text in zip(self.LEVELS, texts, strict=True)
        ]
        settings = policy.Policy(recover=default)
        found = layers.decide("recover", said, settings)
        usable = [
            (name, text)
            for name, text in zip(self.LEVELS, texts, strict=True)
            if text in ("true", "false")
        ]
        if usable:
            name, text = usable[0]
            self.assertIs(text == "true", found.value)
            self.assertEqual(
                f"{name} sets hostrecovery:recover={text}", found.reason
            )
        else:
            self.assertIs(default, found.value)
            self.assertEqual(
                f"policy recover={str(default).lower()}", found.reason
            )
        before = texts.index(usable[0][1]) if usable else 4
        nonsense = [t for t in texts[:before] if t in ("flase", "\x00")]
        self.assertEqual(len(nonsense), len(found.warnings))

    def test_misspelt_value_warns_and_the_next_coarser_decides(self) -> None:
        found = decide(
            "recover",
            self.level("instance metadata", "flase"),
            self.level("flavor f", "false"),
        )
        self.assertIs(False, found.value)
        self.assertEqual(
            ["instance metadata sets hostrecovery:recover=flase, which is"
             " neither true nor false: ignored"],
            found.warnings,
        )  # fmt: skip

    def test_first_key_of_one_source_wins(self) -> None:
        both = layers.Source(
            "flavor f", {"evacuate": "true", "hostrecovery:recover": "false"}
        )
        self.assertIs(False, decide("recover", both).value)

    def test_misspelt_first_key_leaves_it_to_the_second(self) -> None:
        both = layers.Source(
            "flavor f", {"evacuate": "true", "hostrecovery:recover": "flase"}
        )
        found = decide("recover", both)
        self.assertIs(True, found.value)
        self.assertEqual("flavor f sets evacuate=true", found.reason)
        self.assertEqual(1, len(found.warnings))

    @ddt.data(
        "hostrecovery:recover",
        "evacuate",
        "evacuation:evacuate",
        "HA_Enabled",
        "evacuable",
    )
    def test_keys_of_other_tools(self, key: str) -> None:
        found = decide("recover", layers.Source("flavor f", {key: "no"}))
        self.assertIs(False, found.value)

    def test_key_is_matched_exactly(self) -> None:
        for key in ("Evacuate", "hostrecovery:Recover", "ha_enabled", " "):
            found = decide("recover", layers.Source("f", {key: "no"}))
            self.assertIs(True, found.value)

    def test_aggregates_that_contradict_each_other_are_ignored(self) -> None:
        found = decide(
            "recover",
            [
                self.level("aggregate b", "no"),
                self.level("aggregate a", "yes"),
            ],
        )
        self.assertIs(True, found.value)
        self.assertEqual("policy recover=true", found.reason)
        self.assertEqual(
            ["aggregate a sets hostrecovery:recover=true and aggregate b sets"
             " hostrecovery:recover=false: they contradict each other,"
             " ignored"],
            found.warnings,
        )  # fmt: skip

    def test_aggregates_that_agree_decide(self) -> None:
        found = decide(
            "recover",
            [self.level("aggregate b", "no"), self.level("aggregate a", "0")],
        )
        self.assertIs(False, found.value)
        self.assertEqual([], found.warnings)

    def test_aggregate_with_nonsense_does_not_contradict(self) -> None:
        found = decide(
            "recover",
            [self.level("aggregate b", "no"), self.level("aggregate a", "?")],
        )
        self.assertIs(False, found.value)
        self.assertEqual(1, len(found.warnings))


@ddt.ddt
class TenantTest(base.BaseTestCase):
    @ddt.data("priority", "group")
    def test_tenant_may_not_say_it_by_default(self, saying: str) -> None:
        key = DEFAULT.keys[saying][0]
        tenant = layers.Source("instance metadata", {key: "1000"}, True)
        found = decide(saying, tenant)
        self.assertEqual(POLICY_SAYS[saying], found.value)
        self.assertEqual(
            [f"instance metadata sets {key}=1000, which only the operator may"
             " (policy tenant_keys): ignored"],
            found.warnings,
        )  # fmt: skip

    def test_operators_word_behind_it_decides(self) -> None:
        found = decide(
            "priority",
            metadata(hr_priority="1000"),
            metadata(False, hr_priority="7"),
        )
        self.assertEqual(7, found.value)

    @ddt.data("recover", "local_disk")
    def test_site_may_forbid_that_too(self, saying: str) -> None:
        settings = policy.Policy(tenant_keys=[])
        key = DEFAULT.keys[saying][0]
        text = {"recover": "false", "local_disk": "rebuild"}[saying]
        tenant = layers.Source("instance metadata", {key: text}, True)
        found = decide(saying, tenant, settings=settings)
        self.assertEqual(POLICY_SAYS[saying], found.value)
        self.assertEqual(1, len(found.warnings))

    def test_site_may_allow_it(self) -> None:
        settings = policy.Policy(tenant_keys=["priority"])
        found = decide(
            "priority", metadata(hr_priority="1000"), settings=settings
        )
        self.assertEqual(1000, found.value)


class KnownTest(base.BaseTestCase):
    @facts.REPEATABLE
    @hypothesis.given(
        st.dictionaries(
            st.sampled_from(DEFAULT.recover_keys) | st.text(),
            st.text() | st.integers() | st.none(),
        )
    )
    def test_only_what_may_decide_is_kept_and_it_is_short(
        self, tags: dict[str, Any]
    ) -> None:
        keys = {key for names in DEFAULT.keys.values() for key in names}
        found = layers.known(tags, DEFAULT)
        self.assertEqual(tags.keys() & keys, found.keys())
        for text in found.values():
            self.assertLessEqual(len(text), layers.VALUE_LENGTH + 1)

    def test_what_was_cut_is_still_too_long(self) -> None:
        """Else the cut would make a value of what was none."""
        tags = {"hostrecovery:recover": " " * 61 + "true" + "x" * 999}
        kept = layers.known(tags, DEFAULT)
        found = decide("recover", layers.Source("flavor f", kept))
        self.assertEqual("policy recover=true", found.reason)


class HostileTest(base.BaseTestCase):
    @facts.REPEATABLE
    @hypothesis.given(
        st.sampled_from(policy.SAYINGS),
        st.text(max_size=300) | st.sampled_from(HOSTILE),
        st.text(max_size=300),
        st.booleans(),
    )
    def test_whatever_is_written_nothing_breaks(
        self, saying: str, text: str, name: str, by_tenant: bool
    ) -> None:
        key = DEFAULT.keys[saying][0]
        source = layers.Source("instance metadata", {key: text}, by_tenant)
        found = layers.decide(saying, [[source]], DEFAULT)
        for sentence in (found.reason, *found.warnings):
            self.assertLess(len(sentence), 250)
            self.assertTrue(sentence.isascii() and sentence.isprintable())
        self.assertIn(len(found.warnings), (0, 1))


class ShortenedTest(base.BaseTestCase):
    def test_few_are_all_told(self) -> None:
        few = [f"warning {n}" for n in range(100)]
        self.assertEqual(few, layers.shortened(few))

    def test_of_many_the_number_is_told(self) -> None:
        found = layers.shortened([f"warning {n}" for n in range(2000)])
        self.assertEqual(101, len(found))
        self.assertEqual("and 1900 more warnings like these", found[-1])
