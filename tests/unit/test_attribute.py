# SPDX-License-Identifier: Apache-2.0
"""How an incident is kept as the attribute of a node."""

import json
from typing import Any
import uuid

import ddt
import hypothesis
from hypothesis import strategies as st
from oslotest import base

from mistral_hostrecovery import attribute
from mistral_hostrecovery import errors
from mistral_hostrecovery import incident
from mistral_hostrecovery.incident import ENDED
from mistral_hostrecovery.incident import LOST
from mistral_hostrecovery.incident import PENDING
from mistral_hostrecovery.incident import STARTED
from mistral_hostrecovery.incident import UNFENCED
from mistral_hostrecovery.incident import Incident
from tests.unit import facts
from tests.unit.test_incident import KINDS
from tests.unit.test_incident import T1
from tests.unit.test_incident import open_incident

#: Without what JSON would make longer, or an XML attribute change.
PRINTABLE = sorted({*map(chr, range(0x21, 0x7F))} - {'"', "\\"})
NAMES = st.text(PRINTABLE, min_size=1, max_size=attribute.HOST_LENGTH)

#: The last second that can be written.
LAST = 2**33 - 1


@st.composite
def incidents(draw: st.DrawFn) -> Incident:
    """All that can ever be written."""
    state = draw(st.sampled_from((PENDING, STARTED, ENDED)))
    ends = st.sampled_from((*incident.FINAL, LOST))
    named = state != PENDING or draw(st.booleans())
    return Incident(
        id=str(draw(st.uuids())),
        at=draw(st.integers(1, LAST)),
        host=draw(NAMES) if named else None,
        shared=draw(st.booleans()) if named else None,
        kind=draw(st.sampled_from(KINDS)),
        attempt=draw(st.integers(1, incident.ATTEMPTS)),
        state=state,
        covered=draw(st.integers(0, LAST)),
        end=draw(ends) if state == ENDED else None,
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def fields(**changed: Any) -> dict[str, Any]:
    """Return what is written about a started incident."""
    text = attribute.encode(open_incident(state=STARTED, covered=T1))
    return {**json.loads(text), **changed}


#: What cannot be, by field.
WRONG: list[tuple[str, Any]] = [
    ("v", 2),
    ("v", 0),
    ("v", "1"),
    ("v", None),
    ("v", [1]),
    ("id", None),
    ("id", 1),
    ("id", ""),
    ("id", "6D8C7C40-2A0F-5C39-9B6E-0A0A0A0A0A0A"),
    ("id", "../../workflows/6d8c7c40"),
    ("at", None),
    ("at", 0),
    ("at", -1),
    ("at", 2**33),
    ("at", 10**12),
    ("at", 10**30),
    ("at", True),
    ("at", 1.5),
    ("at", "1893499200"),
    ("st", None),
    ("st", "done"),
    ("st", ["started"]),
    ("st", "ended"),
    ("host", None),
    ("host", ""),
    ("host", 1),
    ("host", "h" * 91),
    ("host", "cmp 1"),
    ("host", "cmp1\n"),
    ("host", "cmp\u00e9"),
    ("host", 'cmp"1'),
    ("host", "cmp\\1"),
    ("host", "cmp\x7f"),
    ("host", ["cmp1"]),
    ("shared", None),
    ("shared", 1),
    ("shared", "true"),
    ("for", "evacuate"),
    ("for", {}),
    ("n", 0),
    ("n", 4),
    ("n", True),
    ("n", "2"),
    ("seen", -1),
    ("seen", "0"),
    ("seen", False),
    ("seen", 2**33),
    ("end", "SUCCESS"),
    ("end", "RUNNING"),
    ("unknown", 1),
]


class EncodeTest(base.BaseTestCase):
    @facts.REPEATABLE
    @hypothesis.given(incidents())
    def test_round_trip(self, known: Incident) -> None:
        self.assertEqual(known, attribute.decode(attribute.encode(known)))

    @facts.REPEATABLE
    @hypothesis.given(incidents())
    def test_it_fits(self, known: Incident) -> None:
        self.assertLessEqual(
            len(attribute.encode(known).encode()), attribute.SIZE
        )

    def test_the_longest_fits(self) -> None:
        longest = Incident(
            id=str(uuid.UUID(int=0)),
            at=LAST,
            host="h" * attribute.HOST_LENGTH,
            shared=False,
            kind=UNFENCED,
            attempt=incident.ATTEMPTS,
            state=ENDED,
            covered=LAST - 1,
            end="CANCELLED",
        )
        text = attribute.encode(longest)
        self.assertLessEqual(len(text), attribute.SIZE)
        self.assertEqual(longest, attribute.decode(text))

    def test_what_an_earlier_version_wrote_is_read(self) -> None:
        text = (
            '{"v":1,"id":"300d824e-90e2-5d59-b844-0ae89023ea7c",'
            '"at":1893499200,"st":"pending","host":"cmp1.example.org",'
            '"shared":true}'
        )
        self.assertEqual(open_incident(), attribute.decode(text))
        self.assertEqual(text, attribute.encode(open_incident()))

    def test_the_longest_time_can_be_asked_for(self) -> None:
        _, asked = incident.request(open_incident(at=LAST), "w")
        self.assertEqual("2242-03-16T12:56:31+00:00", asked["failed_at"])


@ddt.ddt
class DecodeTest(base.BaseTestCase):
    def refused(self, text: str) -> str:
        return str(self.assertRaises(errors.Refused, attribute.decode, text))

    def test_the_unchanged_fields_are_fine(self) -> None:
        """Or the tests below would prove nothing."""
        text = json.dumps(fields())
        self.assertEqual(STARTED, attribute.decode(text).state)

    @ddt.data(*WRONG)
    @ddt.unpack
    def test_wrong_field(self, name: str, value: Any) -> None:
        self.refused(json.dumps(fields(**{name: value})))

    @ddt.data("v", "id", "at", "st", "host", "shared")
    def test_missing_field(self, name: str) -> None:
        known = fields()
        del known[name]
        self.refused(json.dumps(known))

    def test_refusal_says_what_to_do(self) -> None:
        said = self.refused('{"v":2,"id":"x"}')
        self.assertIn("version 2", said)
        self.assertIn("then delete the attribute", said)
        self.assertNotIn("\n", self.refused("a\nb"))
        self.assertLess(len(self.refused("x" * 9999)), 400)

    def test_only_what_has_ended_has_an_end(self) -> None:
        for state, end, fine in (
            (ENDED, "SUCCESS", True),
            (ENDED, LOST, True),
            (ENDED, None, False),
            (ENDED, "RUNNING", False),
            (STARTED, "SUCCESS", False),
            (PENDING, LOST, False),
        ):
            text = json.dumps(fields(st=state, end=end))
            if fine:
                self.assertEqual(end, attribute.decode(text).end)
            else:
                self.assertIn("its end cannot be", self.refused(text))

    def test_what_is_too_deep_for_python(self) -> None:
        for text in ("[" * 200_000, '{"v":' * 200_000):
            self.refused(text)

    @facts.REPEATABLE
    @hypothesis.given(st.text())
    def test_any_text(self, text: str) -> None:
        self.refused(text)

    @facts.REPEATABLE
    @hypothesis.given(JSON)
    def test_any_json(self, value: Any) -> None:
        self.refused(json.dumps(value))

    @facts.REPEATABLE
    @hypothesis.given(st.sampled_from([*fields(), "for", "n", "end"]), JSON)
    def test_any_json_in_a_field(self, name: str, value: Any) -> None:
        """It is refused, or it is one that could have been written."""
        try:
            known = attribute.decode(json.dumps(fields(**{name: value})))
        except errors.Refused:
            return
        self.assertEqual(known, attribute.decode(attribute.encode(known)))

    @facts.REPEATABLE
    @hypothesis.given(incidents(), st.integers(0, 250))
    def test_cut_short(self, known: Incident, length: int) -> None:
        text = attribute.encode(known)
        if length < len(text):
            self.refused(text[:length])
