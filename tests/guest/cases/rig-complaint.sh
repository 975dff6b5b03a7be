# The rig notices a warning of the kernel.
# topology: switch8
# kernels: 6.12
# boot: own
# expect: complaint
echo 'WARNING: CPU: 0 PID: 1 at nowhere' >/dev/kmsg
