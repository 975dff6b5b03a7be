# Nobody is warned for nothing: an interface that is down, a disk with old data, a port with nothing below it, and what the
# site's list names elsewhere go without a word.
# topology: users
# kernels: any
before=$(functions)
disk=$(of_kind nvme | nth 2)
card=$(of_kind e1000e | nth 2)
port=$(of_kind root-port | nth 4)
name=$(basename "$pci/$disk"/nvme/nvme*/nvme*n1)
new_file_system "$name"
[ -z "$(below "$port")" ] || fail "$port is not empty"
mkdir -p /etc/pcictl/protected.d
echo "$(of_kind nvme | nth 1) holds the archive" >/etc/pcictl/protected.d/site.conf
for device in "$disk" "$card" "$port"; do
    expect_status 0 pcictl remove "$device" </dev/null
    [ -z "$err" ] || fail "remove $device said: $err"
done
expect_status 0 pcictl rescan --all
same "$before" "$(functions)"

refused "$(of_kind root-port | nth 1)" protected 'is protected: holds the archive (/etc/pcictl/protected.d/site.conf:1)'
echo nonsense >>/etc/pcictl/protected.d/site.conf
expect_status 4 pcictl remove --force protected "$disk"
contains "$err" '/etc/pcictl/protected.d/site.conf:2: '
rm /etc/pcictl/protected.d/site.conf
same "$before" "$(functions)"
