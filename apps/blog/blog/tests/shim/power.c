/* What a power cut would leave of database files: each file as it was when it was last synced.
 *
 * Preloaded into a process. After fsync or fdatasync of a file called *.db or *-wal, its content is copied into the
 * directory POWER_SHADOW, in one step by a rename, before the caller hears that the sync is done. One copy is made at a
 * time, since a checkpoint syncs beside the writer. What another thread writes between a sync and its copy may be in
 * the copy too, as it may be on a disk that loses its power. Files that were never synced are not there.
 * POWER_SYNC_US makes each sync that much slower.
 *
 * Directory entries are taken as durable from the first sync of the file on. An unlink is not followed: a name that
 * comes back is something that a power cut can do.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* A shadow that cannot be kept would prove nothing: the process ends, and the test with it. */
static void give_up(const char *what, const char *path) {
    char words[PATH_MAX + 128];
    int n = snprintf(words, sizeof words, "power shim: cannot %s %s: %s\n", what, path, strerror(errno));
    if (n > 0 && write(2, words, (size_t)n < sizeof words ? (size_t)n : sizeof words - 1) < 0) { }
    _exit(99);
}

static void copy(int from, const char *path, const char *shadow) {
    const char *name = strrchr(path, '/');
    name = name ? name + 1 : path;
    char whole[PATH_MAX], partial[PATH_MAX];
    int n = snprintf(whole, sizeof whole, "%s/%s", shadow, name);
    int m = snprintf(partial, sizeof partial, "%s/%s.partial", shadow, name);
    if (n < 0 || m < 0 || (size_t)m >= sizeof partial) { errno = ENAMETOOLONG; give_up("name", path); }
    int to = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (to < 0) give_up("create", partial);
    static __thread char buffer[1 << 16];
    off_t at = 0;
    for (;;) {
        ssize_t got = pread(from, buffer, sizeof buffer, at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) give_up("read", path);
        if (got == 0) break;
        for (ssize_t done = 0; done < got;) {
            ssize_t put = pwrite(to, buffer + done, (size_t)(got - done), at + done);
            if (put < 0 && errno == EINTR) continue;
            if (put <= 0) give_up("write", partial);
            done += put;
        }
        at += got;
    }
    if (close(to) != 0 || rename(partial, whole) != 0) give_up("replace", whole);
}

static int synced(int fd, int (*sync)(int)) {
    const char *slow = getenv("POWER_SYNC_US");
    if (slow) usleep((useconds_t)strtoul(slow, NULL, 10));
    int result = sync(fd);
    int error = errno;
    const char *shadow = getenv("POWER_SHADOW");
    if (result == 0 && shadow) {
        char link[64], path[PATH_MAX];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, path, sizeof path - 1);
        if (n > 0) {
            path[n] = 0;
            if (ends_with(path, ".db") || ends_with(path, "-wal")) {
                static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
                pthread_mutex_lock(&one);
                copy(fd, path, shadow);
                pthread_mutex_unlock(&one);
            }
        }
    }
    errno = error;
    return result;
}

int fsync(int fd) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return synced(fd, real);
}

int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    return synced(fd, real);
}
