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

complete -c pcictl -n "__fish_pcictl_needs_command" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_needs_command" -l sysroot -d 'Look at a dumped tree instead of this machine' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_needs_command" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_needs_command" -s q -l quiet -d 'Say nothing but errors'
complete -c pcictl -n "__fish_pcictl_needs_command" -s v -l verbose -d 'Say more about what is done'
complete -c pcictl -n "__fish_pcictl_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_needs_command" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "list" -d 'List functions, a line each'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "tree" -d 'Show the device tree, host bridges at the top'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "show" -d 'Show one function in full, and what removing it would do'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "remove" -d 'Stop everything below a function from the bottom up, then remove it'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "rescan" -d 'Scan the smallest bus that can bring a device back, and report what came'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "replug" -d 'Remove a function and bring it back at once, under one lock from start to end'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "lock" -d 'Run a command while nobody else changes a function or what is below it'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "locks" -d 'Show who holds or waits for which lock'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "status" -d 'Show what is under way, what was interrupted, and what is removed and not back'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "recover" -d 'Bring interrupted operations to their end, or back to their start'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "doctor" -d 'Tell whether the kernel\'s PCI core is stuck, by whom, and what helps'
complete -c pcictl -n "__fish_pcictl_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pcictl -n "__fish_pcictl_using_subcommand list" -s o -l output -d 'Which columns, in this order' -r -f -a "address\t'The address, as sysfs spells it'
class\t'The class by name'
class-code\t'The class code, six hexadecimal digits'
name\t'Vendor and device by name'
ids\t'Vendor and device id'
subsystem\t'Subsystem vendor and device id'
driver\t'The driver that has it'
link\t'Link speed and width; what it could be, where that is more'
numa\t'NUMA node'
slot\t'Slot name'
iommu\t'IOMMU group'
in-use\t'Who uses it'
place\t'Place in the device tree, which names its lock'"
complete -c pcictl -n "__fish_pcictl_using_subcommand list" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand list" -l sysroot -d 'Look at a dumped tree instead of this machine' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand list" -l list-columns -d 'List the columns that there are'
complete -c pcictl -n "__fish_pcictl_using_subcommand list" -l no-header -d 'Leave out the heading'
complete -c pcictl -n "__fish_pcictl_using_subcommand list" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand list" -s q -l quiet -d 'Say nothing but errors'
complete -c pcictl -n "__fish_pcictl_using_subcommand list" -s v -l verbose -d 'Say more about what is done'
complete -c pcictl -n "__fish_pcictl_using_subcommand list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand list" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand tree" -s o -l output -d 'What to say of each function, besides its address; as in list' -r -f -a "address\t'The address, as sysfs spells it'
class\t'The class by name'
class-code\t'The class code, six hexadecimal digits'
name\t'Vendor and device by name'
ids\t'Vendor and device id'
subsystem\t'Subsystem vendor and device id'
driver\t'The driver that has it'
link\t'Link speed and width; what it could be, where that is more'
numa\t'NUMA node'
slot\t'Slot name'
iommu\t'IOMMU group'
in-use\t'Who uses it'
place\t'Place in the device tree, which names its lock'"
complete -c pcictl -n "__fish_pcictl_using_subcommand tree" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand tree" -l sysroot -d 'Look at a dumped tree instead of this machine' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand tree" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand tree" -s q -l quiet -d 'Say nothing but errors'
complete -c pcictl -n "__fish_pcictl_using_subcommand tree" -s v -l verbose -d 'Say more about what is done'
complete -c pcictl -n "__fish_pcictl_using_subcommand tree" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand tree" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand show" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand show" -l sysroot -d 'Look at a dumped tree instead of this machine' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand show" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand show" -s q -l quiet -d 'Say nothing but errors'
complete -c pcictl -n "__fish_pcictl_using_subcommand show" -s v -l verbose -d 'Say more about what is done'
complete -c pcictl -n "__fish_pcictl_using_subcommand show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand show" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -s w -l wait -d 'How long to wait for locks' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -l timeout -d 'How long one write to the kernel may take before the terminal is given back' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -l force -d 'Go on although this is so; only the dangers that are named are overridden' -r -f -a "mounted\t'A file system of it is mounted, in whatever mount namespace'
swap\t'Swap space is on it'
holders\t'Something is built on its disks: dm, LVM, LUKS, md, bcache, ZFS, btrfs, an export'
network\t'Its interface carries an address or a route, or is part of a bond, bridge, VLAN and the like'
management\t'Its interface holds the default route or the session you are typing in'
open\t'A process has one of its device nodes or register files open or mapped'
vfio\t'A process, usually a virtual machine, has it through VFIO or iommufd'
vfs\t'Its virtual functions are in use'
console\t'It is the boot display, the active console, an armed watchdog or where crash dumps go'
protected\t'The site\'s own list in /etc/pcictl/protected.d names it'
unchecked\t'Something could not be looked into'"
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -l jobs -d 'How many drivers to stop at a time' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -l sysroot -d 'Look at a dumped tree instead of this machine' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -s n -l dry-run -d 'Print the steps and the locks in their order, and touch nothing'
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -l no-wait -d 'Do not wait for locks at all'
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -l each -d 'Take all functions that a selector means'
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -s y -l yes -d 'Do not ask whether a forced danger is meant'
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -l if-present -d 'It is fine if the device is not there'
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -l no-rollback -d 'When a driver cannot be stopped, leave those that were stopped as they are'
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -s q -l quiet -d 'Say nothing but errors'
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -s v -l verbose -d 'Say more about what is done'
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand remove" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -l slot -d 'Scan the bus of a slot, be there something in it or not' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -l settle -d 'How long to wait for drivers, disks and interfaces' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -l expect -d 'What must come: ADDRESS, driver=NAME, id=VENDOR:DEVICE, link=SPEEDxLANES, count=N, joined by commas for one function' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -l accept -d 'Differences that are fine' -r -f -a "missing\t'It is not there'
new\t'It is there and was not before'
moved\t'It answers at another address, or sits at another place'
device\t'Something else sits there: other ids, or another serial number'
driver\t'Another driver has it, or none'
link\t'The link is slower or narrower'
bars\t'A BAR has no address, or a smaller one'
vfs\t'It has fewer VFs, or other drivers have them'
names\t'Its disks or interfaces have other names, or none'
iommu\t'It is in another IOMMU group'
expected\t'What --expect asked for did not come'"
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -s w -l wait -d 'How long to wait for locks' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -l timeout -d 'How long one write to the kernel may take before the terminal is given back' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -l sysroot -d 'Look at a dumped tree instead of this machine' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -l all -d 'Scan every bus of the machine'
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -l restore -d 'Put back the number of VFs, driver overrides and power settings'
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -s n -l dry-run -d 'Print the steps and the locks in their order, and touch nothing'
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -l no-wait -d 'Do not wait for locks at all'
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -l each -d 'Take all functions that a selector means'
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -s q -l quiet -d 'Say nothing but errors'
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -s v -l verbose -d 'Say more about what is done'
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand rescan" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -s w -l wait -d 'How long to wait for locks' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l timeout -d 'How long one write to the kernel may take before the terminal is given back' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l force -d 'Go on although this is so; only the dangers that are named are overridden' -r -f -a "mounted\t'A file system of it is mounted, in whatever mount namespace'
swap\t'Swap space is on it'
holders\t'Something is built on its disks: dm, LVM, LUKS, md, bcache, ZFS, btrfs, an export'
network\t'Its interface carries an address or a route, or is part of a bond, bridge, VLAN and the like'
management\t'Its interface holds the default route or the session you are typing in'
open\t'A process has one of its device nodes or register files open or mapped'
vfio\t'A process, usually a virtual machine, has it through VFIO or iommufd'
vfs\t'Its virtual functions are in use'
console\t'It is the boot display, the active console, an armed watchdog or where crash dumps go'
protected\t'The site\'s own list in /etc/pcictl/protected.d names it'
unchecked\t'Something could not be looked into'"
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l jobs -d 'How many drivers to stop at a time' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l settle -d 'How long to wait for drivers, disks and interfaces' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l expect -d 'What must come: ADDRESS, driver=NAME, id=VENDOR:DEVICE, link=SPEEDxLANES, count=N, joined by commas for one function' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l accept -d 'Differences that are fine' -r -f -a "missing\t'It is not there'
new\t'It is there and was not before'
moved\t'It answers at another address, or sits at another place'
device\t'Something else sits there: other ids, or another serial number'
driver\t'Another driver has it, or none'
link\t'The link is slower or narrower'
bars\t'A BAR has no address, or a smaller one'
vfs\t'It has fewer VFs, or other drivers have them'
names\t'Its disks or interfaces have other names, or none'
iommu\t'It is in another IOMMU group'
expected\t'What --expect asked for did not come'"
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l sysroot -d 'Look at a dumped tree instead of this machine' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -s n -l dry-run -d 'Print the steps and the locks in their order, and touch nothing'
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l no-wait -d 'Do not wait for locks at all'
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l each -d 'Take all functions that a selector means'
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -s y -l yes -d 'Do not ask whether a forced danger is meant'
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l if-present -d 'It is fine if the device is not there'
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l no-rollback -d 'When a driver cannot be stopped, leave those that were stopped as they are'
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l restore -d 'Put back the number of VFs, driver overrides and power settings'
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l reset -d 'Reset each function when its driver is stopped; its bus, if it cannot be reset by itself and nothing else is there'
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l power-cycle -d 'Switch the power of its slot off and on while it is removed'
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -l escalate -d 'If it does not come back, try more: the bus above, a reset of its bus, the power of its slot'
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -s q -l quiet -d 'Say nothing but errors'
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -s v -l verbose -d 'Say more about what is done'
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand replug" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand lock" -s w -l wait -d 'How long to wait for locks' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand lock" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand lock" -l sysroot -d 'Look at a dumped tree instead of this machine' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand lock" -l all -d 'Lock the whole machine'
complete -c pcictl -n "__fish_pcictl_using_subcommand lock" -s s -l shared -d 'Keep out changes, not others who lock with --shared: for a command that only looks'
complete -c pcictl -n "__fish_pcictl_using_subcommand lock" -s o -l close -d 'Keep the locks from the command and all that it leaves running; they end with pcictl'
complete -c pcictl -n "__fish_pcictl_using_subcommand lock" -s n -l dry-run -d 'Print the steps and the locks in their order, and touch nothing'
complete -c pcictl -n "__fish_pcictl_using_subcommand lock" -l no-wait -d 'Do not wait for locks at all'
complete -c pcictl -n "__fish_pcictl_using_subcommand lock" -l each -d 'Take all functions that a selector means'
complete -c pcictl -n "__fish_pcictl_using_subcommand lock" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand lock" -s q -l quiet -d 'Say nothing but errors'
complete -c pcictl -n "__fish_pcictl_using_subcommand lock" -s v -l verbose -d 'Say more about what is done'
complete -c pcictl -n "__fish_pcictl_using_subcommand lock" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand lock" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand locks" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand locks" -l sysroot -d 'Look at a dumped tree instead of this machine' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand locks" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand locks" -s q -l quiet -d 'Say nothing but errors'
complete -c pcictl -n "__fish_pcictl_using_subcommand locks" -s v -l verbose -d 'Say more about what is done'
complete -c pcictl -n "__fish_pcictl_using_subcommand locks" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand locks" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand status" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand status" -l sysroot -d 'Look at a dumped tree instead of this machine' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand status" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand status" -s q -l quiet -d 'Say nothing but errors'
complete -c pcictl -n "__fish_pcictl_using_subcommand status" -s v -l verbose -d 'Say more about what is done'
complete -c pcictl -n "__fish_pcictl_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand status" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand recover" -s w -l wait -d 'How long to wait for locks' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand recover" -l timeout -d 'How long one write to the kernel may take before the terminal is given back' -r
complete -c pcictl -n "__fish_pcictl_using_subcommand recover" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand recover" -l sysroot -d 'Look at a dumped tree instead of this machine' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand recover" -s n -l dry-run -d 'Print the steps and the locks in their order, and touch nothing'
complete -c pcictl -n "__fish_pcictl_using_subcommand recover" -l no-wait -d 'Do not wait for locks at all'
complete -c pcictl -n "__fish_pcictl_using_subcommand recover" -l each -d 'Take all functions that a selector means'
complete -c pcictl -n "__fish_pcictl_using_subcommand recover" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand recover" -s q -l quiet -d 'Say nothing but errors'
complete -c pcictl -n "__fish_pcictl_using_subcommand recover" -s v -l verbose -d 'Say more about what is done'
complete -c pcictl -n "__fish_pcictl_using_subcommand recover" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand recover" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand doctor" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c pcictl -n "__fish_pcictl_using_subcommand doctor" -l sysroot -d 'Look at a dumped tree instead of this machine' -r -f -a "(__fish_complete_directories)"
complete -c pcictl -n "__fish_pcictl_using_subcommand doctor" -s j -l json -d 'Print one JSON document'
complete -c pcictl -n "__fish_pcictl_using_subcommand doctor" -s q -l quiet -d 'Say nothing but errors'
complete -c pcictl -n "__fish_pcictl_using_subcommand doctor" -s v -l verbose -d 'Say more about what is done'
complete -c pcictl -n "__fish_pcictl_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pcictl -n "__fish_pcictl_using_subcommand doctor" -s V -l version -d 'Print version'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug lock locks status recover doctor help" -f -a "list" -d 'List functions, a line each'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug lock locks status recover doctor help" -f -a "tree" -d 'Show the device tree, host bridges at the top'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug lock locks status recover doctor help" -f -a "show" -d 'Show one function in full, and what removing it would do'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug lock locks status recover doctor help" -f -a "remove" -d 'Stop everything below a function from the bottom up, then remove it'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug lock locks status recover doctor help" -f -a "rescan" -d 'Scan the smallest bus that can bring a device back, and report what came'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug lock locks status recover doctor help" -f -a "replug" -d 'Remove a function and bring it back at once, under one lock from start to end'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug lock locks status recover doctor help" -f -a "lock" -d 'Run a command while nobody else changes a function or what is below it'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug lock locks status recover doctor help" -f -a "locks" -d 'Show who holds or waits for which lock'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug lock locks status recover doctor help" -f -a "status" -d 'Show what is under way, what was interrupted, and what is removed and not back'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug lock locks status recover doctor help" -f -a "recover" -d 'Bring interrupted operations to their end, or back to their start'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug lock locks status recover doctor help" -f -a "doctor" -d 'Tell whether the kernel\'s PCI core is stuck, by whom, and what helps'
complete -c pcictl -n "__fish_pcictl_using_subcommand help; and not __fish_seen_subcommand_from list tree show remove rescan replug lock locks status recover doctor help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
# Devices, with their class: pcictl lists them.
complete -c pcictl -n "__fish_pcictl_using_subcommand list tree show remove rescan replug lock locks" -f -a "(pcictl list --quiet --no-header --output address,class 2>/dev/null | string replace -r '\s+' \t)"
