/* join LOCKS PLACE COMMAND...: runs COMMAND with PLACE locked:
 * join /run/pcictl/locks pci0000:00/03.0/00.0 ./reset-card */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char directory[4096], name[4200], mark[9000], is[9000];

static int take(const char *node, char *kind, int lock, int tag)
{
    struct timespec t;
    snprintf(name, sizeof name, "%s.%s", node, kind);
    int fd = open(name, O_RDWR | O_NOFOLLOW);
    clock_gettime(CLOCK_BOOTTIME, &t);
    off_t since = t.tv_sec * 1000LL + t.tv_nsec / 1000000;
    if (fd < 0 || lseek(fd, since << 2 | tag, SEEK_SET) < 0)
        err(75, "%s", name);
    if (flock(fd, lock))
        err(75, "%s", name);
    return fd;
}

static void hold(const char *node, int lock, int tag)
{
    struct stat a, b;
    int gate = take(node, "gate", LOCK_EX, tag);
    int fd = take(node, "lock", lock, tag);
    close(gate);
    ssize_t length = pread(fd, is, sizeof is - 1, 0);
    if (length < 0 || fstat(fd, &a) || stat(name, &b))
        err(75, "%s", name);
    is[length] = 0;
    snprintf(mark, sizeof mark, "pcictl %lx:%lu %s/%s\n",
             (long)a.st_dev, (long)a.st_ino, directory, name);
    bool same = a.st_ino == b.st_ino && a.st_dev == b.st_dev;
    if (!same || strcmp(is, mark))
        errx(75, "%s is new; have pcictl lock it once", name);
}

int main(int argc, char **argv)
{
    if (argc < 4 || chdir(argv[1]) || !getcwd(directory, 4096))
        err(2, "usage: join LOCKS PLACE COMMAND...");
    ssize_t length = readlink("protocol", is, sizeof is);
    if (length >= 0 ? length != 1 || *is != '1' : errno != ENOENT)
        errx(75, "these locks are not of protocol 1");
    char *place = strdup(argv[2]);
    alarm(30);
    hold("root", LOCK_SH, 2);
    for (char *end = place; (end = strchr(end, '/')); *end = '+') {
        *end = 0;
        hold(place, LOCK_SH, 2);
    }
    hold(place, LOCK_EX, 1);
    alarm(0);
    execvp(argv[3], argv + 3);
    err(127, "%s", argv[3]);
}
