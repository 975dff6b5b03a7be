# The raw writes that pcictl-runbooks(7) warns of hang the kernel, and the page's way out of it up to the reboot.
# topology: runbooks
# kernels: any
# file: xtask/man/pcictl-runbooks.7.txt
# boot: own
# timeout: 120
# expect: stuck
# allow: changed
# shellcheck disable=SC2317 # lib.sh calls by_hand
switch=$(of_kind upstream)
by_hand() {
    case $1 in
    'move the services of the machine away')
        # Nothing more is added to what hangs.
        stuck=$(stuck_tasks | grep -c '^[0-9]')
        expect_status 4 pcictl replug "$(of_kind edu | nth 1)"
        contains "$err" "the kernel's PCI core is stuck"
        same "$stuck" "$(stuck_tasks | grep -c '^[0-9]')"
        # What is left is the reboot.
        exit 0
        ;;
    *) fail "nobody told this case how to: $1" ;;
    esac
}
# Those two writes alone meet only now and then. Many rescans at a time do at once.
deadlock "$switch"
runbook 'RECOVER A BUS THAT HANGS' 2
fail 'nobody rebooted'
