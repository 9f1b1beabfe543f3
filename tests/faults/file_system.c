/* A file system and a clock that misbehave, put before libc's by LD_PRELOAD; what they do stands in the environment.
 *
 * HL_FOLDER      only paths below this folder are touched (absolute)
 * HL_DELAY_MS    like a network file system: what other processes made there becomes visible this late
 * HL_STALE       the n-th time that a file there is opened for reading fails with ESTALE
 * HL_KILL        the n-th change of the folder's names is not done: the process is killed (SIGKILL) instead
 * HL_LOG         a file to which every such change is written, a line each
 * HL_CLOCK       a file with seconds that are added to the time of day, read each time
 *
 * Build: gcc -shared -fPIC -O1 -o file_system.so file_system.c -ldl
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define OWN 65536
static struct { dev_t device; ino_t inode; } own[OWN];   /* made by this process, which sees it at once */
static long num_own, num_changes, num_reads;

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int is_below(const char *path) {
    const char *folder = getenv("HL_FOLDER");
    size_t length = folder ? strlen(folder) : 0;
    return length && path && !strncmp(path, folder, length) && (path[length] == '/' || !path[length]);
}

static int look(const char *path, struct stat *found) {
    return syscall(SYS_newfstatat, AT_FDCWD, path, found, AT_SYMLINK_NOFOLLOW) == 0;
}

static void is_own(const char *path) {
    struct stat found;
    int before = errno;
    if (is_below(path) && look(path, &found)) {
        long place = __atomic_fetch_add(&num_own, 1, __ATOMIC_SEQ_CST) % OWN;
        own[place].device = found.st_dev;
        own[place].inode = found.st_ino;
    }
    errno = before;
}

/* By the time at which it was made: a folder changes with every entry. */
static int is_young(const char *path, long delay) {
    struct stat found;
    struct statx born;
    struct timespec now;
    if (!look(path, &found)) return 0;
    if (syscall(SYS_statx, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BTIME, &born) || !(born.stx_mask & STATX_BTIME))
        return 0;
    for (long place = 0; place < num_own && place < OWN; place++)
        if (own[place].inode == found.st_ino && own[place].device == found.st_dev) return 0;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
    long age = (now.tv_sec - born.stx_btime.tv_sec) * 1000 + (now.tv_nsec - (long)born.stx_btime.tv_nsec) / 1000000;
    return age < delay;
}

/* Whether a path, or a folder below HL_FOLDER that it lies in, is not visible yet. */
static int is_hidden(const char *path) {
    const char *words = getenv("HL_DELAY_MS");
    if (!words || !is_below(path)) return 0;
    char part[4096];
    int before = errno, found = 0;
    size_t start = strlen(getenv("HL_FOLDER")) + 1, length = strlen(path);
    if (length >= sizeof part) return 0;
    for (size_t place = start; place <= length && !found; place++)
        if (path[place] == '/' || (!path[place] && place > start)) {
            memcpy(part, path, place);
            part[place] = 0;
            found = is_young(part, atol(words));
        }
    errno = before;
    return found;
}

static void change(const char *what, const char *path) {
    if (!is_below(path)) return;
    long number = __atomic_add_fetch(&num_changes, 1, __ATOMIC_SEQ_CST);
    const char *log = getenv("HL_LOG"), *kill_at = getenv("HL_KILL");
    if (log) {
        char line[4200];
        int length = snprintf(line, sizeof line, "%s %s\n", what, path);
        int file = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT, 0600);
        if (syscall(SYS_write, file, line, length) < 0) abort();
        syscall(SYS_close, file);
    }
    if (kill_at && number == atol(kill_at)) kill(getpid(), SIGKILL);
}

static int is_stale(const char *path, int flags) {
    const char *words = getenv("HL_STALE");
    if (!words || (flags & (O_CREAT | O_DIRECTORY)) || (flags & O_ACCMODE) != O_RDONLY || !is_below(path)) return 0;
    return __atomic_add_fetch(&num_reads, 1, __ATOMIC_SEQ_CST) == atol(words);
}

static int opened(const char *path, int flags, int mode, int (*really)(const char *, int, ...)) {
    if (is_stale(path, flags)) { errno = ESTALE; return -1; }
    if (!(flags & O_CREAT) && is_hidden(path)) { errno = ENOENT; return -1; }
    if (flags & O_CREAT) change("open", path);
    int file = really(path, flags, mode);
    if (file >= 0 && (flags & O_CREAT)) is_own(path);
    return file;
}

#define MODE(flags) int mode = 0; \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, int); va_end(rest); }

int open(const char *path, int flags, ...) { MODE(flags) return opened(path, flags, mode, NEXT(open)); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(path, flags, mode, NEXT(open64)); }

int openat(int folder, const char *path, int flags, ...) {
    MODE(flags)
    if (path[0] == '/') return opened(path, flags, mode, NEXT(open));
    return NEXT(openat)(folder, path, flags, mode);
}

#define HIDE(path) if (is_hidden(path)) { errno = ENOENT; return -1; }
int stat(const char *path, struct stat *to) { HIDE(path) return NEXT(stat)(path, to); }
int lstat(const char *path, struct stat *to) { HIDE(path) return NEXT(lstat)(path, to); }
int stat64(const char *path, struct stat64 *to) { HIDE(path) return NEXT(stat64)(path, to); }
int lstat64(const char *path, struct stat64 *to) { HIDE(path) return NEXT(lstat64)(path, to); }
int access(const char *path, int mode) { HIDE(path) return NEXT(access)(path, mode); }
int fstatat(int folder, const char *path, struct stat *to, int flags) {
    if (path[0] == '/') HIDE(path)
    return NEXT(fstatat)(folder, path, to, flags);
}
int fstatat64(int folder, const char *path, struct stat64 *to, int flags) {
    if (path[0] == '/') HIDE(path)
    return NEXT(fstatat64)(folder, path, to, flags);
}

struct dirent64 *readdir64(DIR *folder) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", dirfd(folder));
    ssize_t length = readlink(link, path, 3000);
    struct dirent64 *entry;
    while ((entry = NEXT(readdir64)(folder)) && length > 0) {
        snprintf(path + length, sizeof path - length, "/%s", entry->d_name);
        if (entry->d_name[0] == '.' && (!entry->d_name[1] || entry->d_name[1] == '.')) break;
        if (!is_hidden(path)) break;
    }
    return entry;
}
struct dirent *readdir(DIR *folder) { return (struct dirent *)readdir64(folder); }

int mkdir(const char *path, mode_t mode) {
    change("mkdir", path);
    int failed = NEXT(mkdir)(path, mode);
    if (!failed) is_own(path);
    return failed;
}
int rename(const char *from, const char *to) { change("rename", from); return NEXT(rename)(from, to); }
int renameat(int f, const char *from, int t, const char *to) { change("rename", from); return NEXT(renameat)(f, from, t, to); }
int link(const char *from, const char *to) { change("link", to); return NEXT(link)(from, to); }
int unlink(const char *path) { change("unlink", path); return NEXT(unlink)(path); }
int rmdir(const char *path) { change("rmdir", path); return NEXT(rmdir)(path); }

static long offset(void) {
    const char *path = getenv("HL_CLOCK");
    char words[32] = "";
    if (!path) return 0;
    int file = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY, 0);
    if (file < 0) return 0;
    if (syscall(SYS_read, file, words, sizeof words - 1) < 0) words[0] = 0;
    syscall(SYS_close, file);
    return atol(words);
}
int clock_gettime(clockid_t clock, struct timespec *to) {
    int failed = syscall(SYS_clock_gettime, clock, to);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) to->tv_sec += offset();
    return failed;
}
int gettimeofday(struct timeval *restrict to, void *restrict zone) {
    (void)zone;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    to->tv_sec = now.tv_sec;
    to->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *to) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (to) *to = now.tv_sec;
    return now.tv_sec;
}
