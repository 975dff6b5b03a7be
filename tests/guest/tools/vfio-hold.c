// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * vfio-hold GROUP ADDRESS: open a device by vfio, as a virtual machine does, say `ready`, and keep it open until killed.
 */
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char path[64];
	if (argc != 3)
		return 2;
	snprintf(path, sizeof(path), "/dev/vfio/%s", argv[1]);
	int container = open("/dev/vfio/vfio", O_RDWR), group = open(path, O_RDWR);
	if (container < 0 || group < 0)
		return perror(path), 1;
	if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) || ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU))
		return perror("container"), 1;
	if (ioctl(group, VFIO_GROUP_GET_DEVICE_FD, argv[2]) < 0)
		return perror(argv[2]), 1;
	puts("ready");
	fflush(stdout);
	for (;;)
		pause();
}
