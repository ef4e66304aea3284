/*
 * Stands between a program and the C library, for tests (LD_PRELOAD):
 * records what changes files below one directory, and the DIMSE messages that leave;
 * kills the process at one of these calls, or lets chosen calls fail.
 *
 * Environment, all optional:
 *   SHIM_ROOT    files below this directory are watched
 *   SHIM_SHARED  a file of at least 24 zero bytes: counters shared by all processes
 *   SHIM_LOG     the record, appended to; its layout is `struct record`
 *   SHIM_KILL    N[:torn][:group]  SIGKILL before the N-th watched call; "torn": a write is half
 *                done then; "group": the whole process group
 *   SHIM_FAIL    CALL:ERRNO:N:COUNT[:GLOB]  the N-th CALL and the COUNT - 1 after it fail; COUNT 0
 *                is for ever; GLOB chooses paths. CALL: a name of `NAMES`, or "thread"
 *   SHIM_UNSYNC  GLOB  fsync of these paths says yes and does nothing (a mutation of the program)
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { CREATE = 1, WRITE, TRUNCATE, SYNC, LINK, RENAME, UNLINK, MKDIR, RMDIR, SEND };
static const char *const NAMES[] = {"",     "create", "write",  "truncate", "fsync", "link",
                                    "rename", "unlink", "mkdir", "rmdir",    "send"};
#define LONGEST_MESSAGE 4096 /* bytes of a DIMSE response; instances are longer or not of interest */

struct record { /* then `first`, `second` and `data` bytes */
    uint32_t size, kind;
    uint64_t start, end; /* of the call, in one sequence of all processes */
    uint64_t inode;
    int64_t offset; /* of a write; the new length of a truncation */
    uint32_t first, second, data, directory;
};
struct shared {
    _Atomic uint64_t sequence, calls, chosen;
};

static char root[PATH_MAX];
static struct shared *shared;
static struct shared private_counters;
static int record_to = -1;
static uint64_t kill_at, fail_from, fail_count;
static int kill_torn, kill_group, fail_errno;
static char fail_call[16], fail_glob[PATH_MAX], unsync_glob[PATH_MAX];

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        abort();
    return found;
}

static void read_kill(const char *text)
{
    if (!text)
        return;
    kill_at = strtoull(text, NULL, 10);
    kill_torn = strstr(text, ":torn") != NULL;
    kill_group = strstr(text, ":group") != NULL;
}

static void read_fail(const char *text)
{
    if (!text)
        return;
    unsigned long long from = 0, count = 0;
    int length = 0;
    if (sscanf(text, "%15[a-z]:%d:%llu:%llu%n", fail_call, &fail_errno, &from, &count, &length) < 4)
        abort();
    fail_from = from;
    fail_count = count;
    snprintf(fail_glob, sizeof fail_glob, "%s", text[length] == ':' ? text + length + 1 : "*");
}

__attribute__((constructor)) static void begin(void)
{
    shared = &private_counters;
    const char *text = getenv("SHIM_SHARED");
    if (text) {
        int handle = (int)syscall(SYS_openat, AT_FDCWD, text, O_RDWR | O_CLOEXEC);
        void *place = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, handle, 0);
        if (handle < 0 || place == MAP_FAILED)
            abort();
        syscall(SYS_close, handle);
        shared = place;
    }
    if ((text = getenv("SHIM_ROOT")))
        snprintf(root, sizeof root, "%s", text);
    if ((text = getenv("SHIM_LOG"))) {
        int handle = (int)syscall(SYS_openat, AT_FDCWD, text, O_WRONLY | O_APPEND | O_CLOEXEC);
        if (handle < 0 || (record_to = fcntl(handle, F_DUPFD_CLOEXEC, 900)) < 0)
            record_to = handle; /* few descriptors allowed */
        else
            syscall(SYS_close, handle);
        if (record_to < 0)
            abort();
    }
    if ((text = getenv("SHIM_UNSYNC")))
        snprintf(unsync_glob, sizeof unsync_glob, "%s", text);
    read_kill(getenv("SHIM_KILL"));
    read_fail(getenv("SHIM_FAIL"));
}

/* What SQLite shares through memory changes without any call, and is made anew after a crash. */
static int is_watched(const char *path)
{
    size_t length = strlen(root), all = strlen(path);
    if (!length || strncmp(path, root, length) || (path[length] && path[length] != '/'))
        return 0;
    return all < 4 || strcmp(path + all - 4, "-shm");
}

static int path_of(int handle, char *path)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    ssize_t length = syscall(SYS_readlink, link, path, PATH_MAX - 1);
    if (length <= 0)
        return 0;
    path[length] = 0;
    return is_watched(path);
}

static int path_at(int directory, const char *name, char *path)
{
    char base[PATH_MAX] = "";
    int saved = errno;
    if (name[0] == '/')
        snprintf(path, PATH_MAX, "%s", name);
    else {
        if (directory == AT_FDCWD) {
            if (!getcwd(base, sizeof base))
                base[0] = 0;
        } else
            path_of(directory, base);
        if ((size_t)snprintf(path, PATH_MAX, "%s/%s", base, name) >= PATH_MAX)
            path[0] = 0;
    }
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        path[--length] = 0;
    errno = saved;
    return is_watched(path);
}

static uint64_t next(void) { return atomic_fetch_add(&shared->sequence, 1) + 1; }

static void die(void)
{
    syscall(SYS_kill, kill_group ? 0 : getpid(), SIGKILL);
    for (;;)
        pause();
}

static int is_chosen_to_fail(const char *name, const char *path)
{
    if (!fail_from || strcmp(name, fail_call) || (path && fnmatch(fail_glob, path, 0)))
        return 0;
    uint64_t number = atomic_fetch_add(&shared->chosen, 1) + 1;
    return number >= fail_from && (!fail_count || number < fail_from + fail_count);
}

enum fate { GO, FAIL, TEAR };

static enum fate fate(enum kind kind, const char *path)
{
    uint64_t number = atomic_fetch_add(&shared->calls, 1) + 1;
    if (kill_at && number == kill_at) {
        if (kind == WRITE && kill_torn)
            return TEAR;
        die();
    }
    if (is_chosen_to_fail(NAMES[kind], path)) {
        errno = fail_errno;
        return FAIL;
    }
    return GO;
}

static void note(enum kind kind, uint64_t start, uint64_t inode, int64_t offset, int directory,
                 const char *first, const char *second, const void *data, size_t length)
{
    if (record_to < 0)
        return;
    int saved = errno;
    struct record head = {
        .kind = kind, .start = start, .end = next(), .inode = inode, .offset = offset,
        .first = (uint32_t)strlen(first), .second = (uint32_t)strlen(second),
        .data = (uint32_t)length, .directory = (uint32_t)directory};
    head.size = (uint32_t)sizeof head + head.first + head.second + head.data;
    struct iovec parts[] = {{&head, sizeof head}, {(void *)first, head.first},
                            {(void *)second, head.second}, {(void *)data, length}};
    if (syscall(SYS_writev, record_to, parts, 4) != (long)head.size)
        abort(); /* a record with a hole proves nothing */
    errno = saved;
}

static uint64_t inode_of(int handle, int *directory)
{
    struct stat found;
    int saved = errno;
    memset(&found, 0, sizeof found);
    fstat(handle, &found);
    errno = saved;
    if (directory)
        *directory = S_ISDIR(found.st_mode);
    return found.st_ino;
}

static uint64_t inode_at(const char *path)
{
    struct stat found;
    int saved = errno;
    memset(&found, 0, sizeof found);
    lstat(path, &found);
    errno = saved;
    return found.st_ino;
}

/* ---- files ---- */

static int open_watched(int directory, const char *name, int flags, mode_t mode)
{
    char path[PATH_MAX];
    if (!(flags & (O_CREAT | O_TRUNC)) || !path_at(directory, name, path))
        return (int)syscall(SYS_openat, directory, name, flags, mode);
    struct stat before;
    int saved = errno, existed = lstat(path, &before) == 0;
    errno = saved;
    if (existed && (!(flags & O_TRUNC) || (flags & O_EXCL)))
        return (int)syscall(SYS_openat, directory, name, flags, mode);
    if (fate(existed ? TRUNCATE : CREATE, path) == FAIL)
        return -1;
    uint64_t start = next();
    int handle = (int)syscall(SYS_openat, directory, name, flags, mode);
    if (handle >= 0)
        note(existed ? TRUNCATE : CREATE, start, inode_of(handle, NULL), 0, 0, path, "", "", 0);
    return handle;
}

#define MODE(flags, last)                                                                          \
    mode_t mode = 0;                                                                               \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                         \
        va_list rest;                                                                              \
        va_start(rest, last);                                                                      \
        mode = va_arg(rest, mode_t);                                                               \
        va_end(rest);                                                                              \
    }

int open(const char *name, int flags, ...)
{
    MODE(flags, flags)
    return open_watched(AT_FDCWD, name, flags, mode);
}
int open64(const char *name, int flags, ...)
{
    MODE(flags, flags)
    return open_watched(AT_FDCWD, name, flags, mode);
}
int openat(int directory, const char *name, int flags, ...)
{
    MODE(flags, flags)
    return open_watched(directory, name, flags, mode);
}
int openat64(int directory, const char *name, int flags, ...)
{
    MODE(flags, flags)
    return open_watched(directory, name, flags, mode);
}
int creat(const char *name, mode_t mode)
{
    return open_watched(AT_FDCWD, name, O_WRONLY | O_CREAT | O_TRUNC, mode);
}
int creat64(const char *name, mode_t mode) { return creat(name, mode); }

/* offset -1: where the descriptor stands */
static ssize_t write_watched(int handle, const void *data, size_t length, off_t offset)
{
    char path[PATH_MAX];
    int saved = errno, watched = root[0] && path_of(handle, path);
    errno = saved;
    if (!watched)
        return offset < 0 ? syscall(SYS_write, handle, data, length)
                          : syscall(SYS_pwrite64, handle, data, length, offset);
    enum fate what = fate(WRITE, path);
    if (what == FAIL)
        return -1;
    if (what == TEAR)
        length /= 2;
    off_t place = offset;
    if (offset < 0) {
        int appends = fcntl(handle, F_GETFL) & O_APPEND;
        struct stat found;
        place = appends && !fstat(handle, &found) ? found.st_size : lseek(handle, 0, SEEK_CUR);
    }
    uint64_t start = next();
    ssize_t done = offset < 0 ? syscall(SYS_write, handle, data, length)
                              : syscall(SYS_pwrite64, handle, data, length, offset);
    if (what == TEAR)
        die();
    if (done > 0)
        note(WRITE, start, inode_of(handle, NULL), place, 0, path, "", data, (size_t)done);
    return done;
}

ssize_t write(int handle, const void *data, size_t length)
{
    return write_watched(handle, data, length, -1);
}
ssize_t pwrite(int handle, const void *data, size_t length, off_t offset)
{
    return write_watched(handle, data, length, offset);
}
ssize_t pwrite64(int handle, const void *data, size_t length, off64_t offset)
{
    return write_watched(handle, data, length, offset);
}

/* one part is a short write, which every caller must bear */
ssize_t writev(int handle, const struct iovec *parts, int count)
{
    char path[PATH_MAX];
    int saved = errno, watched = root[0] && path_of(handle, path);
    errno = saved;
    if (!watched)
        return syscall(SYS_writev, handle, parts, count);
    for (int one = 0; one < count; one++)
        if (parts[one].iov_len)
            return write_watched(handle, parts[one].iov_base, parts[one].iov_len, -1);
    return 0;
}

static int truncate_watched(int handle, off_t length)
{
    char path[PATH_MAX];
    if (!path_of(handle, path))
        return (int)syscall(SYS_ftruncate, handle, length);
    if (fate(TRUNCATE, path) == FAIL)
        return -1;
    uint64_t start = next();
    int done = (int)syscall(SYS_ftruncate, handle, length);
    if (!done)
        note(TRUNCATE, start, inode_of(handle, NULL), length, 0, path, "", "", 0);
    return done;
}
int ftruncate(int handle, off_t length) { return truncate_watched(handle, length); }
int ftruncate64(int handle, off64_t length) { return truncate_watched(handle, length); }

/* copies inside the kernel: refused, so that the caller writes instead */
ssize_t sendfile(int to, int from, off_t *offset, size_t count)
{
    char path[PATH_MAX];
    if (!path_of(to, path))
        return syscall(SYS_sendfile, to, from, offset, count);
    errno = EINVAL;
    return -1;
}
ssize_t sendfile64(int to, int from, off64_t *offset, size_t count)
{
    return sendfile(to, from, offset, count);
}
ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *into, size_t count, unsigned flags)
{
    char path[PATH_MAX];
    if (!path_of(to, path))
        return syscall(SYS_copy_file_range, from, at, to, into, count, flags);
    errno = EXDEV;
    return -1;
}

/* ---- durability ---- */

static int sync_watched(long call, int handle)
{
    char path[PATH_MAX];
    if (!path_of(handle, path))
        return (int)syscall(call, handle);
    if (fate(SYNC, path) == FAIL)
        return -1;
    if (unsync_glob[0] && !fnmatch(unsync_glob, path, FNM_PATHNAME))
        return 0;
    int directory = 0;
    uint64_t inode = inode_of(handle, &directory), start = next();
    int done = (int)syscall(call, handle);
    if (!done)
        note(SYNC, start, inode, 0, directory, path, "", "", 0);
    return done;
}
int fsync(int handle) { return sync_watched(SYS_fsync, handle); }
int fdatasync(int handle) { return sync_watched(SYS_fdatasync, handle); }

/* promises nothing about sizes and names (sync_file_range(2)), so it is watched but not recorded */
int sync_file_range(int handle, off64_t from, off64_t length, unsigned flags)
{
    char path[PATH_MAX];
    if (path_of(handle, path) && fate(SYNC, path) == FAIL)
        return -1;
    return (int)syscall(SYS_sync_file_range, handle, from, length, flags);
}

/* ---- names ---- */

static int rename_watched(int from, const char *old, int to, const char *name, unsigned flags)
{
    char first[PATH_MAX], second[PATH_MAX];
    int here = path_at(from, old, first), there = path_at(to, name, second);
    if (!here && !there)
        return (int)syscall(SYS_renameat2, from, old, to, name, flags);
    if (fate(RENAME, there ? second : first) == FAIL)
        return -1;
    uint64_t inode = inode_at(first), start = next();
    int done = (int)syscall(SYS_renameat2, from, old, to, name, flags);
    if (!done)
        note(RENAME, start, inode, 0, 0, first, second, "", 0);
    return done;
}
int rename(const char *old, const char *name)
{
    return rename_watched(AT_FDCWD, old, AT_FDCWD, name, 0);
}
int renameat(int from, const char *old, int to, const char *name)
{
    return rename_watched(from, old, to, name, 0);
}
int renameat2(int from, const char *old, int to, const char *name, unsigned flags)
{
    return rename_watched(from, old, to, name, flags);
}

static int link_watched(int from, const char *old, int to, const char *name, int flags)
{
    char first[PATH_MAX], second[PATH_MAX];
    path_at(from, old, first);
    if (!path_at(to, name, second))
        return (int)syscall(SYS_linkat, from, old, to, name, flags);
    if (fate(LINK, second) == FAIL)
        return -1;
    uint64_t inode = inode_at(first), start = next();
    int done = (int)syscall(SYS_linkat, from, old, to, name, flags);
    if (!done)
        note(LINK, start, inode, 0, 0, first, second, "", 0);
    return done;
}
int link(const char *old, const char *name)
{
    return link_watched(AT_FDCWD, old, AT_FDCWD, name, 0);
}
int linkat(int from, const char *old, int to, const char *name, int flags)
{
    return link_watched(from, old, to, name, flags);
}

static int unlink_watched(int directory, const char *name, int flags)
{
    char path[PATH_MAX];
    struct stat found;
    int saved = errno;
    int there = path_at(directory, name, path) && lstat(path, &found) == 0;
    errno = saved;
    if (!there)
        return (int)syscall(SYS_unlinkat, directory, name, flags);
    enum kind kind = flags & AT_REMOVEDIR ? RMDIR : UNLINK;
    if (fate(kind, path) == FAIL)
        return -1;
    uint64_t start = next();
    int done = (int)syscall(SYS_unlinkat, directory, name, flags);
    if (!done)
        note(kind, start, found.st_ino, 0, 0, path, "", "", 0);
    return done;
}
int unlink(const char *name) { return unlink_watched(AT_FDCWD, name, 0); }
int unlinkat(int directory, const char *name, int flags)
{
    return unlink_watched(directory, name, flags);
}
int rmdir(const char *name) { return unlink_watched(AT_FDCWD, name, AT_REMOVEDIR); }

static int mkdir_watched(int directory, const char *name, mode_t mode)
{
    char path[PATH_MAX];
    if (!path_at(directory, name, path))
        return (int)syscall(SYS_mkdirat, directory, name, mode);
    if (fate(MKDIR, path) == FAIL)
        return -1;
    uint64_t start = next();
    int done = (int)syscall(SYS_mkdirat, directory, name, mode);
    if (!done)
        note(MKDIR, start, inode_at(path), 0, 1, path, "", "", 0);
    return done;
}
int mkdir(const char *name, mode_t mode) { return mkdir_watched(AT_FDCWD, name, mode); }
int mkdirat(int directory, const char *name, mode_t mode)
{
    return mkdir_watched(directory, name, mode);
}

/* ---- what leaves, and threads ---- */

/* A P-DATA-TF (PS3.8 9.3.5) with a whole command; what it says is for the reader of the record. */
static int is_message(const unsigned char *data, size_t length)
{
    return length > 12 && length <= LONGEST_MESSAGE && data[0] == 4 && (data[11] & 1);
}
static uint64_t before_send(const void *data, size_t length)
{
    if (!root[0] || !is_message(data, length))
        return 0;
    fate(SEND, "");
    uint64_t start = next();
    note(SEND, start, 0, 0, 0, "", "", data, length);
    return start;
}
ssize_t send(int handle, const void *data, size_t length, int flags)
{
    before_send(data, length);
    return syscall(SYS_sendto, handle, data, length, flags, NULL, 0);
}
ssize_t sendto(int handle, const void *data, size_t length, int flags,
               const struct sockaddr *address, socklen_t size)
{
    before_send(data, length);
    return syscall(SYS_sendto, handle, data, length, flags, address, size);
}
ssize_t sendmsg(int handle, const struct msghdr *message, int flags)
{
    if (root[0] && message->msg_iovlen) {
        unsigned char whole[LONGEST_MESSAGE + 1];
        size_t length = 0;
        for (size_t one = 0; one < message->msg_iovlen && length <= LONGEST_MESSAGE; one++) {
            size_t part = message->msg_iov[one].iov_len, room = sizeof whole - length;
            memcpy(whole + length, message->msg_iov[one].iov_base, part < room ? part : room);
            length += part;
        }
        before_send(whole, length);
    }
    return syscall(SYS_sendmsg, handle, message, flags);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                   void *argument)
{
    if (is_chosen_to_fail("thread", NULL))
        return fail_errno; /* it returns the error */
    return REAL(pthread_create)(thread, attributes, run, argument);
}
