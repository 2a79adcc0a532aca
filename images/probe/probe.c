/*
 * What the kubelet runs in a launcher's container for a probe that goes through the guest agent: hands its arguments
 * to the launcher, prints its words and ends as it says. In C, because it is run every few seconds beside each guest,
 * and a second Node would take more memory than the launcher has.
 *
 *   virtpod-probe liveness|readiness SECONDS ping
 *   virtpod-probe liveness|readiness SECONDS exec COMMAND [ARGUMENT...]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int fail(const char *what)
{
	perror(what);
	return 1;
}

static int send_all(int fd, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);
		if (sent < 0)
			return -1;
		bytes += sent;
		size -= (size_t)sent;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = PROBE_SOCKET };
	char reply[4096];
	size_t size = 0;

	if (argc < 4) {
		fprintf(stderr, "usage: %s liveness|readiness SECONDS ping|exec [COMMAND...]\n", argv[0]);
		return 2;
	}
	/* The kubelet gives up after SECONDS; whatever happens, nothing stays behind. */
	alarm((unsigned)atoi(argv[2]) + 5);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail("socket");
	if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
		return fail("the launcher does not answer at " PROBE_SOCKET);
	/* Each argument ends with a zero byte. */
	for (int i = 1; i < argc; i++)
		if (send_all(fd, argv[i], strlen(argv[i]) + 1) < 0)
			return fail("send");
	shutdown(fd, SHUT_WR);
	while (size < sizeof reply) {
		ssize_t got = read(fd, reply + size, sizeof reply - size);
		if (got < 0)
			return fail("read");
		if (got == 0)
			break;
		size += (size_t)got;
	}
	/* "0" or "1", then words. */
	if (size == 0) {
		fprintf(stderr, "the launcher gave no answer\n");
		return 1;
	}
	fwrite(reply + 1, 1, size - 1, stdout);
	putchar('\n');
	return reply[0] == '0' ? 0 : 1;
}
