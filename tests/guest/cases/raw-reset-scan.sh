# Why pcictl scans over no bridge that a reset left without its bus number: four raw writes, one after the other and nobody beside
# them, and the kernel reads what it has freed. The port that was removed left its numbers free, so the scan deals them out
# from the first port that it finds, and each has two buses then.
# topology: nested
# kernels: any
# append: slub_debug=FPZ
# boot: own
# expect: complaint
# allow: stuck changed
upstream=$(of_kind upstream | nth 1)
# shellcheck disable=SC2046 # a word each
set -- $(below "$upstream")
drop "$1"
echo 1 >"$pci/$upstream/reset"
expect_status 4 pcictl rescan --all
contains "$err" "$2"
contains "$err" "lost the number of the bus below it in a reset"
echo 1 >/sys/bus/pci/rescan
drop "$2"
echo 1 >/sys/bus/pci/rescan
drop "$upstream"
