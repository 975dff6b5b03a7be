# The rig notices a guest that is lost, and says so rather than wait for it.
# topology: switch8
# kernels: 6.12
# boot: own
# expect: lost
echo c >/proc/sysrq-trigger
