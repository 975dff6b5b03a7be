# The rig notices a function that a case left removed, and a driver that it left unbound.
# topology: switch8
# kernels: 6.12
# boot: own
# expect: changed
drop "$(of_kind edu | nth 1)"
