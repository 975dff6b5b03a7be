# The rig notices a case that fails.
# topology: switch8
# kernels: 6.12
# expect: failed
same one one
same one two
