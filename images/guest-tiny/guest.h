/* What the parts of the guest's init share. */
#ifndef GUEST_H
#define GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes one line with the seconds since boot to the serial console, in a single write. */
void report(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Seconds since boot. */
double uptime(void);

/* First line of a file without its newline; empty when it cannot be read. */
void read_line(const char *path, char *line, size_t size);

/* Opens the web server's listening socket; -1 with errno when that fails. */
int http_listen(uint16_t port);

/* Reads one request from a connected socket and answers it. Runs in a process of its own. */
void http_serve(int connection);

/* The answers of the disk pages; each returns the HTTP status and fills `body` with JSON. */
int disks_list(char *body, size_t size);
int disk_write(const char *device, unsigned index, const char *data, char *body, size_t size);
int disk_read(const char *device, unsigned index, char *body, size_t size);
int disk_load(const char *device, const char *kind, unsigned seconds, char *body, size_t size);

/* Appends `text` to a JSON string under construction, escaped; never past `size`. */
void json_escape(char *out, size_t size, const char *text);

#endif
