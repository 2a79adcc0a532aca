/*
 * PID 1 of the test guest: loads drivers, starts a DHCP client per network card, a web server and a shell on the
 * serial port, and powers off at once when the ACPI power button is pressed. One process waits for everything.
 */
#define _GNU_SOURCE
#include "guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum {
    max_buttons = 8,
    max_requests = 32,
    shell_pause = 1, /* seconds between two starts of the shell */
    lease_patience = 5, /* seconds that the first shell waits for a lease, to know the host's name */
};

static pid_t shell;
static double shell_due; /* uptime at which to start the shell; one from before is not started again at once */
static pid_t requests[max_requests];
static bool ignore_button;

double uptime(void) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

void report(const char *format, ...) {
    char line[1024];
    const char *begin = shell > 0 ? "\n" : "";
    int length = snprintf(line, sizeof line, "%svirtpod-guest: uptime=%.2f ", begin, uptime());
    va_list arguments;
    va_start(arguments, format);
    length += vsnprintf(line + length, sizeof line - length - 1, format, arguments);
    va_end(arguments);
    if (length > (int)sizeof line - 2) length = sizeof line - 2;
    line[length++] = '\n';
    /* Opened each time: the end of a shell, which leads the terminal's session, hangs up whoever has it open. */
    int console = open("/dev/ttyS0", O_WRONLY | O_NOCTTY | O_CLOEXEC);
    if (console < 0) console = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
    if (console < 0) return;
    if (write(console, line, length) == length) tcdrain(console);
    close(console);
}

void read_line(const char *path, char *line, size_t size) {
    line[0] = 0;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    ssize_t length = read(file, line, size - 1);
    close(file);
    line[length > 0 ? length : 0] = 0;
    line[strcspn(line, "\n")] = 0;
}

/* Whether a word stands in the kernel's command line. */
static bool asked_for(const char *word) {
    char line[4096];
    read_line("/proc/cmdline", line, sizeof line);
    char *rest;
    for (char *part = strtok_r(line, " ", &rest); part; part = strtok_r(NULL, " ", &rest)) {
        if (strcmp(part, word) == 0) return true;
    }
    return false;
}

/* Loads every module that the list names, in its order: the list was made in the order of dependencies. */
static void load_modules(const char *list) {
    FILE *names = fopen(list, "re");
    if (!names) return;
    char path[256];
    while (fgets(path, sizeof path, names)) {
        path[strcspn(path, "\n")] = 0;
        int module = open(path, O_RDONLY | O_CLOEXEC);
        /* A driver without its device is no error of the guest's. */
        if (module < 0 || (syscall(SYS_finit_module, module, "", 0) < 0 && errno != EEXIST && errno != ENODEV)) {
            report("module %s: %s", path, strerror(errno));
        }
        if (module >= 0) close(module);
    }
    fclose(names);
}

static pid_t start(char *const command[]) {
    pid_t pid = fork();
    if (pid != 0) return pid;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    /* udhcpc narrates each packet; the script says what matters. */
    int nowhere = open("/dev/null", O_RDWR);
    dup2(nowhere, 2);
    execv(command[0], command);
    _exit(127);
}

static void start_shell(void) {
    /* Those who write to the console besides the shell look for this file, to begin on a line of their own. */
    close(open("/tmp/shell", O_CREAT | O_CLOEXEC, 0644));
    shell_due = uptime() + shell_pause;
    shell = fork();
    if (shell != 0) return;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    int terminal = open("/dev/ttyS0", O_RDWR);
    if (terminal < 0) _exit(127);
    ioctl(terminal, TIOCSCTTY, 1);
    for (int stream = 0; stream < 3; stream++) dup2(terminal, stream);
    if (terminal > 2) close(terminal);
    execl("/bin/sh", "sh", NULL);
    _exit(127);
}

/* Brings one link up; drivers then report their carrier. */
static void link_up(const char *name) {
    int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {0};
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (ioctl(control, SIOCGIFFLAGS, &request) == 0) {
        request.ifr_flags |= IFF_UP;
        ioctl(control, SIOCSIFFLAGS, &request);
    }
    close(control);
}

/* Starts a DHCP client on every network card, or says that there is none. */
static void start_network(void) {
    link_up("lo");
    int cards = 0;
    DIR *links = opendir("/sys/class/net");
    for (struct dirent *entry; links && (entry = readdir(links));) {
        char device[300];
        snprintf(device, sizeof device, "/sys/class/net/%s/device", entry->d_name);
        if (access(device, F_OK) != 0) continue;
        cards++;
        link_up(entry->d_name);
        if (asked_for("virtpod.nodhcp=1")) continue;
        /* -o: ask for nothing by habit; a second between attempts, and never give up. */
        char *const client[] = {"/bin/udhcpc", "-i", entry->d_name, "-f", "-o", "-t", "5", "-T", "1", "-A", "2",
                                "-s", "/etc/udhcpc.script",
                                "-O", "1", "-O", "3", "-O", "6", "-O", "12", "-O", "15", "-O", "26", "-O", "51",
                                "-O", "54", "-O", "58", "-O", "59", "-O", "119", "-O", "121", NULL};
        start(client);
    }
    if (links) closedir(links);
    if (cards == 0) report("no network interface");
    if (cards > 0 && !asked_for("virtpod.nodhcp=1")) shell_due = uptime() + lease_patience;
}

static void end(int how, const char *reason) {
    report("%s", reason);
    kill(-1, SIGKILL);
    sync();
    reboot(how);
}

static int open_buttons(struct pollfd *inputs) {
    int count = 0;
    for (int index = 0; index < max_buttons; index++) {
        char path[40];
        snprintf(path, sizeof path, "/dev/input/event%d", index);
        int input = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (input >= 0) inputs[count++] = (struct pollfd){.fd = input, .events = POLLIN};
    }
    return count;
}

static void read_button(int input) {
    struct input_event event;
    while (read(input, &event, sizeof event) == sizeof event) {
        if (event.type != EV_KEY || event.code != KEY_POWER || event.value != 1) continue;
        if (ignore_button) report("power button ignored");
        else end(RB_POWER_OFF, "power button, powering off");
    }
}

/* Collects ended children. */
static void reap(void) {
    for (pid_t pid; (pid = waitpid(-1, NULL, WNOHANG)) > 0;) {
        if (pid == shell) shell = 0;
        for (int index = 0; index < max_requests; index++) {
            if (requests[index] == pid) requests[index] = 0;
        }
    }
}

static void accept_request(int server) {
    int connection = accept4(server, NULL, NULL, SOCK_CLOEXEC);
    if (connection < 0) return;
    pid_t *slot = requests;
    while (slot < requests + max_requests && *slot != 0) slot++;
    bool free = slot < requests + max_requests;
    if (free && (*slot = fork()) == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        http_serve(connection);
        _exit(0);
    }
    if (free && *slot < 0) *slot = 0;
    close(connection);
}

/* Besides children and leases, the signals by which busybox's poweroff, halt and reboot ask PID 1. */
static int open_signals(void) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGUSR1);
    sigaddset(&signals, SIGUSR2);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void read_signals(int signals) {
    struct signalfd_siginfo signal;
    while (read(signals, &signal, sizeof signal) == sizeof signal) {
        switch (signal.ssi_signo) {
        case SIGCHLD: reap(); break;
        case SIGHUP: if (shell == 0) shell_due = 0; break; /* from udhcpc.script: the first lease is here */
        case SIGUSR1: end(RB_HALT_SYSTEM, "halting"); break;
        case SIGUSR2: end(RB_POWER_OFF, "powering off"); break;
        case SIGTERM: end(RB_AUTOBOOT, "rebooting"); break;
        }
    }
}

static void panic_kernel(void) {
    int trigger = open("/proc/sysrq-trigger", O_WRONLY);
    if (write(trigger, "c", 1) < 0) report("panic: %s", strerror(errno));
}

/* Drivers that nothing waits for; under emulation they take longer than the rest of the boot. */
static void load_slowly(void) {
    if (fork() != 0) return;
    load_modules("/etc/modules.later");
    if (asked_for("virtpod.panic=1")) panic_kernel();
    _exit(0);
}

int main(void) {
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("sysfs", "/sys", "sysfs", 0, NULL);
    /* The driver shows ports that the machine lacks as well, of type 0. */
    char port[8];
    read_line("/sys/class/tty/ttyS0/type", port, sizeof port);
    bool serial = atoi(port) > 0;
    setenv("PATH", "/bin", 1);
    setenv("HOME", "/", 1);
    setenv("TERM", "vt100", 1);
    setenv("ENV", "/etc/profile", 1);
    int signals = open_signals();
    report("booted");

    load_modules("/etc/modules.first");
    start_network();
    int server = http_listen(80);
    if (server < 0) report("http: %s", strerror(errno));
    else report("http ready");
    ignore_button = asked_for("virtpod.noacpi=1");
    load_slowly();

    struct pollfd watched[2 + max_buttons] = {
        {.fd = signals, .events = POLLIN},
        {.fd = server, .events = POLLIN},
    };
    int buttons = open_buttons(watched + 2);
    if (buttons == 0) report("no power button");
    for (;;) {
        if (serial && shell == 0 && uptime() >= shell_due) start_shell();
        int wait = serial && shell == 0 ? (shell_due - uptime()) * 1000 + 1 : -1;
        if (poll(watched, 2 + buttons, wait) < 0) continue;
        if (watched[0].revents) read_signals(signals);
        if (watched[1].revents) accept_request(server);
        for (int index = 2; index < 2 + buttons; index++) {
            if (watched[index].revents) read_button(watched[index].fd);
        }
    }
}
