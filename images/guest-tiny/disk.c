/* The guest's disks: what is there, a short text written to one and read back from the medium itself, and a load. */
#define _GNU_SOURCE
#include "guest.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum {
    block = 4096,    /* bytes of a text's place, and of a random read */
    place = 1 << 20, /* bytes; texts stand from 1 MiB into the disk on, clear of boot sectors */
    stretch = 1 << 20, /* bytes of one sequential write */
    load_limit = 60, /* seconds */
};

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

int disk_write(const char *device, unsigned index, const char *data, char *body, size_t size) {
    int disk = open_disk(device, O_WRONLY);
    if (disk < 0) return refuse(device, "cannot open", body, size);
    char text[block] = "";
    snprintf(text, sizeof text, "%s%s", magic, data);
    bool written = pwrite(disk, text, block, place + (off_t)index * block) == block && fsync(disk) == 0;
    int status = written ? answer(device, data, body, size) : refuse(device, "cannot write", body, size);
    close(disk);
    return status;
}

int disk_read(const char *device, unsigned index, char *body, size_t size) {
    int disk = open_disk(device, O_RDONLY);
    if (disk < 0) return refuse(device, "cannot open", body, size);
    ioctl(disk, BLKFLSBUF, 0); /* so that the bytes come from the disk, not from the guest's own cache */
    char text[block + 1];
    ssize_t length = pread(disk, text, block, place + (off_t)index * block);
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

static double seconds_since(const struct timespec *begin) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec - begin->tv_sec + (now.tv_nsec - begin->tv_nsec) / 1e9;
}

/* xorshift64: places on the disk that no read-ahead guesses, the same ones in each run. */
static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

/* One request after the other for some time, past the guest's cache: 4 KiB each from anywhere, or 1 MiB each in order. */
int disk_load(const char *device, const char *kind, unsigned seconds, char *body, size_t size) {
    bool writes = !strcmp(kind, "write");
    if ((!writes && strcmp(kind, "read") != 0) || seconds < 1 || seconds > load_limit) {
        snprintf(body, size, "{\"error\":\"kind must be read or write, seconds 1 to %d\"}", load_limit);
        return 400;
    }
    int disk = open_disk(device, (writes ? O_WRONLY : O_RDONLY) | O_DIRECT);
    if (disk < 0) return refuse(device, "cannot open", body, size);
    errno = ENOSPC; /* for a disk that is there and too small */
    uint64_t bytes = 0, state = 88172645463325252u;
    size_t length = writes ? stretch : block;
    char *buffer = aligned_alloc(block, length);
    if (!buffer || ioctl(disk, BLKGETSIZE64, &bytes) < 0 || bytes < length) {
        int status = refuse(device, "no load on it", body, size);
        free(buffer);
        close(disk);
        return status;
    }
    for (size_t at = 0; at + sizeof state <= length; at += sizeof state) {
        next_random(&state);
        memcpy(buffer + at, &state, sizeof state);
    }
    struct timespec begin;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    unsigned long requests = 0;
    bool good = true;
    while (good && seconds_since(&begin) < seconds) {
        uint64_t slot = (writes ? requests : next_random(&state)) % (bytes / length);
        off_t at = slot * length;
        good = (writes ? pwrite(disk, buffer, length, at) : pread(disk, buffer, length, at)) == (ssize_t)length;
        requests++;
    }
    if (good && writes) good = fsync(disk) == 0;
    double elapsed = seconds_since(&begin);
    int status = good ? 200 : refuse(device, "cannot go on", body, size);
    if (good) {
        snprintf(body, size, "{\"requests\":%lu,\"bytes\":%llu,\"elapsedMs\":%.3f}", requests,
                 (unsigned long long)requests * length, elapsed * 1e3);
    }
    free(buffer);
    close(disk);
    return status;
}
