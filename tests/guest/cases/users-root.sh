# The disk that the system runs from is named as what it is.
# topology: users
# kernels: any
disk=$(of_kind nvme | nth 1)
name=$(basename "$pci/$disk"/nvme/nvme*/nvme*n1)
new_file_system "$name"
# A system that has booted from it: the disk is its root, as switch_root leaves it.
cat >/tmp/case/system <<END
set -e
mkdir -p /tmp/mnt
mount -t ext4 /dev/$name /tmp/mnt
mkdir /tmp/mnt/bin /tmp/mnt/proc /tmp/mnt/sys /tmp/mnt/dev /tmp/mnt/run
cp /bin/busybox /tmp/mnt/bin/sh
cp "\$(command -v pcictl)" /tmp/mnt/bin/pcictl
for directory in proc sys dev; do mount --bind /\$directory /tmp/mnt/\$directory; done
mount --bind /run /tmp/mnt/run
cd /tmp/mnt
mount --move . /
exec chroot . /bin/pcictl remove $disk
END
before=$(functions)
expect_status 4 unshare -m sh /tmp/case/system
contains "$err" "$disk: / is mounted from $name (ext4): the root file system"
same "$before" "$(functions)"
