# SPDX-License-Identifier: Apache-2.0
"""What an operator may set for the agent, and what is told about the rest."""

import dataclasses
import os
import pathlib
import shutil
import tempfile

from oslotest import base

from mistral_hostrecovery import errors
from mistral_hostrecovery import parameters


def environ(**values: str) -> dict[str, str]:
    return {
        f"OCF_RESKEY_{name}": value
        for name, value in {"cloud": "site", **values}.items()
    }


def parse(**values: str) -> parameters.Parameters:
    return parameters.parse(environ(**values))


#: For each parameter a value and what it becomes.
VALID = (
    ("cloud", "site-2", "site-2"),
    ("cloud", "  site  ", "site"),
    ("clouds_file", "/srv/clouds.yaml", "/srv/clouds.yaml"),
    ("mistral_url", "http://127.0.0.1:8989/v2", "http://127.0.0.1:8989/v2"),
    ("mistral_url", "https://c.org/workflow/v2/", "https://c.org/workflow/v2"),
    ("mistral_url", "https://[fd00::1]:8989/v2", "https://[fd00::1]:8989/v2"),
    ("cacert", "/etc/ssl/ca.pem", "/etc/ssl/ca.pem"),
    ("workflow", "site.recover", "site.recover"),
    ("workflow_namespace", "hosts", "hosts"),
    ("environment", "our site", "our site"),
    ("on_shared_storage", "no", False),
    ("on_shared_storage", "TRUE", True),
    ("hosts", "compute-[0-9]+", "compute-[0-9]+"),
    ("host_name", "short", "short"),
    ("domain", "example.org", "example.org"),
    ("domain", ".example.org", "example.org"),
    ("host_map", "a:b", "a:b"),
    ("host_map", " a : b ; c:d ;", "a : b ; c:d ;"),
    ("host_map", "/does/not/exist", "/does/not/exist"),
    ("max_hosts", "0", 0),
    ("max_hosts", "12", 12),
    ("late", "skip", "skip"),
    ("late", "start", "start"),
    ("report_after", "0", 0),
    ("auto_return", "1", True),
    ("request_timeout", "1", 1),
    ("request_timeout", "45", 45),
    ("deadline", "10", 10),
    ("deadline", "59", 59),
)

#: For each parameter a value that is refused, and words of the sentence.
INVALID = (
    ("cloud", "", "it is required"),
    ("cloud", "  ", "it is required"),
    ("cloud", "my site", "'my site' has a blank in it"),
    ("clouds_file", "clouds.yaml", "'clouds.yaml' is not an absolute path"),
    ("clouds_file", "~/clouds.yaml", "is not an absolute path"),
    ("mistral_url", "mistral:8989/v2", "is not the URL of a Mistral API"),
    ("mistral_url", "ftp://m.org/v2", "is not the URL of a Mistral API"),
    ("mistral_url", "http:///v2", "is not the URL of a Mistral API"),
    ("mistral_url", "http://m.org:8989", "with /v2 at its end"),
    ("mistral_url", "http://m .org/v2", "is not the URL of a Mistral API"),
    ("mistral_url", "http://m.org/v2?a=b", "is not the URL of a Mistral API"),
    ("mistral_url", "http://u:secret@m.org/v2", "no user or password"),
    ("cacert", "ca.pem", "'ca.pem' is not an absolute path"),
    ("workflow", "two words", "has a blank in it"),
    ("workflow_namespace", "two words", "has a blank in it"),
    ("on_shared_storage", "maybe", "'maybe' is neither true nor false"),
    ("hosts", "compute-(", "'compute-(' is not a regular expression"),
    ("hosts", "*", "is not a regular expression"),
    ("hosts", "a{99999999999}", "is not a regular expression"),
    ("host_name", "long", "'long' is not known: write node or short or fqdn"),
    ("host_name", "Short", "'Short' is not known"),
    ("domain", "example..org", "'example..org' is not a domain"),
    ("domain", "ex ample", "is not a domain"),
    ("domain", ".", "is not a domain"),
    ("host_map", "map.txt", "'map.txt' is not node:host"),
    ("host_map", "a:b;c", "'c' is not node:host"),
    ("host_map", "a:b:c", "'a:b:c' is not node:host"),
    ("host_map", "a:b c:d", "'a:b c:d' is not node:host"),
    ("host_map", "a:", "'a:' is not node:host"),
    ("host_map", "a:b;a:c", "names node a twice"),
    ("host_map", "a:b;c:b", "gives host b to two nodes"),
    ("max_hosts", "-1", "'-1' is not a whole number from 0"),
    ("max_hosts", "some", "'some' is not a whole number"),
    ("max_hosts", "1.5", "'1.5' is not a whole number"),
    ("max_hosts", "\u0663", "is not a whole number"),
    ("max_hosts", "9" * 5000, "is not a whole number"),
    ("late", "never", "'never' is not known: write skip or report or start"),
    ("report_after", "10 min", "'10 min' is not a whole number"),
    ("auto_return", "2", "'2' is neither true nor false"),
    ("request_timeout", "0", "'0' is not a whole number from 1 to 59"),
    ("request_timeout", "10s", "write one, without a unit"),
    ("request_timeout", "46", "45 seconds are less than request_timeout, 46"),
    ("deadline", "60", "'60' is not a whole number from 1 to 59"),
    ("deadline", "9", "9 seconds are less than request_timeout, 10"),
)


class TestParse(base.BaseTestCase):
    def test_what_is_valid(self) -> None:
        for name, text, value in VALID:
            found = getattr(parse(**{name: text}), name)
            self.assertEqual((name, value), (name, found))
        self.assertEqual(
            set(parameters.TABLE) - {"cloud"},
            {name for name, _, _ in VALID} - {"cloud"},
        )

    def test_what_is_invalid_says_what_and_what_to_do(self) -> None:
        for name, text, words in INVALID:
            refused = self.assertRaises(
                parameters.Invalid, parse, **{name: text}
            )
            (reason,) = refused.reasons
            told = "deadline" if "request_timeout," in words else name
            self.assertTrue(reason.startswith(f"{told}: "), reason)
            self.assertIn(words, reason)
            self.assertRegex(reason, ": .*: (write|leave|name|raise|correct)")
        # Whatever text is an environment.
        self.assertEqual(
            set(parameters.TABLE) - {"environment"},
            {name for name, _, _ in INVALID},
        )

    def test_a_password_is_not_repeated(self) -> None:
        url = "http://u:secret@m.org/v2"
        refused = self.assertRaises(parameters.Invalid, parse, mistral_url=url)
        self.assertNotIn("secret", str(refused))

    def test_all_reasons_are_told_at_once(self) -> None:
        refused = self.assertRaises(
            parameters.Invalid,
            parse,
            cloud="",
            late="never",
            deadline="5",
            host_name="fqdn",
        )
        self.assertEqual(
            ["cloud", "late", "deadline", "domain"],
            [reason.partition(":")[0] for reason in refused.reasons],
        )
        for reason in refused.reasons:
            self.assertIn(reason, str(refused))

    def test_what_is_wrong_already_is_not_compared(self) -> None:
        for values in (
            {"request_timeout": "x", "deadline": "5"},
            {"request_timeout": "50", "deadline": "x"},
            {"host_name": "fqdn", "domain": ".."},
        ):
            refused = self.assertRaises(parameters.Invalid, parse, **values)
            self.assertEqual(1, len(refused.reasons), refused.reasons)

    def test_empty_is_the_default(self) -> None:
        nothing = {name: "" for name in parameters.TABLE if name != "cloud"}
        self.assertEqual(parse(), parse(**nothing))

    def test_each_default_is_valid_as_it_is_described(self) -> None:
        described = {
            name: parameters.default(name) or ""
            for name in parameters.TABLE
            if name != "cloud"
        }
        self.assertIsNone(parameters.default("cloud"))
        self.assertEqual(parse(), parse(**described))

    def test_other_variables_do_not_matter(self) -> None:
        others = {"OCF_RESKEY_CRM_meta_timeout": "1", "PATH": "x", "late": "x"}
        self.assertEqual(parse(), parameters.parse(environ() | others))

    def test_it_cannot_be_changed(self) -> None:
        self.assertRaises(
            dataclasses.FrozenInstanceError, setattr, parse(), "cloud", "x"
        )


class TestBoolean(base.BaseTestCase):
    def test_the_words_of_ocf(self) -> None:
        for text in ("true", "yes", "on", "1", "y", "t", "Yes", " ON "):
            self.assertTrue(parameters.boolean(text), text)
        for text in ("false", "no", "off", "0", "n", "f", "No", "FALSE\n"):
            self.assertFalse(parameters.boolean(text), text)

    def test_anything_else_is_refused(self) -> None:
        for text in ("", "2", "maybe", "tru", "none", "00", "-1"):
            self.assertRaises(errors.Refused, parameters.boolean, text)


class TestHostFor(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.dir = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.dir)

    def file(self, text: str) -> str:
        path = self.dir / "hosts"
        path.write_text(text)
        return str(path)

    def refused(self, node: str, **values: str) -> str:
        found = parse(**values)
        return str(self.assertRaises(errors.Refused, found.host_for, node))

    def test_names(self) -> None:
        for host_name, node, host in (
            ("node", "c1", "c1"),
            ("node", "c1.example.org", "c1.example.org"),
            ("short", "c1", "c1"),
            ("short", "c1.example.org", "c1"),
            ("fqdn", "c1", "c1.site.org"),
            ("fqdn", "c1.example.org", "c1.example.org"),
        ):
            found = parse(host_name=host_name, domain="site.org")
            self.assertEqual(host, found.host_for(node), (host_name, node))

    def test_the_map_comes_before_the_rule(self) -> None:
        for host_map in (
            "c1:nova-1;c2:nova-2",
            " c1 : nova-1 ; c2 : nova-2 ;",
            self.file("# ours\n\nc1 nova-1\n  c2\tnova-2  # new\n"),
        ):
            found = parse(
                host_map=host_map, host_name="fqdn", domain="site.org"
            )
            self.assertEqual("nova-1", found.host_for("c1"))
            self.assertEqual("nova-2", found.host_for("c2"))
            self.assertEqual("c3.site.org", found.host_for("c3"))

    def test_a_map_that_cannot_be_read_names_no_host(self) -> None:
        gone = str(self.dir / "gone")
        said = self.refused("c1", host_map=gone)
        self.assertIn(f"{gone} cannot be read (No such file", said)
        self.assertIn("create it on every controller", said)
        self.assertIn("cannot be read", self.refused("c1", host_map="/"))
        path = self.dir / "bytes"
        path.write_bytes(b"c1 \xff\n")
        self.assertIn("cannot be read", self.refused("c1", host_map=str(path)))

    def test_a_malformed_line_names_no_host(self) -> None:
        for text, words in (
            ("c1 nova-1\nc2\n", "line 2 of"),
            ("c1:nova-1\n", "line 1 of"),
            ("c1 nova-1 more\n", "is not a node and a host"),
            ("c1 nova-1\nc1 nova-2\n", "names node c1 twice"),
            ("c1 nova-1\nc2 nova-1\n", "gives host nova-1 to two nodes"),
        ):
            said = self.refused("c3", host_map=self.file(text))
            self.assertIn(words, said)
            self.assertIn(str(self.dir), said)

    def test_the_host_of_another_node_is_not_named(self) -> None:
        said = self.refused("c2", host_map="c1:c2")
        self.assertIn("node c2 would be host c2 in Nova", said)
        self.assertIn("node c1", said)

    def test_the_file_is_read_each_time(self) -> None:
        found = parse(host_map=self.file("c1 a\n"))
        self.assertEqual("a", found.host_for("c1"))
        self.file("c1 b\n")
        self.assertEqual("b", found.host_for("c1"))


class TestMissing(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.dir = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.dir)

    def test_nothing(self) -> None:
        path = self.dir / "file"
        path.write_text("c1 nova-1\n")
        found = parse(
            clouds_file=str(path), cacert=str(path), host_map=str(path)
        )
        self.assertEqual([], found.missing())
        self.assertEqual([], parse(clouds_file=str(path)).missing())

    def test_each_file_that_cannot_be_read(self) -> None:
        gone = os.path.join(self.dir, "gone")
        found = parse(clouds_file=gone, cacert=gone, host_map=gone)
        reasons = found.missing()
        self.assertEqual(
            ["clouds_file", "cacert", "host_map"],
            [reason.partition(":")[0] for reason in reasons],
        )
        for reason in reasons:
            self.assertIn(f"{gone} cannot be read (No such file", reason)

    def test_a_malformed_map(self) -> None:
        path = self.dir / "file"
        path.write_text("c1\n")
        (reason,) = parse(clouds_file=str(path), host_map=str(path)).missing()
        self.assertIn("host_map: line 1 of", reason)


class TestTable(base.BaseTestCase):
    def test_each_parameter_is_explained(self) -> None:
        for name, about in parameters.TABLE.items():
            self.assertIn(about.type, ("string", "integer", "boolean"), name)
            self.assertTrue(about.short[0].isupper(), name)
            self.assertFalse(about.short.endswith("."), name)
            self.assertTrue(about.long.endswith("."), name)
            self.assertNotIn("\n", about.short + about.long)

    def test_the_deadline_is_below_the_timeout_of_the_monitor(self) -> None:
        self.assertLess(parse().deadline, parameters.MONITOR_SECONDS)
