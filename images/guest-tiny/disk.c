/* The guest's disks: what is there, and a short text written to one and read back from the medium itself. */
#define _GNU_SOURCE
#include "guest.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { block = 4096, place = 1 << 20 }; /* bytes; the text stands 1 MiB into the disk, clear of boot sectors */

static const char magic[] = "virtpod-disk:";

static bool is_disk(const char *name) {
    for (const char *at = name; *at; at++) {
        if (!isalnum((unsigned char)*at)) return false;
    }
    return !strncmp(name, "vd", 2) || !strncmp(name, "sd", 2) || !strncmp(name, "sr", 2);
}

static void attribute(const char *disk, const char *name, char *line, size_t size) {
    char path[320];
    snprintf(path, sizeof path, "/sys/block/%s/%s", disk, name);
    read_line(path, line, size);
}

/* virtio has its serial in sysfs; SCSI and SATA disks in the vital product data page 0x80, after four bytes. */
static void serial_of(const char *disk, char *serial, size_t size) {
    attribute(disk, "serial", serial, size);
    if (serial[0]) return;
    char path[320], page[256] = "";
    snprintf(path, sizeof path, "/sys/block/%s/device/vpd_pg80", disk);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    ssize_t length = read(file, page, sizeof page - 1);
    close(file);
    if (length > 4) snprintf(serial, size, "%s", page + 4 + strspn(page + 4, " "));
}

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

int disks_list(char *body, size_t size) {
    char names[64][16];
    int count = 0;
    DIR *disks = opendir("/sys/block");
    for (struct dirent *entry; disks && (entry = readdir(disks)) && count < 64;) {
        if (is_disk(entry->d_name)) snprintf(names[count++], sizeof names[0], "%.15s", entry->d_name);
    }
    if (disks) closedir(disks);
    qsort(names, count, sizeof names[0], by_name);
    snprintf(body, size, "[");
    for (int index = 0; index < count; index++) {
        char sectors[32], readonly[8], serial[128] = "", line[128];
        attribute(names[index], "size", sectors, sizeof sectors);
        attribute(names[index], "ro", readonly, sizeof readonly);
        serial_of(names[index], serial, sizeof serial);
        snprintf(line, sizeof line, "%s{\"name\":\"%s\",\"sizeBytes\":%lld,\"readonly\":%s,\"serial\":\"",
                 index ? "," : "", names[index], atoll(sectors) * 512, readonly[0] == '1' ? "true" : "false");
        size_t at = strlen(body);
        snprintf(body + at, size - at, "%s", line);
        json_escape(body, size, serial);
        at = strlen(body);
        snprintf(body + at, size - at, "\"}");
    }
    size_t at = strlen(body);
    snprintf(body + at, size - at, "]");
    return 200;
}

static int refuse(const char *device, const char *what, char *body, size_t size) {
    int code = errno;
    snprintf(body, size, "{\"error\":\"");
    json_escape(body, size, device);
    size_t at = strlen(body);
    snprintf(body + at, size - at, ": %s: %s\"}", what, strerror(code));
    return code == ENOENT ? 404 : 500;
}

static int open_disk(const char *device, int flags) {
    char path[64];
    if (!is_disk(device)) {
        errno = ENOENT;
        return -1;
    }
    snprintf(path, sizeof path, "/dev/%s", device);
    return open(path, flags | O_CLOEXEC);
}

static int answer(const char *device, const char *data, char *body, size_t size) {
    snprintf(body, size, "{\"dev\":\"%s\",\"data\":", device);
    size_t at = strlen(body);
    snprintf(body + at, size - at, data ? "\"" : "null");
    if (data) json_escape(body, size, data);
    at = strlen(body);
    snprintf(body + at, size - at, data ? "\"}" : "}");
    return 200;
}

int disk_write(const char *device, const char *data, char *body, size_t size) {
    int disk = open_disk(device, O_WRONLY);
    if (disk < 0) return refuse(device, "cannot open", body, size);
    char text[block] = "";
    snprintf(text, sizeof text, "%s%s", magic, data);
    bool written = pwrite(disk, text, block, place) == block && fsync(disk) == 0;
    int status = written ? answer(device, data, body, size) : refuse(device, "cannot write", body, size);
    close(disk);
    return status;
}

int disk_read(const char *device, char *body, size_t size) {
    int disk = open_disk(device, O_RDONLY);
    if (disk < 0) return refuse(device, "cannot open", body, size);
    ioctl(disk, BLKFLSBUF, 0); /* so that the bytes come from the disk, not from the guest's own cache */
    char text[block + 1];
    ssize_t length = pread(disk, text, block, place);
    int status;
    if (length < 0) status = refuse(device, "cannot read", body, size);
    else {
        text[length] = 0;
        bool ours = !strncmp(text, magic, sizeof magic - 1);
        status = answer(device, ours ? text + sizeof magic - 1 : NULL, body, size);
    }
    close(disk);
    return status;
}
