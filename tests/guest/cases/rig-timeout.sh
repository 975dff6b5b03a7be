# The rig ends a case that takes too long, and says so.
# topology: switch8
# kernels: 6.12
# boot: own
# timeout: 2
# expect: timeout
sleep 100
