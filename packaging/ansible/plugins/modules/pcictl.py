#!/usr/bin/python
# Copyright the pcictl authors
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Brings PCI devices to a state by pcictl(8), which is asked for one JSON document each time."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
---
module: pcictl
short_description: Remove PCI devices, bring them back, and choose their drivers and virtual functions
version_added: 0.1.0
description:
  - Brings PCI devices to a state by C(pcictl), which locks what it changes, refuses while a device is in use, stops drivers
    before it removes anything, and compares what comes back with what was there.
  - A device that comes back as another one than it was (exit status 6) fails the task, so that a play with C(serial)
    stops at the first such server.
requirements:
  - C(pcictl) on the managed host, which must be the host itself and not a container, and root.
options:
  selector:
    description:
      - The devices, by any names that C(pcictl) knows, as V(0000:03:00.0), V(/dev/nvme0n1), V(eth0), V(slot:7), V(serial:S4EV).
      - A name that a device has only while it is there (V(/dev/nvme0n1)) is of no use for O(state=present).
      - A name of several devices, as V(driver:nvidia), needs O(each=true).
      - O(state=driver) and O(state=sriov) take one name.
    type: list
    elements: str
    required: true
    aliases: [device, name]
  state:
    description:
      - V(absent) removes what is there.
      - V(present) scans for what is not there, with V(--expect) also for what is, and waits until it can be used.
      - V(replugged) removes and brings back; see O(since) for when that was done already.
      - V(driver) gives it to O(driver) by an override.
      - V(sriov) has it make O(numvfs) virtual functions.
    type: str
    required: true
    choices: [absent, present, replugged, driver, sriov]
  driver:
    description:
      - For O(state=driver), the driver, or V(none) to keep every driver away, or V(default) for the one that fits.
      - For O(state=sriov), the driver that each virtual function is to have.
    type: str
  numvfs:
    description: How many virtual functions it is to make.
    type: int
  since:
    description:
      - For O(state=replugged), nothing is done if C(pcictl history) has a replug of each device that went well since then, as
        V(2h), V(yesterday) or V(2026-11-28), or V(boot) for since the machine was booted.
      - Without it the device is replugged each time.
    type: str
  force:
    description: Kinds of use to override, as V(mounted) or V(holders), each one by its name; see C(pcictl-users(7)).
    type: list
    elements: str
    default: []
  accept:
    description: Kinds of difference that do not matter when a device comes back, as V(link) or V(names).
    type: list
    elements: str
    default: []
  expect:
    description: What must come besides, as V(driver=nvme,count=4) or V(link=16x4).
    type: str
  each:
    description: Accept more than one device.
    type: bool
    default: false
  with_siblings:
    description: Include the other functions of the same device.
    type: bool
    default: false
  iommu_group:
    description: Include the other functions of the same IOMMU group.
    type: bool
    default: false
  whole_device:
    description: Accept the name of one of several disks or interfaces of a device for the whole device.
    type: bool
    default: false
  reset:
    description: For O(state=replugged), reset each function once its driver is stopped.
    type: bool
    default: false
  power_cycle:
    description: For O(state=replugged), switch the power of the slot off and on.
    type: bool
    default: false
  escalate:
    description: For O(state=replugged), try harder if the device does not come back.
    type: bool
    default: false
  restore:
    description: Restore virtual functions with their MACs, settings and drivers, driver overrides and power settings.
    type: bool
    default: false
  persist:
    description: For O(state=driver), keep the override over reboots, by the files of C(driverctl).
    type: bool
    default: false
  jobs:
    description: How many drivers to stop or start at a time.
    type: int
  wait:
    description: How long to wait for locks, as V(30) seconds or V(5m).
    type: str
  timeout:
    description:
      - How long one write to the kernel may take.
      - The connection must live that much longer than O(wait); with C(async) let its time be more than the sum.
    type: str
  settle:
    description: How long to wait for drivers, disks and interfaces of what comes.
    type: str
  on_mismatch:
    description:
      - What becomes of the task if the device is not what it was, or lacks what was expected (exit status 6).
      - With V(warn) the task succeeds with a warning, and RV(differences) has what differs.
    type: str
    choices: [fail, warn]
    default: fail
  executable:
    description: The program.
    type: path
    default: pcictl
  sysroot:
    description: A dumped tree to read in place of the machine. Only in check mode, for nothing can be changed there.
    type: path
attributes:
  check_mode:
    support: full
    description: Plans, locks nothing, and changes nothing.
  diff_mode:
    support: full
    description: Tells drivers before and after, function by function.
notes:
  - An option that a state has no use for is ignored, so that C(module_defaults) can be given for all of them.
  - Exit status 75 means that somebody else has the device's lock, and 124 that the kernel has not finished. In the latter case
    the operation goes on and keeps its lock, so that a second try waits for the first; RV(status) and the message tell.
author:
  - The pcictl authors (@pcictl)
"""

EXAMPLES = r"""
- name: Replug the GPU of each server, and stop at the first that does not come back as it was
  pcictl.pcictl.pcictl:
    selector: "0000:3b:00.0"
    state: replugged
    reset: true
    since: boot

- name: Give all functions of a card to guests
  pcictl.pcictl.pcictl:
    selector: "0000:03:00.0"
    with_siblings: true
    state: driver
    driver: vfio-pci

- name: Have eight virtual functions, the first ones as they were
  pcictl.pcictl.pcictl:
    selector: ens1f0
    state: sriov
    numvfs: 8
    restore: true

- name: Take a drive out, as soon as nobody else works on it
  pcictl.pcictl.pcictl:
    selector: "serial:S4EVNF0M900001"
    state: absent
    whole_device: true
  register: taken_out
  until: taken_out.status | default(0) != 75
  retries: 5
  delay: 60
"""

RETURN = r"""
status:
  description: The exit status of pcictl(8).
  returned: when pcictl was run
  type: int
  sample: 6
document:
  description: The JSON document that pcictl printed; see C(pcictl-json(7)).
  returned: when pcictl was run
  type: dict
command:
  description: The command line.
  returned: when pcictl was run
  type: list
  elements: str
differences:
  description: What is not as it was, each with C(address), C(what), C(old) and C(new).
  returned: when pcictl compared something
  type: list
  elements: dict
users:
  description: Who uses the device.
  returned: when that is why pcictl refused
  type: list
  elements: dict
"""

import json

from ansible.module_utils.basic import AnsibleModule

# Options that every command has which changes something, and those of some.
ALWAYS = ["wait", "timeout"]
VALUES = {
    "absent": ["jobs"],
    "present": ["settle", "expect"],
    "replugged": ["jobs", "settle", "expect"],
    "driver": ["jobs"],
    "sriov": ["jobs", "settle"],
}
FLAGS = {
    "absent": ["each", "with_siblings", "iommu_group", "whole_device"],
    "present": ["each", "restore"],
    "replugged": ["each", "with_siblings", "iommu_group", "whole_device", "reset", "power_cycle", "escalate", "restore"],
    "driver": ["each", "with_siblings", "iommu_group", "whole_device", "persist"],
    "sriov": ["restore"],
}
LISTS = {
    "absent": ["force"],
    "present": ["accept"],
    "replugged": ["force", "accept"],
    "driver": ["force"],
    "sriov": ["force"],
}
VERBS = {"absent": "remove", "present": "rescan", "replugged": "replug", "driver": "override", "sriov": "sriov"}

MEANINGS = {
    75: "somebody else has the lock, nothing was changed; try again, or give a longer 'wait'",
    124: "the kernel has not finished; the operation goes on on that host and keeps its lock, 'pcictl status' shows it; do not "
         "repeat it",
    5: "partly done; 'pcictl status' on that host shows what is left, 'pcictl recover' completes or undoes it",
    130: "interrupted; 'pcictl status' on that host shows whether something is left",
}


class Pcictl(object):
    """Runs pcictl, and reads its documents."""

    def __init__(self, module):
        self.module = module
        self.params = module.params
        self.state = self.params["state"]
        self.all_there = False

    def run(self, words):
        """Returns the exit status, the document, and the command line."""
        tree = ["--sysroot", self.params["sysroot"]] if self.params["sysroot"] else []
        command = [self.params["executable"]] + tree + words
        status, out, err = self.module.run_command(command)
        try:
            return status, json.loads(out), command
        except ValueError:
            said = err.strip() or out.strip() or "it printed nothing"
            self.module.fail_json(msg="%s: %s" % (" ".join(command), said), status=status, command=command)

    def functions(self):
        """The drivers of all functions that the selectors mean now, and of virtual functions; by address. Whether each selector
        means one is kept in all_there."""
        drivers, self.all_there = {}, True
        for selector in self.params["selector"]:
            status, document, command = self.run(["list", "--json", "--", selector])
            # 3 is that nothing matches.
            if status not in (0, 3):
                self.fail(status, document, command)
            self.all_there = self.all_there and status == 0
            for function in document.get("functions", []):
                drivers[function["address"]] = function["driver"]
        if self.state == "sriov":
            status, document, command = self.run(["sriov", "--json", "--", self.params["selector"][0]])
            if status != 0:
                self.fail(status, document, command)
            for function in document["virtual_functions"]:
                drivers[function["address"]] = function["driver"]
        return drivers

    def is_replugged(self, addresses):
        """Whether each function was replugged since then, and came back as it was."""
        since = self.params["since"]
        words = ["history", "--json"]
        if since != "boot":
            words += ["--since", since]
        for address in addresses:
            status, document, command = self.run(words + ["--", address])
            if status == 3:
                return False
            if status != 0:
                self.fail(status, document, command)
            if not any(is_good_replug(past, document["boot_id"], since) for past in document["operations"]):
                return False
        return bool(addresses)

    def words(self):
        """The command line for the state."""
        words = [VERBS[self.state], "--json"]
        # The task itself is the confirmation.
        if self.params["force"] and "force" in LISTS[self.state]:
            words.append("--yes")
        if self.module.check_mode:
            words.append("--dry-run")
        if self.state == "absent":
            words.append("--if-present")
        for name in ALWAYS + VALUES[self.state]:
            if self.params[name] is not None:
                words += ["--" + name, str(self.params[name])]
        for name in FLAGS[self.state]:
            if self.params[name]:
                words.append("--" + name.replace("_", "-"))
        for name in LISTS[self.state]:
            if self.params[name]:
                words += ["--" + name, ",".join(self.params[name])]
        driver = self.params["driver"]
        if self.state == "driver" and driver == "default":
            return words + ["--clear", "--"] + self.params["selector"]
        if self.state == "driver":
            return words + ["--"] + self.params["selector"] + [driver]
        if self.state == "sriov":
            if driver is not None:
                words += ["--driver", driver]
            return words + ["--", self.params["selector"][0], str(self.params["numvfs"])]
        return words + ["--"] + self.params["selector"]

    def fail(self, status, document, command, **more):
        error = document.get("error") or {}
        what = error.get("message") or "; ".join(told(document)) or "needs --force " + ",".join(document.get("needs_force", []))
        meaning = MEANINGS.get(status) or error.get("hint")
        msg = "%s: %s" % (what, meaning) if meaning else what
        users = error.get("users") or document.get("users") or []
        self.module.fail_json(msg=msg, status=status, document=document, command=command, users=users,
                              changed=bool(document.get("changed")), **more)


def is_good_replug(past, boot_id, since):
    """Whether that operation is a replug that ended well, in this boot if that is what counts."""
    end = past["end"] or {}
    is_replug = past["command"].split(" ")[1:2] == ["replug"]
    return is_replug and end.get("exit_code") == 0 and (since != "boot" or past["in_boot"] == boot_id)


def differences(document):
    """What matters of what is not as it was."""
    report = document.get("rescanned") or document
    return [found for found in report.get("differences") or [] if found["matters"]]


def told(document):
    """The differences, a line each, with both values."""
    lines = []
    for found in differences(document):
        if found.get("kind") == "expected":
            # Of no function, but of what did not come.
            lines.append("%s: %s" % (found["what"], found.get("why") or "it did not"))
            continue
        old, new = [("none" if value is None else value) for value in (found["old"], found["new"])]
        lines.append("%s %s: %s -> %s" % (found["address"], found["what"], old, new))
    report = document.get("rescanned") or document
    return lines + ["%s: missing" % address for address in report.get("missing") or []]


def shown(drivers):
    """A line for each function, for --diff."""
    return "".join("%s %s\n" % (address, drivers[address] or "-") for address in sorted(drivers))


def predicted(params, before, changed):
    """What the drivers would be, as far as that can be told beforehand."""
    if not changed:
        return before
    if params["state"] == "absent":
        return {}
    if params["state"] == "driver" and params["driver"] != "default":
        driver = None if params["driver"] == "none" else params["driver"]
        return dict((address, driver) for address in before)
    return before


def main():
    text, flag, words = {"type": "str"}, {"type": "bool", "default": False}, {"type": "list", "elements": "str"}
    module = AnsibleModule(
        argument_spec={
            "selector": {"type": "list", "elements": "str", "required": True, "aliases": ["device", "name"]},
            "state": {"type": "str", "required": True, "choices": ["absent", "present", "replugged", "driver", "sriov"]},
            "driver": text, "numvfs": {"type": "int"}, "since": text, "expect": text,
            "force": dict(words, default=[]), "accept": dict(words, default=[]),
            "each": flag, "with_siblings": flag, "iommu_group": flag, "whole_device": flag,
            "reset": flag, "power_cycle": flag, "escalate": flag, "restore": flag, "persist": flag,
            "jobs": {"type": "int"}, "wait": text, "timeout": text, "settle": text,
            "on_mismatch": {"type": "str", "choices": ["fail", "warn"], "default": "fail"},
            "executable": {"type": "path", "default": "pcictl"}, "sysroot": {"type": "path"},
        },
        required_if=[("state", "driver", ["driver"]), ("state", "sriov", ["numvfs"])],
        supports_check_mode=True,
    )
    bring_about(Pcictl(module), module)


def bring_about(pcictl, module):
    params = module.params
    if params["sysroot"] and not module.check_mode:
        module.fail_json(msg="sysroot is for check mode: nothing can be changed in a dumped tree")
    if params["state"] in ("sriov", "driver") and len(params["selector"]) != 1:
        module.fail_json(msg="state=%s takes one selector" % params["state"])
    before = pcictl.functions()
    unchanged = {"changed": False, "diff": {"before": shown(before), "after": shown(before)}}
    if params["state"] == "present" and pcictl.all_there and not params["expect"]:
        module.exit_json(**unchanged)
    if params["state"] == "replugged" and params["since"] and pcictl.is_replugged(sorted(before)):
        module.exit_json(**unchanged)

    status, document, command = pcictl.run(pcictl.words())
    changed = bool(document.get("changed"))
    after = predicted(params, before, changed) if module.check_mode else pcictl.functions()
    result = {"status": status, "document": document, "command": command, "differences": differences(document)}
    diff = {"before": shown(before), "after": shown(after)}
    if status == 6 and params["on_mismatch"] == "warn":
        for line in told(document):
            module.warn(line)
    elif status != 0:
        pcictl.fail(status, document, command, differences=result["differences"], diff=diff)
    module.exit_json(changed=changed, diff=diff, **result)


if __name__ == "__main__":
    main()
