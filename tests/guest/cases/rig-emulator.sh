# The rig tells a crash of QEMU itself, as after which it runs a case again, from a guest that is lost.
# topology: switch8
# kernels: 6.12
# boot: own
# expect: emulator
monitor crash
