# Copyright the pcictl authors
# SPDX-License-Identifier: MIT OR Apache-2.0
"""The module as Ansible runs it, in a process that reads its arguments: on a dumped tree, and with a pcictl that answers what a
test wants. PCICTL names the program and TREE the tree `manual`, unpacked; tests/soak/ansible sets both."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import json
import os
import stat
import subprocess
import sys
import tempfile
import unittest

MODULE = os.path.join(os.path.dirname(__file__), "../../../../plugins/modules/pcictl.py")


def run(arguments, check=False):
    """What the module answers."""
    arguments = dict(arguments, _ansible_check_mode=check, _ansible_diff=True)
    process = subprocess.run([sys.executable, MODULE], input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode(),
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    try:
        return json.loads(process.stdout.decode())
    except ValueError:
        raise AssertionError(process.stdout.decode() + process.stderr.decode())


class OnTree(unittest.TestCase):
    """Check mode, by the real program."""

    def plan(self, **arguments):
        arguments.update(executable=os.environ["PCICTL"], sysroot=os.environ["TREE"])
        return run(arguments, check=True)

    def test_absent(self):
        result = self.plan(selector="0000:03:00.0", state="absent")
        self.assertTrue(result["changed"], result)
        self.assertEqual(result["diff"], {"before": "0000:03:00.0 nvme\n", "after": ""})
        self.assertEqual(result["document"]["document"], "plan")
        gone = self.plan(selector="0000:7f:00.0", state="absent")
        self.assertFalse(gone["changed"], gone)

    def test_present(self):
        self.assertFalse(self.plan(selector="/dev/nvme0n1", state="present")["changed"])
        result = self.plan(selector="0000:03:01.0", state="present", settle="5s")
        self.assertTrue(result["changed"], result)
        self.assertIn("--settle", result["command"])
        # One of two is not enough, however many the other means.
        result = self.plan(selector=["driver:ioatdma", "0000:03:01.0"], state="present", each=True)
        self.assertTrue(result["changed"], result)

    def test_present_nowhere(self):
        result = self.plan(selector="0000:7f:00.0", state="present")
        self.assertTrue(result["failed"] and result["status"] == 3, result)

    def test_replugged(self):
        result = self.plan(selector="slot:7", state="replugged", reset=True, expect="driver=nvme", accept=["link", "names"])
        self.assertTrue(result["changed"], result)
        for word in ("--reset", "--dry-run", "link,names", "driver=nvme"):
            self.assertIn(word, result["command"])
        self.assertEqual(result["diff"]["before"], result["diff"]["after"])

    def test_driver(self):
        result = self.plan(selector="0000:03:00.0", state="driver", driver="vfio-pci")
        self.assertEqual(result["diff"], {"before": "0000:03:00.0 nvme\n", "after": "0000:03:00.0 vfio-pci\n"})
        self.assertTrue(self.plan(selector="0000:03:00.0", state="driver", driver="none")["changed"])
        # It has no override that could be cleared.
        self.assertFalse(self.plan(selector="0000:03:00.0", state="driver", driver="default")["changed"])

    def test_each(self):
        refused = self.plan(selector="driver:ioatdma", state="absent")
        self.assertTrue(refused["failed"] and refused["status"] == 2, refused)
        self.assertTrue(self.plan(selector="driver:ioatdma", state="absent", each=True)["changed"])
        several = self.plan(selector=["0000:00:04.0", "0000:00:04.1"], state="absent")
        self.assertEqual(several["diff"]["before"].count("\n"), 2)

    def test_no_virtual_functions(self):
        result = self.plan(selector="0000:03:00.0", state="sriov", numvfs=2)
        self.assertTrue(result["failed"] and result["status"] == 1, result)

    def test_what_is_missing(self):
        self.assertIn("driver", self.plan(selector="0000:03:00.0", state="driver")["msg"])
        self.assertIn("numvfs", self.plan(selector="0000:03:00.0", state="sriov")["msg"])
        self.assertIn("one selector", self.plan(selector=["a", "b"], state="driver", driver="x")["msg"])
        changing = run({"selector": "0000:03:00.0", "state": "absent", "sysroot": os.environ["TREE"]})
        self.assertIn("check mode", changing["msg"])


class Answered(unittest.TestCase):
    """A pcictl that lists one function, and answers a change as a test wants."""

    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.history = []

    def tearDown(self):
        self.directory.cleanup()

    def path(self, name):
        return os.path.join(self.directory.name, name)

    def answered(self, status, document, check=False, **arguments):
        listed = {"functions": [{"address": "0000:03:00.0", "driver": "nvme"}]}
        past = {"boot_id": "this", "operations": self.history}
        for name, answer in (("list", listed), ("history", past), ("change", document)):
            with open(self.path(name), "w") as file:
                json.dump(answer, file)
        program = self.path("pcictl")
        with open(program, "w") as file:
            file.write('#!/bin/sh\ncd %s; echo "$@" >>called\ncase $1 in list | history) cat $1 ;; *) cat change; exit %d ;; esac\n'
                       % (self.directory.name, status))
        os.chmod(program, os.stat(program).st_mode | stat.S_IXUSR)
        arguments = dict({"selector": "0000:03:00.0", "state": "replugged", "executable": program}, **arguments)
        return run(arguments, check)

    def error(self, status, kind, message, **facts):
        return {"document": "error", "changed": False, "error": dict(facts, kind=kind, message=message, exit_code=status)}

    def worse(self):
        found = [{"address": "0000:03:00.0", "what": "link", "old": "16 GT/s x4", "new": "2.5 GT/s x1", "matters": True},
                 {"address": "0000:03:00.0", "what": "names", "old": "nvme0n1", "new": "nvme1n1", "matters": False}]
        return {"document": "replug", "changed": True, "rescanned": {"differences": found, "missing": ["0000:03:00.1"]}}

    def test_not_as_it_was_fails_with_both_values(self):
        result = self.answered(6, self.worse())
        self.assertTrue(result["failed"] and result["changed"] and result["status"] == 6, result)
        self.assertEqual(result["msg"], "0000:03:00.0 link: 16 GT/s x4 -> 2.5 GT/s x1; 0000:03:00.1: missing")
        self.assertEqual(len(result["differences"]), 1)
        self.assertEqual(result["document"]["document"], "replug")

    def test_what_did_not_come_is_told(self):
        found = {"address": None, "kind": "expected", "what": "expected driver=nosuch: 1 to come", "old": None,
                 "new": None, "matters": True, "why": "not there after 10 s"}
        result = self.answered(6, {"document": "rescan", "changed": True, "differences": [found]}, state="absent")
        self.assertEqual(result["msg"], "expected driver=nosuch: 1 to come: not there after 10 s")

    def test_not_as_it_was_may_be_a_warning(self):
        result = self.answered(6, self.worse(), on_mismatch="warn")
        self.assertTrue(result["changed"] and not result.get("failed"), result)
        self.assertIn("link: 16 GT/s x4 -> 2.5 GT/s x1", str(result["warnings"]))

    def test_somebody_else_has_it(self):
        result = self.answered(75, self.error(75, "locked", "it is locked by pid 7"))
        self.assertTrue(result["failed"] and not result["changed"] and result["status"] == 75)
        self.assertIn("it is locked by pid 7: somebody else has the lock, nothing was changed; try again", result["msg"])

    def test_the_kernel_has_not_finished(self):
        result = self.answered(124, self.error(124, "unfinished", "waiting for driver nvme"))
        self.assertIn("goes on on that host and keeps its lock", result["msg"])
        self.assertIn("do not repeat it", result["msg"])

    def test_users_are_told(self):
        users = [{"danger": "mounted", "what": "/srv"}]
        document = self.error(4, "in_use", "0000:03:00.0: in use", users=users, hint="--force mounted")
        result = self.answered(4, document)
        self.assertEqual((result["msg"], result["users"]), ("0000:03:00.0: in use: --force mounted", users))

    def test_what_is_forced_is_confirmed(self):
        self.answered(0, {"changed": True, "rescanned": {}}, force=["mounted", "open"])
        with open(self.path("called")) as called:
            self.assertIn("replug --json --yes --force mounted,open -- 0000:03:00.0\n", called.read())

    def test_replugged_already(self):
        def past(command, status, boot="this"):
            return {"command": command, "in_boot": boot, "end": {"exit_code": status}}
        done = {"changed": True, "rescanned": {}}
        for history, changed in (
                ([past("pcictl replug 0000:03:00.0", 0)], False),
                ([past("pcictl replug 0000:03:00.0", 6)], True),
                ([past("pcictl replug 0000:03:00.0", 0, "another")], True),
                ([past("pcictl remove replug", 0)], True),
                ([dict(past("pcictl replug 0000:03:00.0", 0), end=None)], True),
                ([], True)):
            self.history = history
            self.assertEqual(self.answered(0, done, since="boot")["changed"], changed, history)
        self.history = [past("pcictl replug 0000:03:00.0", 0, "another")]
        self.assertFalse(self.answered(0, done, since="2h")["changed"])
        # Without it, each time.
        self.assertTrue(self.answered(0, done)["changed"])

    def test_no_document(self):
        result = run({"selector": "0000:03:00.0", "state": "absent", "executable": "/bin/false"})
        self.assertTrue(result["failed"] and "it printed nothing" in result["msg"], result)


if __name__ == "__main__":
    unittest.main()
