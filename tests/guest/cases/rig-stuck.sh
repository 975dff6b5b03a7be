# The rig notices a task that stays in D state after its case ended.
# topology: switch8
# kernels: 6.12
# boot: own
# expect: stuck
# allow: changed
slow remove_ms 600000
device=$(of_kind edu | nth 1)
drop "$device" &
sleep 1
