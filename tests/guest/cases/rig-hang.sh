# The rig gives up on a guest that falls silent: this stops the shell that runs the cases.
# topology: switch8
# kernels: 6.12
# boot: own
# timeout: 1
# expect: lost
for task in /proc/[0-9]*; do
    ! grep -q /rig/main "$task/cmdline" 2>/dev/null || kill -STOP "${task#/proc/}"
done
