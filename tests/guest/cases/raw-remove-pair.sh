# Why pcictl is there: two removals, one above the other, use memory after it was freed. slub_debug makes it show.
# topology: nested
# kernels: any
# append: slub_debug=FPZU
# boot: own
# expect: complaint
# allow: stuck changed
top=$(of_kind upstream | nth 1)
use_freed_memory "$top"
