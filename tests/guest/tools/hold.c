// SPDX-License-Identifier: MIT OR Apache-2.0
/* hold KIND ...: hold a device in a way that busybox cannot, so that the cases have somebody to find.
 *
 *   hold map FILE            map a page of it, with no descriptor left, until killed
 *   hold thread FILE         have it open in a thread whose process's first thread has ended, until killed
 *   hold lock FILE           make it, and lock it for writing as SPDK locks what it claims, until killed
 *   hold vfio GROUP ADDRESS  have that function of that VFIO group, like a virtual machine, until killed
 *   hold linear NAME DISK    make a dm device over all of DISK; hold unlinear NAME takes it away again
 *   hold multipath NAME DISK DISK  the same of two paths; hold failpath NAME DISK has it give up one of them
 *   hold raid DISK...        make /dev/md0, a RAID 1 without superblocks; hold unraid takes it away again
 *   hold fuse DIRECTORY      mount a file system there whose server never answers, and have its root open, until killed
 *   hold alone DISK          have it open as nobody else may have it, until killed
 *   hold journal DISK OF     make DISK the journal of the ext2 file system on OF, with blocks of 4 KiB, which becomes an
 *                            ext4 by that; it ends at once
 *
 * It prints "ready" when it holds what it was asked for, and names the call that failed otherwise.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <linux/fs.h>
#include <linux/major.h>
#include <linux/raid/md_p.h>
#include <linux/raid/md_u.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static int check(const char *what, long result)
{
	if (result < 0) {
		perror(what);
		exit(1);
	}
	return (int)result;
}

static void wait_to_be_killed(void)
{
	puts("ready");
	fflush(stdout);
	for (;;)
		pause();
}

static void fuse(const char *directory)
{
	int server = check("/dev/fuse", open("/dev/fuse", O_RDWR));
	char options[80];

	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", server);
	check("mount", mount("dead", directory, "fuse.dead", 0, options));
	/* Nobody is asked for that. */
	check(directory, open(directory, O_PATH));
	wait_to_be_killed();
}

static void map(const char *path)
{
	int fd = check(path, open(path, O_RDWR));
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	check("mmap", page == MAP_FAILED ? -1 : 0);
	close(fd);
	wait_to_be_killed();
}

static void *outlive(void *first)
{
	pthread_join(*(pthread_t *)first, NULL);
	wait_to_be_killed();
	return NULL;
}

static void thread(const char *path)
{
	static pthread_t first;
	pthread_t second;

	check(path, open(path, O_RDWR));
	first = pthread_self();
	check("pthread_create", -pthread_create(&second, NULL, outlive, &first));
	pthread_exit(NULL);
}

static void lock(const char *path)
{
	struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = check(path, open(path, O_RDWR | O_CREAT, 0600));

	check("F_SETLK", fcntl(fd, F_SETLK, &all));
	wait_to_be_killed();
}

static void vfio(const char *group_path, const char *address)
{
	int container = check("container", open("/dev/vfio/vfio", O_RDWR));
	int group = check(group_path, open(group_path, O_RDWR));

	check("VFIO_GROUP_SET_CONTAINER", ioctl(group, VFIO_GROUP_SET_CONTAINER, &container));
	check("VFIO_SET_IOMMU", ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU));
	check("VFIO_GROUP_GET_DEVICE_FD", ioctl(group, VFIO_GROUP_GET_DEVICE_FD, address));
	wait_to_be_killed();
}

struct dm_call {
	struct dm_ioctl head;
	struct dm_target_spec target;
	char parameters[128];
};

static uint64_t sectors(const char *disk)
{
	uint64_t bytes;
	int fd = check(disk, open(disk, O_RDONLY));

	check("BLKGETSIZE64", ioctl(fd, BLKGETSIZE64, &bytes));
	close(fd);
	return bytes / 512;
}

static void dm_call(const char *what, unsigned long request, struct dm_call *call, const char *name)
{
	int control = check("/dev/mapper/control", open("/dev/mapper/control", O_RDWR));

	call->head.version[0] = DM_VERSION_MAJOR;
	call->head.data_size = sizeof(*call);
	call->head.data_start = offsetof(struct dm_call, target);
	strncpy(call->head.name, name, sizeof(call->head.name) - 1);
	check(what, ioctl(control, request, call));
	close(control);
}

/* Makes a device of one target, with a UUID if there is one. */
static void dm_make(const char *name, const char *uuid, uint64_t length, const char *type, const char *parameters)
{
	struct dm_call create = { 0 }, load = { 0 }, resume = { 0 };

	strncpy(create.head.uuid, uuid, sizeof(create.head.uuid) - 1);
	dm_call("DM_DEV_CREATE", DM_DEV_CREATE, &create, name);
	load.head.target_count = 1;
	load.target.length = length;
	strcpy(load.target.target_type, type);
	strncpy(load.parameters, parameters, sizeof(load.parameters) - 1);
	dm_call("DM_TABLE_LOAD", DM_TABLE_LOAD, &load, name);
	dm_call("DM_DEV_SUSPEND", DM_DEV_SUSPEND, &resume, name);
}

static void dm_remove(const char *name)
{
	struct dm_call call = { 0 };

	dm_call("DM_DEV_REMOVE", DM_DEV_REMOVE, &call, name);
}

static void linear(const char *name, const char *disk)
{
	char parameters[80];

	snprintf(parameters, sizeof(parameters), "%s 0", disk);
	dm_make(name, "", sectors(disk), "linear", parameters);
}

static void multipath(const char *name, const char *one, const char *other)
{
	char uuid[40], parameters[120];

	snprintf(uuid, sizeof(uuid), "mpath-%s", name);
	snprintf(parameters, sizeof(parameters), "0 0 1 1 round-robin 0 2 1 %s 100 %s 100", one, other);
	dm_make(name, uuid, sectors(one), "multipath", parameters);
}

static void fail_path(const char *name, const char *disk)
{
	struct dm_call call = { 0 };
	struct dm_target_msg *message = (void *)&call.target;
	struct stat node;

	check(disk, stat(disk, &node));
	sprintf(message->message, "fail_path %u:%u", major(node.st_rdev), minor(node.st_rdev));
	dm_call("DM_TARGET_MSG", DM_TARGET_MSG, &call, name);
}

static int md(void)
{
	mknod("/dev/md0", S_IFBLK | 0600, makedev(MD_MAJOR, 0));
	return check("/dev/md0", open("/dev/md0", O_RDWR));
}

static void raid(int count, char **disks)
{
	mdu_array_info_t array = { .major_version = 0, .minor_version = 90, .level = 1, .not_persistent = 1 };
	int fd = md();

	array.raid_disks = array.nr_disks = count;
	check("SET_ARRAY_INFO", ioctl(fd, SET_ARRAY_INFO, &array));
	for (int i = 0; i < count; i++) {
		mdu_disk_info_t disk = { .number = i, .raid_disk = i };
		struct stat node;

		check(disks[i], stat(disks[i], &node));
		disk.major = major(node.st_rdev);
		disk.minor = minor(node.st_rdev);
		disk.state = 1 << MD_DISK_ACTIVE | 1 << MD_DISK_SYNC;
		check("ADD_NEW_DISK", ioctl(fd, ADD_NEW_DISK, &disk));
	}
	check("RUN_ARRAY", ioctl(fd, RUN_ARRAY, NULL));
}

static void alone(const char *path)
{
	check(path, open(path, O_RDONLY | O_EXCL));
	wait_to_be_killed();
}

static void put(unsigned char *block, int at, uint32_t value, int big_endian)
{
	for (int byte = 0; byte < 4; byte++)
		block[at + byte] = value >> 8 * (big_endian ? 3 - byte : byte);
}

/* As mke2fs -O journal_dev and tune2fs -J device= do: fs/ext4/ext4.h, ext4_super_block, and include/linux/jbd2.h,
 * journal_superblock_s. */
static void journal(const char *path, const char *of)
{
	enum { SIZE = 4096, BLOCKS = 4096, UUID = 0x68 };
	static unsigned char block[SIZE];
	unsigned char *super = block + 1024;
	int disk = check(path, open(path, O_RDWR));
	int system = check(of, open(of, O_RDWR));
	struct stat stat;

	check("fstat", fstat(disk, &stat));
	put(super, 0x04, BLOCKS, 0);
	put(super, 0x18, 2, 0);
	put(super, 0x38, 0xef53, 0);
	put(super, 0x4c, 1, 0);
	put(super, 0x60, 0x8, 0);
	memset(super + UUID, 0x5a, 16);
	check("write", pwrite(disk, block, SIZE, 0));
	memset(block, 0, SIZE);
	put(block, 0x00, 0xc03b3998, 1);
	put(block, 0x04, 4, 1);
	put(block, 0x0c, SIZE, 1);
	put(block, 0x10, BLOCKS, 1);
	put(block, 0x14, 2, 1);
	put(block, 0x18, 1, 1);
	put(block, 0x40, 1, 1);
	check("write", pwrite(disk, block, SIZE, SIZE));
	check("read", pread(system, block, SIZE, 0));
	super[0x5c] |= 0x4;
	memset(super + 0xd0, 0x5a, 16);
	put(super, 0xe0, 0, 0);
	/* new_encode_dev, include/linux/kdev_t.h */
	put(super, 0xe4, (minor(stat.st_rdev) & 0xff) | major(stat.st_rdev) << 8 | (minor(stat.st_rdev) & ~0xffu) << 12, 0);
	check("write", pwrite(system, block, SIZE, 0));
	check("fsync", fsync(disk));
	check("fsync", fsync(system));
	close(disk);
	close(system);
}

int main(int argc, char **argv)
{
	const char *kind = argc > 1 ? argv[1] : "";

	if (argc == 3 && !strcmp(kind, "map")) {
		map(argv[2]);
	} else if (argc == 3 && !strcmp(kind, "fuse")) {
		fuse(argv[2]);
	} else if (argc == 3 && !strcmp(kind, "thread")) {
		thread(argv[2]);
	} else if (argc == 3 && !strcmp(kind, "lock")) {
		lock(argv[2]);
	} else if (argc == 4 && !strcmp(kind, "vfio")) {
		vfio(argv[2], argv[3]);
	} else if (argc == 4 && !strcmp(kind, "linear")) {
		linear(argv[2], argv[3]);
	} else if (argc == 5 && !strcmp(kind, "multipath")) {
		multipath(argv[2], argv[3], argv[4]);
	} else if (argc == 4 && !strcmp(kind, "failpath")) {
		fail_path(argv[2], argv[3]);
	} else if (argc == 3 && !strcmp(kind, "unlinear")) {
		dm_remove(argv[2]);
	} else if (argc > 2 && !strcmp(kind, "raid")) {
		raid(argc - 2, argv + 2);
	} else if (argc == 3 && !strcmp(kind, "alone")) {
		alone(argv[2]);
	} else if (argc == 4 && !strcmp(kind, "journal")) {
		journal(argv[2], argv[3]);
	} else if (argc == 2 && !strcmp(kind, "unraid")) {
		check("STOP_ARRAY", ioctl(md(), STOP_ARRAY, NULL));
	} else {
		fprintf(stderr, "hold: see the top of hold.c\n");
		return 2;
	}
	puts("ready");
	return 0;
}
