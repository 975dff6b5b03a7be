/* The least that a listing with ids and drivers can cost: a program that does little but the same reads.
 *
 *     cc -O2 benches/floor.c -o floor && ./floor TREE/sys
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int main(int argc, char **argv)
{
	char path[4096], text[4096], link[4096], **names = NULL;
	size_t count = 0;

	snprintf(path, sizeof(path), "%s/bus/pci/devices", argc > 1 ? argv[1] : "/sys");
	DIR *devices = chdir(path) ? NULL : opendir(".");
	if (!devices)
		return perror(path), 1;
	for (struct dirent *entry; (entry = readdir(devices));) {
		if (entry->d_name[0] == '.')
			continue;
		if (!(count & (count + 1)))
			names = realloc(names, (2 * count + 2) * sizeof(*names));
		names[count++] = strdup(entry->d_name);
	}
	closedir(devices);
	qsort(names, count, sizeof(*names), by_name);

	for (size_t i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s/modalias", names[i]);
		int file = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t length = file < 0 ? 0 : read(file, text, sizeof(text) - 1);
		if (file >= 0)
			close(file);
		text[length > 0 ? length - 1 : 0] = '\0';
		snprintf(path, sizeof(path), "%s/driver", names[i]);
		length = readlink(path, link, sizeof(link) - 1);
		link[length > 0 ? length : 0] = '\0';
		char *driver = strrchr(link, '/');
		printf("%s  %s  %s\n", names[i], text, driver ? driver + 1 : "-");
	}
	return 0;
}
