# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_pcictl_global_optspecs
    string join \n j/json q/quiet v/verbose color= sysroot= h/help V/version
end

function __fish_pcictl_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_pcictl_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_pcictl_using_subcommand
    set -l cmd (__fish_pcictl_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c pcictl -n "__fish_pcictl_needs_command" -l color -d 'When to use color' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_needs_command" -l sysroot -d 'Read a dumped tree instead of this machine; nothing can be changed there' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_needs_command" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_needs_command" -s q -l quiet -d 'Print errors only'
complete -c pcictl -n "__fish_pcictl_needs_command" -s v -l verbose -d 'Print more: each step, every lock of a plan'
complete -c pcictl -n "__fish_pcictl_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_needs_command" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "list" -d 'List functions, one per line'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "tree" -d 'Show the device tree, host bridges at the top'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "show" -d 'Show functions in detail, and what removing them would do'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "remove" -d 'Remove a function and everything below it, drivers first'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "rescan" -d 'Bring a device back by scanning the smallest bus that can'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "replug" -d 'Remove a function and bring it back, under one lock'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "unbind" -d 'Stop the driver of a function, which stays where it is'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "bind" -d 'Give a function to a driver'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "override" -d 'Choose the driver of a function, whatever drivers it fits'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "wait" -d 'Wait until a device is there, gone, bound or ready'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "sriov" -d 'Show or change the virtual functions of a physical function'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "reset" -d 'Reset a function, which stays where it is'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "power" -d 'Show or change how a function may sleep and wake'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "slot" -d 'Show slots, switch their power, find them by their light'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "lock" -d 'Run a command while holding a device\'s lock'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "locks" -d 'Show who holds or waits for which lock'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "status" -d 'Show interrupted operations, and devices not yet back'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "history" -d 'Show what was done to which device, when and by whom'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "recover" -d 'Complete or undo interrupted operations'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "doctor" -d 'Diagnose a stuck PCI core: which tasks, why, and what to do'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "guard" -d 'Make raw writes to sysfs wait for their turn, too'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "dump" -d 'Copy what pcictl reads of this machine, to attach to a report'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pcictl -n "__fish_pcictl_using_subcommand list" -s o -l output -d 'Columns to print, in this order; +COLUMN adds to the default ones' -r -f -a "address\t'Address, as sysfs spells it'
class\t'Class name'
class-code\t'Class code, six hexadecimal digits'
name\t'Vendor and device names'
ids\t'Vendor and device id'
subsystem\t'Subsystem vendor and device id'
revision\t'Revision, two hexadecimal digits'
driver\t'Driver bound to it'
override\t'Driver override'
link\t'Link speed and width, and the maximum if that is more'
names\t'Interfaces, disks and the like'
serial\t'Serial numbers of NVMe controllers'
mac\t'MAC addresses of its interfaces'
numa\t'NUMA node'
slot\t'Slot name'
iommu\t'IOMMU group'
iommu-members\t'The other functions of its IOMMU group'
vfs\t'VFs that are there, of those it supports'
power-state\t'Power state as the kernel remembers it'
reset\t'Reset methods, in the order they are tried'
aer\t'Errors counted: correctable, nonfatal, fatal'
in-use\t'Users of it and of what is below it: mounts, interfaces, processes; looks at every process'
lock\t'Who holds its lock, or waits for it'
place\t'Place in the device tree, the name of its lock'"
complete -c pcictl -n "__fish_pcictl_using_subcommand list" -l sort -d 'Sort by this column, what is missing last [default: address]' -r -f -a "address\t'Address, as sysfs spells it'
class\t'Class name'
class-code\t'Class code, six hexadecimal digits'
name\t'Vendor and device names'
ids\t'Vendor and device id'
subsystem\t'Subsystem vendor and device id'
revision\t'Revision, two hexadecimal digits'
driver\t'Driver bound to it'
override\t'Driver override'
link\t'Link speed and width, and the maximum if that is more'
names\t'Interfaces, disks and the like'
serial\t'Serial numbers of NVMe controllers'
mac\t'MAC addresses of its interfaces'
numa\t'NUMA node'
slot\t'Slot name'
iommu\t'IOMMU group'
iommu-members\t'The other functions of its IOMMU group'
vfs\t'VFs that are there, of those it supports'
power-state\t'Power state as the kernel remembers it'
reset\t'Reset methods, in the order they are tried'
aer\t'Errors counted: correctable, nonfatal, fatal'
in-use\t'Users of it and of what is below it: mounts, interfaces, processes; looks at every process'
lock\t'Who holds its lock, or waits for it'
place\t'Place in the device tree, the name of its lock'"
complete -c pcictl -n "__fish_pcictl_using_subcommand list" -l color -d 'When to use color' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand list" -l sysroot -d 'Read a dumped tree instead of this machine; nothing can be changed there' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand list" -l unused -d 'Only those that nobody uses, as far as that could be checked; looks at every process'
complete -c pcictl -n "__fish_pcictl_using_subcommand list" -s l -l long -d 'Cut nothing to fit the terminal, and name everything'
complete -c pcictl -n "__fish_pcictl_using_subcommand list" -l list-columns -d 'List the available columns'
complete -c pcictl -n "__fish_pcictl_using_subcommand list" -l no-header -d 'Do not print the header line'
complete -c pcictl -n "__fish_pcictl_using_subcommand list" -l watch -d 'Look again whenever something happens, until interrupted'
complete -c pcictl -n "__fish_pcictl_using_subcommand list" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand list" -s q -l quiet -d 'Print errors only'
complete -c pcictl -n "__fish_pcictl_using_subcommand list" -s v -l verbose -d 'Print more: each step, every lock of a plan'
complete -c pcictl -n "__fish_pcictl_using_subcommand list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand list" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand tree" -s o -l output -d 'Columns to print after each address; +COLUMN adds to the default ones' -r -f -a "address\t'Address, as sysfs spells it'
class\t'Class name'
class-code\t'Class code, six hexadecimal digits'
name\t'Vendor and device names'
ids\t'Vendor and device id'
subsystem\t'Subsystem vendor and device id'
revision\t'Revision, two hexadecimal digits'
driver\t'Driver bound to it'
override\t'Driver override'
link\t'Link speed and width, and the maximum if that is more'
names\t'Interfaces, disks and the like'
serial\t'Serial numbers of NVMe controllers'
mac\t'MAC addresses of its interfaces'
numa\t'NUMA node'
slot\t'Slot name'
iommu\t'IOMMU group'
iommu-members\t'The other functions of its IOMMU group'
vfs\t'VFs that are there, of those it supports'
power-state\t'Power state as the kernel remembers it'
reset\t'Reset methods, in the order they are tried'
aer\t'Errors counted: correctable, nonfatal, fatal'
in-use\t'Users of it and of what is below it: mounts, interfaces, processes; looks at every process'
lock\t'Who holds its lock, or waits for it'
place\t'Place in the device tree, the name of its lock'"
complete -c pcictl -n "__fish_pcictl_using_subcommand tree" -l color -d 'When to use color' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand tree" -l sysroot -d 'Read a dumped tree instead of this machine; nothing can be changed there' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand tree" -l watch -d 'Look again whenever something happens, until interrupted'
complete -c pcictl -n "__fish_pcictl_using_subcommand tree" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand tree" -s q -l quiet -d 'Print errors only'
complete -c pcictl -n "__fish_pcictl_using_subcommand tree" -s v -l verbose -d 'Print more: each step, every lock of a plan'
complete -c pcictl -n "__fish_pcictl_using_subcommand tree" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand tree" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand show" -l color -d 'When to use color' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand show" -l sysroot -d 'Read a dumped tree instead of this machine; nothing can be changed there' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand show" -l protected -d 'Show what the site protects instead, and which of its entries match nothing'
complete -c pcictl -n "__fish_pcictl_using_subcommand show" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand show" -s q -l quiet -d 'Print errors only'
complete -c pcictl -n "__fish_pcictl_using_subcommand show" -s v -l verbose -d 'Print more: each step, every lock of a plan'
complete -c pcictl -n "__fish_pcictl_using_subcommand show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand show" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -s w -l wait -d 'How long to wait for locks, in seconds, or with a unit: 500ms, 2m, 1h' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -l timeout -d 'How long one write to the kernel may take before pcictl returns with status 124' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -l force -d 'Proceed although the device is in use in these ways (comma-separated); each must be named' -r -f -a "mounted\t'A file system of it is mounted, in whatever mount namespace'
swap\t'Swap space is on it'
holders\t'Something is built on its disks: dm, LVM, LUKS, md, bcache, ZFS, btrfs, an export'
network\t'Its interface carries an address or a route, or is part of a bond, bridge, VLAN and the like'
management\t'Its interface holds the default route or the session you are typing in'
open\t'A process has one of its device nodes or register files open or mapped'
vfio\t'A process, usually a virtual machine, has it through VFIO or iommufd'
vfs\t'Its virtual functions are in use'
console\t'It is the boot display, the active console, an armed watchdog or where crash dumps go'
protected\t'The site\'s own list in /etc/pcictl/protected.d names it'
redundant\t'It is one of several paths or copies, and the others are healthy'
unchecked\t'Something could not be looked into'"
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -l jobs -d 'How many drivers to stop or start at a time; 1 is the most careful' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -l color -d 'When to use color' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -l sysroot -d 'Read a dumped tree instead of this machine; nothing can be changed there' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -s n -l dry-run -d 'Print the plan without changing anything'
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -l each -d 'Accept selectors that match more than one function'
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -l with-siblings -d 'Include every function of the same device (same domain, bus and device number; VFs only with their PF)'
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -l iommu-group -d 'Include every function of the same IOMMU group, bridges left out'
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -l no-wait -d 'Do not wait for locks'
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -l events -d 'Print what happens while it happens, as one JSON object per line; the report is the last'
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -s y -l yes -d 'Do not ask for confirmation when --force is used'
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -l whole-device -d 'Accept the name of one disk, interface or the like for the whole device, with all else that is on it'
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -l if-present -d 'Succeed if the device is already absent'
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -l no-rollback -d 'If a driver fails to stop, leave the others unbound'
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -s q -l quiet -d 'Print errors only'
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -s v -l verbose -d 'Print more: each step, every lock of a plan'
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -l slot -d 'Scan the bus of a slot, even if the slot is empty' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -s w -l wait -d 'How long to wait for locks, in seconds, or with a unit: 500ms, 2m, 1h' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -l expect -d 'Device that must appear: ADDRESS, driver=NAME, id=VENDOR:DEVICE, link=SPEEDxLANES, count=N, joined by commas' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -l accept -d 'Differences to accept (comma-separated)' -r -f -a "missing\t'It is not there'
new\t'It is there and was not before'
moved\t'It answers at another address, or sits at another place'
device\t'Something else sits there: other ids, or another serial number'
driver\t'Another driver has it, or none'
link\t'The link is slower or narrower'
bars\t'A BAR has no address, or a smaller one'
vfs\t'It has fewer VFs, other drivers have them, or their MACs or other settings are lost'
names\t'Its disks or interfaces have other names, or none'
iommu\t'It is in another IOMMU group'
expected\t'What --expect asked for did not come'"
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -l settle -d 'How long to wait for drivers, disks and interfaces' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -l timeout -d 'How long one write to the kernel may take before pcictl returns with status 124' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -l color -d 'When to use color' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -l sysroot -d 'Read a dumped tree instead of this machine; nothing can be changed there' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -l all -d 'Scan every bus of the machine'
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -s n -l dry-run -d 'Print the plan without changing anything'
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -l each -d 'Accept selectors that match more than one function'
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -l no-wait -d 'Do not wait for locks'
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -l restore -d 'Restore VFs with their MACs, settings and drivers, driver overrides and power settings'
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -l events -d 'Print what happens while it happens, as one JSON object per line; the report is the last'
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -s q -l quiet -d 'Print errors only'
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -s v -l verbose -d 'Print more: each step, every lock of a plan'
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -s w -l wait -d 'How long to wait for locks, in seconds, or with a unit: 500ms, 2m, 1h' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l timeout -d 'How long one write to the kernel may take before pcictl returns with status 124' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l force -d 'Proceed although the device is in use in these ways (comma-separated); each must be named' -r -f -a "mounted\t'A file system of it is mounted, in whatever mount namespace'
swap\t'Swap space is on it'
holders\t'Something is built on its disks: dm, LVM, LUKS, md, bcache, ZFS, btrfs, an export'
network\t'Its interface carries an address or a route, or is part of a bond, bridge, VLAN and the like'
management\t'Its interface holds the default route or the session you are typing in'
open\t'A process has one of its device nodes or register files open or mapped'
vfio\t'A process, usually a virtual machine, has it through VFIO or iommufd'
vfs\t'Its virtual functions are in use'
console\t'It is the boot display, the active console, an armed watchdog or where crash dumps go'
protected\t'The site\'s own list in /etc/pcictl/protected.d names it'
redundant\t'It is one of several paths or copies, and the others are healthy'
unchecked\t'Something could not be looked into'"
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l jobs -d 'How many drivers to stop or start at a time; 1 is the most careful' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l expect -d 'Device that must appear: ADDRESS, driver=NAME, id=VENDOR:DEVICE, link=SPEEDxLANES, count=N, joined by commas' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l accept -d 'Differences to accept (comma-separated)' -r -f -a "missing\t'It is not there'
new\t'It is there and was not before'
moved\t'It answers at another address, or sits at another place'
device\t'Something else sits there: other ids, or another serial number'
driver\t'Another driver has it, or none'
link\t'The link is slower or narrower'
bars\t'A BAR has no address, or a smaller one'
vfs\t'It has fewer VFs, other drivers have them, or their MACs or other settings are lost'
names\t'Its disks or interfaces have other names, or none'
iommu\t'It is in another IOMMU group'
expected\t'What --expect asked for did not come'"
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l settle -d 'How long to wait for drivers, disks and interfaces' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l color -d 'When to use color' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l sysroot -d 'Read a dumped tree instead of this machine; nothing can be changed there' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -s n -l dry-run -d 'Print the plan without changing anything'
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l each -d 'Accept selectors that match more than one function'
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l with-siblings -d 'Include every function of the same device (same domain, bus and device number; VFs only with their PF)'
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l iommu-group -d 'Include every function of the same IOMMU group, bridges left out'
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l no-wait -d 'Do not wait for locks'
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l events -d 'Print what happens while it happens, as one JSON object per line; the report is the last'
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -s y -l yes -d 'Do not ask for confirmation when --force is used'
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l whole-device -d 'Accept the name of one disk, interface or the like for the whole device, with all else that is on it'
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l if-present -d 'Succeed if the device is already absent'
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l no-rollback -d 'If a driver fails to stop, leave the others unbound'
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l reset -d 'Reset each function once its driver is stopped; its bus, if only that can be reset and nothing else is on it'
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l power-cycle -d 'Switch the slot\'s power off and on while the device is removed'
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l escalate -d 'Escalate if the device does not come back: the bus above, a reset of its bus, the slot\'s power'
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l restore -d 'Restore VFs with their MACs, settings and drivers, driver overrides and power settings'
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -s q -l quiet -d 'Print errors only'
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -s v -l verbose -d 'Print more: each step, every lock of a plan'
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand unbind" -s w -l wait -d 'How long to wait for locks, in seconds, or with a unit: 500ms, 2m, 1h' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand unbind" -l timeout -d 'How long one write to the kernel may take before pcictl returns with status 124' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand unbind" -l force -d 'Proceed although the device is in use in these ways (comma-separated); each must be named' -r -f -a "mounted\t'A file system of it is mounted, in whatever mount namespace'
swap\t'Swap space is on it'
holders\t'Something is built on its disks: dm, LVM, LUKS, md, bcache, ZFS, btrfs, an export'
network\t'Its interface carries an address or a route, or is part of a bond, bridge, VLAN and the like'
management\t'Its interface holds the default route or the session you are typing in'
open\t'A process has one of its device nodes or register files open or mapped'
vfio\t'A process, usually a virtual machine, has it through VFIO or iommufd'
vfs\t'Its virtual functions are in use'
console\t'It is the boot display, the active console, an armed watchdog or where crash dumps go'
protected\t'The site\'s own list in /etc/pcictl/protected.d names it'
redundant\t'It is one of several paths or copies, and the others are healthy'
unchecked\t'Something could not be looked into'"
complete -c pcictl -n "__fish_pcictl_using_subcommand unbind" -l jobs -d 'How many drivers to stop or start at a time; 1 is the most careful' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand unbind" -l color -d 'When to use color' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand unbind" -l sysroot -d 'Read a dumped tree instead of this machine; nothing can be changed there' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand unbind" -s n -l dry-run -d 'Print the plan without changing anything'
complete -c pcictl -n "__fish_pcictl_using_subcommand unbind" -l each -d 'Accept selectors that match more than one function'
complete -c pcictl -n "__fish_pcictl_using_subcommand unbind" -l with-siblings -d 'Include every function of the same device (same domain, bus and device number; VFs only with their PF)'
complete -c pcictl -n "__fish_pcictl_using_subcommand unbind" -l iommu-group -d 'Include every function of the same IOMMU group, bridges left out'
complete -c pcictl -n "__fish_pcictl_using_subcommand unbind" -l no-wait -d 'Do not wait for locks'
complete -c pcictl -n "__fish_pcictl_using_subcommand unbind" -l events -d 'Print what happens while it happens, as one JSON object per line; the report is the last'
complete -c pcictl -n "__fish_pcictl_using_subcommand unbind" -s y -l yes -d 'Do not ask for confirmation when --force is used'
complete -c pcictl -n "__fish_pcictl_using_subcommand unbind" -l whole-device -d 'Accept the name of one disk, interface or the like for the whole device, with all else that is on it'
complete -c pcictl -n "__fish_pcictl_using_subcommand unbind" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand unbind" -s q -l quiet -d 'Print errors only'
complete -c pcictl -n "__fish_pcictl_using_subcommand unbind" -s v -l verbose -d 'Print more: each step, every lock of a plan'
complete -c pcictl -n "__fish_pcictl_using_subcommand unbind" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand unbind" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand bind" -l driver -d 'The driver [default: whichever fits]' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand bind" -s w -l wait -d 'How long to wait for locks, in seconds, or with a unit: 500ms, 2m, 1h' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand bind" -l timeout -d 'How long one write to the kernel may take before pcictl returns with status 124' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand bind" -l jobs -d 'How many drivers to stop or start at a time; 1 is the most careful' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand bind" -l color -d 'When to use color' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand bind" -l sysroot -d 'Read a dumped tree instead of this machine; nothing can be changed there' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand bind" -s n -l dry-run -d 'Print the plan without changing anything'
complete -c pcictl -n "__fish_pcictl_using_subcommand bind" -l each -d 'Accept selectors that match more than one function'
complete -c pcictl -n "__fish_pcictl_using_subcommand bind" -l with-siblings -d 'Include every function of the same device (same domain, bus and device number; VFs only with their PF)'
complete -c pcictl -n "__fish_pcictl_using_subcommand bind" -l iommu-group -d 'Include every function of the same IOMMU group, bridges left out'
complete -c pcictl -n "__fish_pcictl_using_subcommand bind" -l no-wait -d 'Do not wait for locks'
complete -c pcictl -n "__fish_pcictl_using_subcommand bind" -l events -d 'Print what happens while it happens, as one JSON object per line; the report is the last'
complete -c pcictl -n "__fish_pcictl_using_subcommand bind" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand bind" -s q -l quiet -d 'Print errors only'
complete -c pcictl -n "__fish_pcictl_using_subcommand bind" -s v -l verbose -d 'Print more: each step, every lock of a plan'
complete -c pcictl -n "__fish_pcictl_using_subcommand bind" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand bind" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand override" -s w -l wait -d 'How long to wait for locks, in seconds, or with a unit: 500ms, 2m, 1h' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand override" -l timeout -d 'How long one write to the kernel may take before pcictl returns with status 124' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand override" -l force -d 'Proceed although the device is in use in these ways (comma-separated); each must be named' -r -f -a "mounted\t'A file system of it is mounted, in whatever mount namespace'
swap\t'Swap space is on it'
holders\t'Something is built on its disks: dm, LVM, LUKS, md, bcache, ZFS, btrfs, an export'
network\t'Its interface carries an address or a route, or is part of a bond, bridge, VLAN and the like'
management\t'Its interface holds the default route or the session you are typing in'
open\t'A process has one of its device nodes or register files open or mapped'
vfio\t'A process, usually a virtual machine, has it through VFIO or iommufd'
vfs\t'Its virtual functions are in use'
console\t'It is the boot display, the active console, an armed watchdog or where crash dumps go'
protected\t'The site\'s own list in /etc/pcictl/protected.d names it'
redundant\t'It is one of several paths or copies, and the others are healthy'
unchecked\t'Something could not be looked into'"
complete -c pcictl -n "__fish_pcictl_using_subcommand override" -l jobs -d 'How many drivers to stop or start at a time; 1 is the most careful' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand override" -l color -d 'When to use color' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand override" -l sysroot -d 'Read a dumped tree instead of this machine; nothing can be changed there' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand override" -l clear -d 'Clear the override, and give the function to the driver that fits it'
complete -c pcictl -n "__fish_pcictl_using_subcommand override" -l persist -d 'Keep it over reboots: write or remove the file that driverctl reads in /etc/driverctl.d'
complete -c pcictl -n "__fish_pcictl_using_subcommand override" -s n -l dry-run -d 'Print the plan without changing anything'
complete -c pcictl -n "__fish_pcictl_using_subcommand override" -l each -d 'Accept selectors that match more than one function'
complete -c pcictl -n "__fish_pcictl_using_subcommand override" -l with-siblings -d 'Include every function of the same device (same domain, bus and device number; VFs only with their PF)'
complete -c pcictl -n "__fish_pcictl_using_subcommand override" -l iommu-group -d 'Include every function of the same IOMMU group, bridges left out'
complete -c pcictl -n "__fish_pcictl_using_subcommand override" -l no-wait -d 'Do not wait for locks'
complete -c pcictl -n "__fish_pcictl_using_subcommand override" -l events -d 'Print what happens while it happens, as one JSON object per line; the report is the last'
complete -c pcictl -n "__fish_pcictl_using_subcommand override" -s y -l yes -d 'Do not ask for confirmation when --force is used'
complete -c pcictl -n "__fish_pcictl_using_subcommand override" -l whole-device -d 'Accept the name of one disk, interface or the like for the whole device, with all else that is on it'
complete -c pcictl -n "__fish_pcictl_using_subcommand override" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand override" -s q -l quiet -d 'Print errors only'
complete -c pcictl -n "__fish_pcictl_using_subcommand override" -s v -l verbose -d 'Print more: each step, every lock of a plan'
complete -c pcictl -n "__fish_pcictl_using_subcommand override" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand override" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand wait" -l driver -d 'Wait until it is there and bound to this driver' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand wait" -l timeout -d 'How long to wait before giving up with status 124; 0 looks once [default: as long as it takes]' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand wait" -l color -d 'When to use color' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand wait" -l sysroot -d 'Read a dumped tree instead of this machine; nothing can be changed there' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand wait" -l gone -d 'Wait until it is not there'
complete -c pcictl -n "__fish_pcictl_using_subcommand wait" -l ready -d 'Wait until it is there and can be used: driver, disks and interfaces'
complete -c pcictl -n "__fish_pcictl_using_subcommand wait" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand wait" -s q -l quiet -d 'Print errors only'
complete -c pcictl -n "__fish_pcictl_using_subcommand wait" -s v -l verbose -d 'Print more: each step, every lock of a plan'
complete -c pcictl -n "__fish_pcictl_using_subcommand wait" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand wait" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand sriov" -l autoprobe -d 'Whether drivers take VFs that appear (sriov_drivers_autoprobe) [default: as it is]' -r -f -a "on\t'Drivers take them'
off\t'They stay without drivers'"
complete -c pcictl -n "__fish_pcictl_using_subcommand sriov" -l driver -d 'The driver that each VF is to have, by a driver override [default: whichever fits]' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand sriov" -l mac -d 'The MAC of a VF, which is counted from 0; set before its driver is bound' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand sriov" -s w -l wait -d 'How long to wait for locks, in seconds, or with a unit: 500ms, 2m, 1h' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand sriov" -l timeout -d 'How long one write to the kernel may take before pcictl returns with status 124' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand sriov" -l settle -d 'How long to wait for drivers, disks and interfaces of VFs' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand sriov" -l force -d 'Proceed although the device is in use in these ways (comma-separated); each must be named' -r -f -a "mounted\t'A file system of it is mounted, in whatever mount namespace'
swap\t'Swap space is on it'
holders\t'Something is built on its disks: dm, LVM, LUKS, md, bcache, ZFS, btrfs, an export'
network\t'Its interface carries an address or a route, or is part of a bond, bridge, VLAN and the like'
management\t'Its interface holds the default route or the session you are typing in'
open\t'A process has one of its device nodes or register files open or mapped'
vfio\t'A process, usually a virtual machine, has it through VFIO or iommufd'
vfs\t'Its virtual functions are in use'
console\t'It is the boot display, the active console, an armed watchdog or where crash dumps go'
protected\t'The site\'s own list in /etc/pcictl/protected.d names it'
redundant\t'It is one of several paths or copies, and the others are healthy'
unchecked\t'Something could not be looked into'"
complete -c pcictl -n "__fish_pcictl_using_subcommand sriov" -l jobs -d 'How many drivers to stop or start at a time; 1 is the most careful' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand sriov" -l color -d 'When to use color' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand sriov" -l sysroot -d 'Read a dumped tree instead of this machine; nothing can be changed there' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand sriov" -l off -d 'Take all VFs away'
complete -c pcictl -n "__fish_pcictl_using_subcommand sriov" -l restore -d 'Have the new VFs be what those before them were: MACs, other settings, driver overrides, drivers'
complete -c pcictl -n "__fish_pcictl_using_subcommand sriov" -s n -l dry-run -d 'Print the plan without changing anything'
complete -c pcictl -n "__fish_pcictl_using_subcommand sriov" -l no-wait -d 'Do not wait for locks'
complete -c pcictl -n "__fish_pcictl_using_subcommand sriov" -l events -d 'Print what happens while it happens, as one JSON object per line; the report is the last'
complete -c pcictl -n "__fish_pcictl_using_subcommand sriov" -s y -l yes -d 'Do not ask for confirmation when --force is used'
complete -c pcictl -n "__fish_pcictl_using_subcommand sriov" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand sriov" -s q -l quiet -d 'Print errors only'
complete -c pcictl -n "__fish_pcictl_using_subcommand sriov" -s v -l verbose -d 'Print more: each step, every lock of a plan'
complete -c pcictl -n "__fish_pcictl_using_subcommand sriov" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand sriov" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand reset" -l method -d 'Use this method, one of those that --list shows [default: the first]' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand reset" -s w -l wait -d 'How long to wait for locks, in seconds, or with a unit: 500ms, 2m, 1h' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand reset" -l timeout -d 'How long one write to the kernel may take before pcictl returns with status 124' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand reset" -l force -d 'Proceed although the device is in use in these ways (comma-separated); each must be named' -r -f -a "mounted\t'A file system of it is mounted, in whatever mount namespace'
swap\t'Swap space is on it'
holders\t'Something is built on its disks: dm, LVM, LUKS, md, bcache, ZFS, btrfs, an export'
network\t'Its interface carries an address or a route, or is part of a bond, bridge, VLAN and the like'
management\t'Its interface holds the default route or the session you are typing in'
open\t'A process has one of its device nodes or register files open or mapped'
vfio\t'A process, usually a virtual machine, has it through VFIO or iommufd'
vfs\t'Its virtual functions are in use'
console\t'It is the boot display, the active console, an armed watchdog or where crash dumps go'
protected\t'The site\'s own list in /etc/pcictl/protected.d names it'
redundant\t'It is one of several paths or copies, and the others are healthy'
unchecked\t'Something could not be looked into'"
complete -c pcictl -n "__fish_pcictl_using_subcommand reset" -l jobs -d 'How many drivers to stop or start at a time; 1 is the most careful' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand reset" -l color -d 'When to use color' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand reset" -l sysroot -d 'Read a dumped tree instead of this machine; nothing can be changed there' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand reset" -l list -d 'List the methods and what each one hits, and change nothing'
complete -c pcictl -n "__fish_pcictl_using_subcommand reset" -l keep-driver -d 'Leave the driver at work, which must be able to bear it (reset_prepare and reset_done)'
complete -c pcictl -n "__fish_pcictl_using_subcommand reset" -s n -l dry-run -d 'Print the plan without changing anything'
complete -c pcictl -n "__fish_pcictl_using_subcommand reset" -l each -d 'Accept selectors that match more than one function'
complete -c pcictl -n "__fish_pcictl_using_subcommand reset" -l with-siblings -d 'Include every function of the same device (same domain, bus and device number; VFs only with their PF)'
complete -c pcictl -n "__fish_pcictl_using_subcommand reset" -l iommu-group -d 'Include every function of the same IOMMU group, bridges left out'
complete -c pcictl -n "__fish_pcictl_using_subcommand reset" -l no-wait -d 'Do not wait for locks'
complete -c pcictl -n "__fish_pcictl_using_subcommand reset" -l events -d 'Print what happens while it happens, as one JSON object per line; the report is the last'
complete -c pcictl -n "__fish_pcictl_using_subcommand reset" -s y -l yes -d 'Do not ask for confirmation when --force is used'
complete -c pcictl -n "__fish_pcictl_using_subcommand reset" -l whole-device -d 'Accept the name of one disk, interface or the like for the whole device, with all else that is on it'
complete -c pcictl -n "__fish_pcictl_using_subcommand reset" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand reset" -s q -l quiet -d 'Print errors only'
complete -c pcictl -n "__fish_pcictl_using_subcommand reset" -s v -l verbose -d 'Print more: each step, every lock of a plan'
complete -c pcictl -n "__fish_pcictl_using_subcommand reset" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand reset" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand power" -l runtime -d 'Let the kernel put it to sleep when its driver has nothing to do, or keep it awake' -r -f -a "auto\t''
on\t''"
complete -c pcictl -n "__fish_pcictl_using_subcommand power" -l d3cold -d 'Whether it may lose its power while it sleeps' -r -f -a "on\t''
off\t''"
complete -c pcictl -n "__fish_pcictl_using_subcommand power" -l wakeup -d 'Whether it may wake the machine' -r -f -a "on\t''
off\t''"
complete -c pcictl -n "__fish_pcictl_using_subcommand power" -s w -l wait -d 'How long to wait for locks, in seconds, or with a unit: 500ms, 2m, 1h' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand power" -l timeout -d 'How long one write to the kernel may take before pcictl returns with status 124' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand power" -l color -d 'When to use color' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand power" -l sysroot -d 'Read a dumped tree instead of this machine; nothing can be changed there' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand power" -s n -l dry-run -d 'Print the plan without changing anything'
complete -c pcictl -n "__fish_pcictl_using_subcommand power" -l each -d 'Accept selectors that match more than one function'
complete -c pcictl -n "__fish_pcictl_using_subcommand power" -l with-siblings -d 'Include every function of the same device (same domain, bus and device number; VFs only with their PF)'
complete -c pcictl -n "__fish_pcictl_using_subcommand power" -l iommu-group -d 'Include every function of the same IOMMU group, bridges left out'
complete -c pcictl -n "__fish_pcictl_using_subcommand power" -l no-wait -d 'Do not wait for locks'
complete -c pcictl -n "__fish_pcictl_using_subcommand power" -l events -d 'Print what happens while it happens, as one JSON object per line; the report is the last'
complete -c pcictl -n "__fish_pcictl_using_subcommand power" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand power" -s q -l quiet -d 'Print errors only'
complete -c pcictl -n "__fish_pcictl_using_subcommand power" -s v -l verbose -d 'Print more: each step, every lock of a plan'
complete -c pcictl -n "__fish_pcictl_using_subcommand power" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand power" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and not __fish_seen_subcommand_from list show on off identify help" -l color -d 'When to use color' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and not __fish_seen_subcommand_from list show on off identify help" -l sysroot -d 'Read a dumped tree instead of this machine; nothing can be changed there' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and not __fish_seen_subcommand_from list show on off identify help" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and not __fish_seen_subcommand_from list show on off identify help" -s q -l quiet -d 'Print errors only'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and not __fish_seen_subcommand_from list show on off identify help" -s v -l verbose -d 'Print more: each step, every lock of a plan'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and not __fish_seen_subcommand_from list show on off identify help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and not __fish_seen_subcommand_from list show on off identify help" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and not __fish_seen_subcommand_from list show on off identify help" -f -a "list" -d 'List slots, one per line'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and not __fish_seen_subcommand_from list show on off identify help" -f -a "show" -d 'Show a slot in detail, with what its hardware says'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and not __fish_seen_subcommand_from list show on off identify help" -f -a "on" -d 'Switch a slot\'s power on, and compare what comes with what was there'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and not __fish_seen_subcommand_from list show on off identify help" -f -a "off" -d 'Stop the drivers of what is in a slot, and switch its power off'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and not __fish_seen_subcommand_from list show on off identify help" -f -a "identify" -d 'Have a light show where a slot is'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and not __fish_seen_subcommand_from list show on off identify help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from list" -l color -d 'When to use color' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from list" -l sysroot -d 'Read a dumped tree instead of this machine; nothing can be changed there' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from list" -l status -d 'Read power, adapter, latch and attention of each slot, which asks the hardware'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from list" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print errors only'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Print more: each step, every lock of a plan'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from list" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from show" -l color -d 'When to use color' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from show" -l sysroot -d 'Read a dumped tree instead of this machine; nothing can be changed there' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from show" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Print errors only'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Print more: each step, every lock of a plan'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from show" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from on" -s w -l wait -d 'How long to wait for locks, in seconds, or with a unit: 500ms, 2m, 1h' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from on" -l timeout -d 'How long one write to the kernel may take before pcictl returns with status 124' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from on" -l expect -d 'Device that must appear: ADDRESS, driver=NAME, id=VENDOR:DEVICE, link=SPEEDxLANES, count=N, joined by commas' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from on" -l accept -d 'Differences to accept (comma-separated)' -r -f -a "missing\t'It is not there'
new\t'It is there and was not before'
moved\t'It answers at another address, or sits at another place'
device\t'Something else sits there: other ids, or another serial number'
driver\t'Another driver has it, or none'
link\t'The link is slower or narrower'
bars\t'A BAR has no address, or a smaller one'
vfs\t'It has fewer VFs, other drivers have them, or their MACs or other settings are lost'
names\t'Its disks or interfaces have other names, or none'
iommu\t'It is in another IOMMU group'
expected\t'What --expect asked for did not come'"
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from on" -l settle -d 'How long to wait for drivers, disks and interfaces' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from on" -l color -d 'When to use color' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from on" -l sysroot -d 'Read a dumped tree instead of this machine; nothing can be changed there' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from on" -s n -l dry-run -d 'Print the plan without changing anything'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from on" -l no-wait -d 'Do not wait for locks'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from on" -l events -d 'Print what happens while it happens, as one JSON object per line; the report is the last'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from on" -l restore -d 'Restore VFs with their MACs, settings and drivers, driver overrides and power settings'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from on" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from on" -s q -l quiet -d 'Print errors only'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from on" -s v -l verbose -d 'Print more: each step, every lock of a plan'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from on" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from on" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from off" -s w -l wait -d 'How long to wait for locks, in seconds, or with a unit: 500ms, 2m, 1h' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from off" -l timeout -d 'How long one write to the kernel may take before pcictl returns with status 124' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from off" -l force -d 'Proceed although the device is in use in these ways (comma-separated); each must be named' -r -f -a "mounted\t'A file system of it is mounted, in whatever mount namespace'
swap\t'Swap space is on it'
holders\t'Something is built on its disks: dm, LVM, LUKS, md, bcache, ZFS, btrfs, an export'
network\t'Its interface carries an address or a route, or is part of a bond, bridge, VLAN and the like'
management\t'Its interface holds the default route or the session you are typing in'
open\t'A process has one of its device nodes or register files open or mapped'
vfio\t'A process, usually a virtual machine, has it through VFIO or iommufd'
vfs\t'Its virtual functions are in use'
console\t'It is the boot display, the active console, an armed watchdog or where crash dumps go'
protected\t'The site\'s own list in /etc/pcictl/protected.d names it'
redundant\t'It is one of several paths or copies, and the others are healthy'
unchecked\t'Something could not be looked into'"
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from off" -l jobs -d 'How many drivers to stop or start at a time; 1 is the most careful' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from off" -l color -d 'When to use color' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from off" -l sysroot -d 'Read a dumped tree instead of this machine; nothing can be changed there' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from off" -s n -l dry-run -d 'Print the plan without changing anything'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from off" -l no-wait -d 'Do not wait for locks'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from off" -l events -d 'Print what happens while it happens, as one JSON object per line; the report is the last'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from off" -s y -l yes -d 'Do not ask for confirmation when --force is used'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from off" -l no-rollback -d 'If a driver fails to stop, leave the others unbound'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from off" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from off" -s q -l quiet -d 'Print errors only'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from off" -s v -l verbose -d 'Print more: each step, every lock of a plan'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from off" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from off" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from identify" -l for -d 'For how long; then the light shows what it showed before [default: until --off]' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from identify" -s w -l wait -d 'How long to wait for locks, in seconds, or with a unit: 500ms, 2m, 1h' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from identify" -l timeout -d 'How long one write to the kernel may take before pcictl returns with status 124' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from identify" -l color -d 'When to use color' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from identify" -l sysroot -d 'Read a dumped tree instead of this machine; nothing can be changed there' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from identify" -l off -d 'Switch the light off'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from identify" -s n -l dry-run -d 'Print the plan without changing anything'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from identify" -l no-wait -d 'Do not wait for locks'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from identify" -l events -d 'Print what happens while it happens, as one JSON object per line; the report is the last'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from identify" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from identify" -s q -l quiet -d 'Print errors only'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from identify" -s v -l verbose -d 'Print more: each step, every lock of a plan'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from identify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from identify" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from help" -f -a "list" -d 'List slots, one per line'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show a slot in detail, with what its hardware says'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from help" -f -a "on" -d 'Switch a slot\'s power on, and compare what comes with what was there'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from help" -f -a "off" -d 'Stop the drivers of what is in a slot, and switch its power off'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from help" -f -a "identify" -d 'Have a light show where a slot is'
complete -c pcictl -n "__fish_pcictl_using_subcommand slot; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pcictl -n "__fish_pcictl_using_subcommand lock" -s w -l wait -d 'How long to wait for locks, in seconds, or with a unit: 500ms, 2m, 1h' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand lock" -l color -d 'When to use color' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand lock" -l sysroot -d 'Read a dumped tree instead of this machine; nothing can be changed there' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand lock" -l all -d 'Lock the whole machine'
complete -c pcictl -n "__fish_pcictl_using_subcommand lock" -s s -l shared -d 'Keep out changes but not other readers: for a command that only reads'
complete -c pcictl -n "__fish_pcictl_using_subcommand lock" -s o -l close -d 'Keep the locks from the command and what it leaves running; they end with pcictl'
complete -c pcictl -n "__fish_pcictl_using_subcommand lock" -s n -l dry-run -d 'Print the plan without changing anything'
complete -c pcictl -n "__fish_pcictl_using_subcommand lock" -l each -d 'Accept selectors that match more than one function'
complete -c pcictl -n "__fish_pcictl_using_subcommand lock" -l with-siblings -d 'Include every function of the same device (same domain, bus and device number; VFs only with their PF)'
complete -c pcictl -n "__fish_pcictl_using_subcommand lock" -l iommu-group -d 'Include every function of the same IOMMU group, bridges left out'
complete -c pcictl -n "__fish_pcictl_using_subcommand lock" -l no-wait -d 'Do not wait for locks'
complete -c pcictl -n "__fish_pcictl_using_subcommand lock" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand lock" -s q -l quiet -d 'Print errors only'
complete -c pcictl -n "__fish_pcictl_using_subcommand lock" -s v -l verbose -d 'Print more: each step, every lock of a plan'
complete -c pcictl -n "__fish_pcictl_using_subcommand lock" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand lock" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand locks" -l color -d 'When to use color' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand locks" -l sysroot -d 'Read a dumped tree instead of this machine; nothing can be changed there' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand locks" -l watch -d 'Look again whenever something happens, until interrupted'
complete -c pcictl -n "__fish_pcictl_using_subcommand locks" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand locks" -s q -l quiet -d 'Print errors only'
complete -c pcictl -n "__fish_pcictl_using_subcommand locks" -s v -l verbose -d 'Print more: each step, every lock of a plan'
complete -c pcictl -n "__fish_pcictl_using_subcommand locks" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand locks" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand status" -l color -d 'When to use color' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand status" -l sysroot -d 'Read a dumped tree instead of this machine; nothing can be changed there' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand status" -s q -l quiet
complete -c pcictl -n "__fish_pcictl_using_subcommand status" -s v -l verbose
complete -c pcictl -n "__fish_pcictl_using_subcommand status" -l watch -d 'Look again whenever something happens, until interrupted'
complete -c pcictl -n "__fish_pcictl_using_subcommand status" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand status" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand history" -l since -d 'Show only operations that began then or later: 2026-11-28, \'2026-11-28 14:00\', yesterday, or 30m, 2h, 7d ago' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand history" -l until -d 'Show only operations that began before then' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand history" -l last -d 'Show only the last N' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand history" -l color -d 'When to use color' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand history" -l sysroot -d 'Read a dumped tree instead of this machine; nothing can be changed there' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand history" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand history" -s q -l quiet -d 'Print errors only'
complete -c pcictl -n "__fish_pcictl_using_subcommand history" -s v -l verbose -d 'Print more: each step, every lock of a plan'
complete -c pcictl -n "__fish_pcictl_using_subcommand history" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand history" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand recover" -s w -l wait -d 'How long to wait for locks, in seconds, or with a unit: 500ms, 2m, 1h' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand recover" -l timeout -d 'How long one write to the kernel may take before pcictl returns with status 124' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand recover" -l sysroot -d 'Refused, because a dumped tree cannot be changed' -r -F
complete -c pcictl -n "__fish_pcictl_using_subcommand recover" -l color -d 'When to use color' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand recover" -s n -l dry-run -d 'Print what would be recovered without changing anything'
complete -c pcictl -n "__fish_pcictl_using_subcommand recover" -l no-wait -d 'Do not wait for locks'
complete -c pcictl -n "__fish_pcictl_using_subcommand recover" -l events -d 'Print what happens while it happens, as one JSON object per line; the report is the last'
complete -c pcictl -n "__fish_pcictl_using_subcommand recover" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand recover" -s q -l quiet -d 'Print errors only'
complete -c pcictl -n "__fish_pcictl_using_subcommand recover" -s v -l verbose -d 'Print more: each step, every lock of a plan'
complete -c pcictl -n "__fish_pcictl_using_subcommand recover" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand recover" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand doctor" -l format -d 'Form of the answer, which decides the exit status, too' -r -f -a "text\t'For people'
json\t'One JSON document, as --json'
nagios\t'One line with performance data, for Nagios and its kin'
npd\t'One line, for a custom plugin of node-problem-detector'
prometheus\t'Metrics, for the textfile collector of node_exporter'"
complete -c pcictl -n "__fish_pcictl_using_subcommand doctor" -l color -d 'When to use color' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand doctor" -l sysroot -d 'Read a dumped tree instead of this machine; nothing can be changed there' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand doctor" -s q -l quiet
complete -c pcictl -n "__fish_pcictl_using_subcommand doctor" -s v -l verbose
complete -c pcictl -n "__fish_pcictl_using_subcommand doctor" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand doctor" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand guard" -s w -l wait -d 'How long a writer may wait for locks before it is denied, in seconds, or with a unit: 500ms, 2m, 1h' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand guard" -l refuse -d 'Deny writes that would take away a device that is in use in these ways (comma-separated)' -r -f -a "mounted\t'A file system of it is mounted, in whatever mount namespace'
swap\t'Swap space is on it'
holders\t'Something is built on its disks: dm, LVM, LUKS, md, bcache, ZFS, btrfs, an export'
network\t'Its interface carries an address or a route, or is part of a bond, bridge, VLAN and the like'
management\t'Its interface holds the default route or the session you are typing in'
open\t'A process has one of its device nodes or register files open or mapped'
vfio\t'A process, usually a virtual machine, has it through VFIO or iommufd'
vfs\t'Its virtual functions are in use'
console\t'It is the boot display, the active console, an armed watchdog or where crash dumps go'
protected\t'The site\'s own list in /etc/pcictl/protected.d names it'
redundant\t'It is one of several paths or copies, and the others are healthy'
unchecked\t'Something could not be looked into'"
complete -c pcictl -n "__fish_pcictl_using_subcommand guard" -l color -d 'When to use color' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand guard" -l sysroot -d 'Read a dumped tree instead of this machine; nothing can be changed there' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand guard" -l stop-first -d 'Stop the drivers before a device is removed, bottom-up and side by side'
complete -c pcictl -n "__fish_pcictl_using_subcommand guard" -l report -d 'Hold up nobody; only log what would have waited or been denied'
complete -c pcictl -n "__fish_pcictl_using_subcommand guard" -l status -d 'Show what the running guard does'
complete -c pcictl -n "__fish_pcictl_using_subcommand guard" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand guard" -s q -l quiet -d 'Print errors only'
complete -c pcictl -n "__fish_pcictl_using_subcommand guard" -s v -l verbose -d 'Print more: each step, every lock of a plan'
complete -c pcictl -n "__fish_pcictl_using_subcommand guard" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand guard" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand dump" -l color -d 'When to use color' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand dump" -l sysroot -d 'Read a dumped tree instead of this machine; nothing can be changed there' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand dump" -l anonymize -d 'Replace MAC and IP addresses, serial numbers, UUIDs, names that people chose, and arguments of commands'
complete -c pcictl -n "__fish_pcictl_using_subcommand dump" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand dump" -s q -l quiet -d 'Print errors only'
complete -c pcictl -n "__fish_pcictl_using_subcommand dump" -s v -l verbose -d 'Print more: each step, every lock of a plan'
complete -c pcictl -n "__fish_pcictl_using_subcommand dump" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand dump" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug unbind bind override wait sriov reset power slot lock locks status history recover doctor guard dump help" -f -a "list" -d 'List functions, one per line'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug unbind bind override wait sriov reset power slot lock locks status history recover doctor guard dump help" -f -a "tree" -d 'Show the device tree, host bridges at the top'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug unbind bind override wait sriov reset power slot lock locks status history recover doctor guard dump help" -f -a "show" -d 'Show functions in detail, and what removing them would do'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug unbind bind override wait sriov reset power slot lock locks status history recover doctor guard dump help" -f -a "remove" -d 'Remove a function and everything below it, drivers first'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug unbind bind override wait sriov reset power slot lock locks status history recover doctor guard dump help" -f -a "rescan" -d 'Bring a device back by scanning the smallest bus that can'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug unbind bind override wait sriov reset power slot lock locks status history recover doctor guard dump help" -f -a "replug" -d 'Remove a function and bring it back, under one lock'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug unbind bind override wait sriov reset power slot lock locks status history recover doctor guard dump help" -f -a "unbind" -d 'Stop the driver of a function, which stays where it is'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug unbind bind override wait sriov reset power slot lock locks status history recover doctor guard dump help" -f -a "bind" -d 'Give a function to a driver'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug unbind bind override wait sriov reset power slot lock locks status history recover doctor guard dump help" -f -a "override" -d 'Choose the driver of a function, whatever drivers it fits'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug unbind bind override wait sriov reset power slot lock locks status history recover doctor guard dump help" -f -a "wait" -d 'Wait until a device is there, gone, bound or ready'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug unbind bind override wait sriov reset power slot lock locks status history recover doctor guard dump help" -f -a "sriov" -d 'Show or change the virtual functions of a physical function'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug unbind bind override wait sriov reset power slot lock locks status history recover doctor guard dump help" -f -a "reset" -d 'Reset a function, which stays where it is'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug unbind bind override wait sriov reset power slot lock locks status history recover doctor guard dump help" -f -a "power" -d 'Show or change how a function may sleep and wake'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug unbind bind override wait sriov reset power slot lock locks status history recover doctor guard dump help" -f -a "slot" -d 'Show slots, switch their power, find them by their light'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug unbind bind override wait sriov reset power slot lock locks status history recover doctor guard dump help" -f -a "lock" -d 'Run a command while holding a device\'s lock'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug unbind bind override wait sriov reset power slot lock locks status history recover doctor guard dump help" -f -a "locks" -d 'Show who holds or waits for which lock'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug unbind bind override wait sriov reset power slot lock locks status history recover doctor guard dump help" -f -a "status" -d 'Show interrupted operations, and devices not yet back'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug unbind bind override wait sriov reset power slot lock locks status history recover doctor guard dump help" -f -a "history" -d 'Show what was done to which device, when and by whom'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug unbind bind override wait sriov reset power slot lock locks status history recover doctor guard dump help" -f -a "recover" -d 'Complete or undo interrupted operations'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug unbind bind override wait sriov reset power slot lock locks status history recover doctor guard dump help" -f -a "doctor" -d 'Diagnose a stuck PCI core: which tasks, why, and what to do'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug unbind bind override wait sriov reset power slot lock locks status history recover doctor guard dump help" -f -a "guard" -d 'Make raw writes to sysfs wait for their turn, too'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug unbind bind override wait sriov reset power slot lock locks status history recover doctor guard dump help" -f -a "dump" -d 'Copy what pcictl reads of this machine, to attach to a report'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug unbind bind override wait sriov reset power slot lock locks status history recover doctor guard dump help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and __fish_seen_subcommand_from slot" -f -a "list" -d 'List slots, one per line'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and __fish_seen_subcommand_from slot" -f -a "show" -d 'Show a slot in detail, with what its hardware says'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and __fish_seen_subcommand_from slot" -f -a "on" -d 'Switch a slot\'s power on, and compare what comes with what was there'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and __fish_seen_subcommand_from slot" -f -a "off" -d 'Stop the drivers of what is in a slot, and switch its power off'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and __fish_seen_subcommand_from slot" -f -a "identify" -d 'Have a light show where a slot is'
# Devices, with their class: pcictl lists them.
complete -c pcictl -n "__fish_pcictl_using_subcommand list tree show remove rescan replug unbind bind override wait reset power lock locks history dump" -f -a "(pcictl list --quiet --no-header --output address,class 2>/dev/null | string replace -r '\s+' \t)"
