/* Faults of a disk, switched on and off under a running program: LD_PRELOAD=shim.so OBS_FAULTS=FOLDER.

   A file in FOLDER with the name of a fault switches it on; its text is "PART [SECONDS]", PART being part of the paths
   that it is for, each followed by "$". It is for no others than ours, whose names hold ".db".
       enospc          writing what is new fails, as on a full disk
       readonly        writing fails, as where the system has mounted the disk anew after errors
       eio             writing fails          synceio    syncing fails     slowsync   syncing takes so many seconds
       slowread        reading takes so many seconds
       noshm           no shared memory       nolocks    no locks
   With OBS_FAULTS_LOG=FILE every change that was made is appended to FILE, with its data, also those of *.ack.
   fail_at(n, error): the n-th change from now on fails with this error; with error 0 the process is killed there. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define REAL(result, name, ...)                                                                                        \
    static result (*real)(__VA_ARGS__);                                                                                \
    if (!real) real = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static long until_fault, changes;
static int error_then;

void fail_at(long number, int error) { changes = 0, error_then = error, until_fault = number; }
long changed(void) { return changes; }

/* The seconds that a fault says (1 where it says none) if it is on for this path, else 0. */
static int on(const char *fault, const char *path) {
    char name[PATH_MAX], text[256] = "", part[256] = "";
    const char *folder = getenv("OBS_FAULTS");
    int seconds = 1;
    if (!folder || !strstr(path, ".db")) return 0;
    snprintf(name, sizeof name, "%s/%s", folder, fault);
    int file = open(name, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    if (read(file, text, sizeof text - 1) < 0) text[0] = 0;
    close(file);
    sscanf(text, "%255s %d", part, &seconds);
    snprintf(name, sizeof name, "%s$", path);
    return strstr(name, part) ? seconds : 0;
}

static const char *path_of(int file, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = 0;
    return path;
}

/* Whether this change, of a file of ours, is to fail; errno says how. */
static int fails(const char *path) {
    if (!strstr(path, ".db")) return 0;
    __sync_add_and_fetch(&changes, 1);
    if (until_fault && __sync_sub_and_fetch(&until_fault, 1) == 0) {
        if (!error_then) kill(getpid(), SIGKILL);
        errno = error_then;
        return 1;
    }
    return 0;
}

/* Of a full disk what is there already may be written over. */
static int write_fails(const char *path, int file, off64_t end) {
    struct stat64 status;
    if (on("enospc", path) && (fstat64(file, &status) || end > status.st_size)) return errno = ENOSPC, 1;
    if (on("eio", path)) return errno = EIO, 1;
    if (on("readonly", path)) return errno = EROFS, 1;
    return fails(path);
}

/* Sleep for the seconds of a fault, or until it is switched off. */
static void hang(const char *fault, const char *path) {
    for (int slept = 0; slept < 100 * on(fault, path); slept++)
        nanosleep(&(struct timespec){0, 10000000}, NULL);
}

static int sync_fails(const char *path) {
    hang("slowsync", path);
    if (on("synceio", path)) return errno = EIO, 1;
    return fails(path);
}

/* One line of the log: kind, length of the path, place, length of the data; then both. Made by one system call. */
static void note(char kind, const char *path, int64_t place, const void *data, size_t length) {
    const char *log = getenv("OBS_FAULTS_LOG");
    if (!log || !(strstr(path, ".db") || strstr(path, ".ack"))) return;
    int64_t head[4] = {kind, strlen(path), place, length};
    struct iovec parts[3] = {{head, sizeof head}, {(void *)path, strlen(path)}, {(void *)data, data ? length : 0}};
    int before = errno, file = open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || writev(file, parts, 3) < 0) abort();
    close(file);
    errno = before;
}

ssize_t pread64(int file, void *data, size_t length, off64_t place) {
    REAL(ssize_t, "pread64", int, void *, size_t, off64_t);
    char path[PATH_MAX];
    hang("slowread", path_of(file, path));
    return real(file, data, length, place);
}

ssize_t pwrite64(int file, const void *data, size_t length, off64_t place) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    char path[PATH_MAX];
    if (write_fails(path_of(file, path), file, place + length)) return -1;
    ssize_t done = real(file, data, length, place);
    if (done > 0) note('w', path, place, data, done);
    return done;
}

ssize_t write(int file, const void *data, size_t length) {
    REAL(ssize_t, "write", int, const void *, size_t);
    char path[PATH_MAX];
    int64_t place = lseek(file, 0, SEEK_CUR);
    if (write_fails(path_of(file, path), file, place + length)) return -1;
    ssize_t done = real(file, data, length);
    if (done > 0) note('w', path, place, data, done);
    return done;
}

int ftruncate64(int file, off64_t length) {
    REAL(int, "ftruncate64", int, off64_t);
    char path[PATH_MAX];
    if (fails(path_of(file, path))) return -1;
    int done = real(file, length);
    if (!done) note('t', path, length, NULL, 0);
    return done;
}

int posix_fallocate64(int file, off64_t place, off64_t length) {
    REAL(int, "posix_fallocate64", int, off64_t, off64_t);
    char path[PATH_MAX];
    if (write_fails(path_of(file, path), file, place + length)) return errno;
    return real(file, place, length);
}

int fdatasync(int file) {
    REAL(int, "fdatasync", int);
    char path[PATH_MAX];
    if (sync_fails(path_of(file, path))) return -1;
    int done = real(file);
    if (!done) note('s', path, 0, NULL, 0);
    return done;
}

int fsync(int file) {
    REAL(int, "fsync", int);
    char path[PATH_MAX];
    if (sync_fails(path_of(file, path))) return -1;
    int done = real(file);
    if (!done) note('s', path, 0, NULL, 0);
    return done;
}

int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    if (fails(path)) return -1;
    int done = real(path);
    if (!done) note('u', path, 0, NULL, 0);
    return done;
}

int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    if (fails(from)) return -1;
    int done = real(from, to);
    if (!done) note('r', from, 0, to, strlen(to));
    return done;
}

void *mmap64(void *at, size_t length, int protection, int flags, int file, off64_t place) {
    REAL(void *, "mmap64", void *, size_t, int, int, int, off64_t);
    char path[PATH_MAX];
    if (file >= 0 && on("noshm", path_of(file, path))) return errno = ENODEV, MAP_FAILED;
    return real(at, length, protection, flags, file, place);
}

static int locks_fail(int file, int command) {
    char path[PATH_MAX];
    if (command != F_SETLK && command != F_SETLKW && command != F_OFD_SETLK) return 0;
    return on("nolocks", path_of(file, path)) ? (errno = ENOLCK, 1) : 0;
}

int fcntl64(int file, int command, ...) {
    REAL(int, "fcntl64", int, int, ...);
    va_list more;
    va_start(more, command);
    void *argument = va_arg(more, void *);
    va_end(more);
    return locks_fail(file, command) ? -1 : real(file, command, argument);
}

/* The same under their other names. */
int fcntl(int, int, ...) __attribute__((alias("fcntl64")));
ssize_t pread(int, void *, size_t, off_t) __attribute__((alias("pread64")));
ssize_t pwrite(int, const void *, size_t, off_t) __attribute__((alias("pwrite64")));
int ftruncate(int, off_t) __attribute__((alias("ftruncate64")));
int posix_fallocate(int, off_t, off_t) __attribute__((alias("posix_fallocate64")));
void *mmap(void *, size_t, int, int, int, off_t) __attribute__((alias("mmap64")));
