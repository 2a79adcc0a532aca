/* The guest's web server: what the guest knows about itself, a calibrated load, and its disks. */
#define _GNU_SOURCE
#include "guest.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    request_limit = 4096,   /* bytes of a request's head */
    read_deadline = 5000,   /* milliseconds for it to arrive */
    answer_deadline = 600,  /* seconds for a whole request */
    rounds = 100000,        /* multiplications in one iteration of /burn */
    iteration_limit = 1000000,
};

int http_listen(uint16_t port) {
    int server = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    int on = 1, off = 0;
    setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(server, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(server, (struct sockaddr *)&any, sizeof any) < 0 || listen(server, 64) < 0) return -1;
    return server;
}

void json_escape(char *out, size_t size, const char *text) {
    size_t at = strlen(out);
    for (; *text && at + 8 < size; text++) {
        unsigned char byte = *text;
        if (byte == '"' || byte == '\\') at += snprintf(out + at, size - at, "\\%c", byte);
        else if (byte < 32 || byte > 126) at += snprintf(out + at, size - at, "\\u%04x", byte);
        else out[at++] = byte;
    }
    out[at] = 0;
}

static void append(char *out, size_t size, const char *text) {
    size_t at = strlen(out);
    snprintf(out + at, size - at, "%s", text);
}

static void append_string(char *out, size_t size, const char *key, const char *text) {
    append(out, size, "\"");
    append(out, size, key);
    append(out, size, "\":\"");
    json_escape(out, size, text);
    append(out, size, "\",");
}

/* Name servers of /etc/resolv.conf as the elements of a JSON list. */
static void append_dns(char *out, size_t size) {
    FILE *file = fopen("/etc/resolv.conf", "re");
    char line[256], server[64];
    const char *comma = "";
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "nameserver %63s", server) != 1) continue;
        append(out, size, comma);
        append(out, size, "\"");
        json_escape(out, size, server);
        append(out, size, "\"");
        comma = ",";
    }
    if (file) fclose(file);
}

/* Routes of /proc/net/route, whose addresses are hexadecimal words in host order. */
static void append_routes(char *out, size_t size) {
    FILE *file = fopen("/proc/net/route", "re");
    char line[256], name[32];
    const char *comma = "";
    while (file && fgets(line, sizeof line, file)) {
        unsigned destination, gateway, mask;
        if (sscanf(line, "%31s %x %x %*x %*d %*d %*d %x", name, &destination, &gateway, &mask) != 4) continue;
        char to[INET_ADDRSTRLEN], via[INET_ADDRSTRLEN], route[200];
        inet_ntop(AF_INET, &destination, to, sizeof to);
        inet_ntop(AF_INET, &gateway, via, sizeof via);
        snprintf(route, sizeof route, "%s{\"destination\":\"%s/%d\",\"gateway\":\"%s\",\"interface\":\"%s\"}",
                 comma, to, __builtin_popcount(mask), via, name);
        append(out, size, route);
        comma = ",";
    }
    if (file) fclose(file);
}

static int about(char *body, size_t size) {
    char address[INET_ADDRSTRLEN] = "", mac[32] = "", mtu[16] = "0", path[128], name[32] = "", line[4096];
    struct ifaddrs *all = NULL;
    getifaddrs(&all);
    for (struct ifaddrs *entry = all; entry; entry = entry->ifa_next) {
        if (!entry->ifa_addr || entry->ifa_addr->sa_family != AF_INET || !strcmp(entry->ifa_name, "lo")) continue;
        inet_ntop(AF_INET, &((struct sockaddr_in *)entry->ifa_addr)->sin_addr, address, sizeof address);
        snprintf(name, sizeof name, "%s", entry->ifa_name);
        break;
    }
    freeifaddrs(all);
    if (!name[0]) snprintf(name, sizeof name, "eth0");
    snprintf(path, sizeof path, "/sys/class/net/%s/address", name);
    read_line(path, mac, sizeof mac);
    snprintf(path, sizeof path, "/sys/class/net/%s/mtu", name);
    read_line(path, mtu, sizeof mtu);

    snprintf(body, size, "{");
    append_string(body, size, "address", address);
    gethostname(line, sizeof line);
    append_string(body, size, "hostname", line);
    read_line("/proc/cmdline", line, sizeof line);
    append_string(body, size, "cmdline", line);
    append_string(body, size, "mac", mac);
    snprintf(line, sizeof line, "\"uptimeSeconds\":%.2f,\"mtu\":%d,\"dns\":[", uptime(), atoi(mtu));
    append(body, size, line);
    append_dns(body, size);
    append(body, size, "],\"routes\":[");
    append_routes(body, size);
    append(body, size, "]}");
    return 200;
}

/* A chain of dependent multiplications: its length alone decides how much work an iteration is. */
static int burn(const char *wanted, char *body, size_t size) {
    char *rest;
    unsigned long iterations = strtoul(wanted ? wanted : "", &rest, 10);
    if (iterations < 1 || iterations > iteration_limit || *rest) {
        snprintf(body, size, "{\"error\":\"iterations must be 1 to %d\"}", iteration_limit);
        return 400;
    }
    struct timespec begin, finish;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    uint64_t value = 1;
    for (unsigned long iteration = 0; iteration < iterations; iteration++) {
        for (int round = 0; round < rounds; round++) {
            value = value * 6364136223846793005u + 1442695040888963407u;
            __asm__ volatile("" : "+r"(value)); /* keeps the compiler from folding rounds together */
        }
    }
    clock_gettime(CLOCK_MONOTONIC, &finish);
    double elapsed = (finish.tv_sec - begin.tv_sec) * 1e3 + (finish.tv_nsec - begin.tv_nsec) / 1e6;
    snprintf(body, size, "{\"iterations\":%lu,\"elapsedMs\":%.3f}", iterations, elapsed);
    return 200;
}

/* Value of a key in a query string, percent-decoded in place by the caller's copy; NULL when absent. */
static char *parameter(const char *query, const char *key, char *value, size_t size) {
    size_t length = strlen(key);
    for (const char *part = query; part && *part; part = strchr(part, '&') ? strchr(part, '&') + 1 : NULL) {
        if (strncmp(part, key, length) != 0 || part[length] != '=') continue;
        size_t at = 0;
        for (const char *from = part + length + 1; *from && *from != '&' && at + 1 < size; from++) {
            unsigned code;
            if (*from == '%' && sscanf(from + 1, "%2x", &code) == 1 && from[2]) {
                value[at++] = code;
                from += 2;
            } else value[at++] = *from == '+' ? ' ' : *from;
        }
        value[at] = 0;
        return value;
    }
    return NULL;
}

/* A number of the query; 0 when absent or no number. */
static unsigned number(const char *query, const char *key) {
    char text[16];
    return parameter(query, key, text, sizeof text) ? strtoul(text, NULL, 10) : 0;
}

static int route(const char *path, const char *query, char *body, size_t size) {
    char device[32], data[512];
    if (!strcmp(path, "/")) return about(body, size);
    if (!strcmp(path, "/uptime")) {
        snprintf(body, size, "{\"uptimeSeconds\":%.2f}", uptime());
        return 200;
    }
    if (!strcmp(path, "/burn")) return burn(parameter(query, "iterations", data, sizeof data), body, size);
    if (!strcmp(path, "/disks")) return disks_list(body, size);
    if (!strcmp(path, "/disk-read") && parameter(query, "dev", device, sizeof device)) {
        return disk_read(device, number(query, "block"), body, size);
    }
    if (!strcmp(path, "/disk-write") && parameter(query, "dev", device, sizeof device)) {
        const char *text = parameter(query, "data", data, sizeof data);
        return disk_write(device, number(query, "block"), text ? text : "virtpod", body, size);
    }
    if (!strcmp(path, "/disk-load") && parameter(query, "dev", device, sizeof device)) {
        const char *kind = parameter(query, "kind", data, sizeof data);
        return disk_load(device, kind ? kind : "", number(query, "seconds"), body, size);
    }
    snprintf(body, size, "{\"error\":\"no such page\"}");
    return 404;
}

static bool read_request(int connection, char *request, size_t size) {
    size_t length = 0;
    while (length + 1 < size) {
        struct pollfd wait = {.fd = connection, .events = POLLIN};
        if (poll(&wait, 1, read_deadline) <= 0) return false;
        ssize_t got = read(connection, request + length, size - 1 - length);
        if (got <= 0) return false;
        length += got;
        request[length] = 0;
        if (strstr(request, "\r\n\r\n")) return true;
    }
    return false;
}

void http_serve(int connection) {
    char request[request_limit], method[8], target[1024], head[256];
    static char body[32768];
    signal(SIGPIPE, SIG_IGN);
    alarm(answer_deadline);
    if (!read_request(connection, request, sizeof request)) return;
    int status = 400;
    snprintf(body, sizeof body, "{\"error\":\"only GET is served\"}");
    if (sscanf(request, "%7s %1023s", method, target) == 2 && !strcmp(method, "GET")) {
        char *query = strchr(target, '?');
        if (query) *query++ = 0;
        status = route(target, query ? query : "", body, sizeof body);
    }
    append(body, sizeof body, "\n");
    int length = snprintf(head, sizeof head,
                          "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
                          "Connection: close\r\n\r\n",
                          status, status == 200 ? "OK" : "Refused", strlen(body));
    if (write(connection, head, length) == length && write(connection, body, strlen(body)) < 0) return;
    shutdown(connection, SHUT_WR);
    /* Until the peer closes too: closing first with bytes unread would reset the answer away. */
    struct pollfd wait = {.fd = connection, .events = POLLIN};
    if (poll(&wait, 1, read_deadline) > 0 && read(connection, request, sizeof request) < 0) return;
}
