/*
 * Makes the files below one directory behave as on a FAT disk, for tests (LD_PRELOAD), because not
 * every kernel can mount one: names are kept as they were created but found in any case; modes
 * cannot be changed; there are no hard links; a directory cannot be synced.
 *
 * Environment: FAT_ROOT, the directory.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static char root[PATH_MAX];

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        abort();
    return found;
}

__attribute__((constructor)) static void begin(void)
{
    const char *value = getenv("FAT_ROOT");
    if (value)
        snprintf(root, sizeof root, "%s", value);
}

static int is_below(const char *path)
{
    size_t length = strlen(root);
    return length && !strncmp(path, root, length) && (path[length] == '/' || !path[length]);
}

static int path_of(int handle, char *path)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return 1;
}

/* Append the entry of `path` that is `name` in any case, or `name` itself. */
static void append(char *path, const char *name)
{
    size_t length = strlen(path);
    DIR *directory = opendir(path);
    const char *found = name;
    struct dirent *one;
    char kept[NAME_MAX + 1];
    while (directory && (one = readdir(directory)))
        if (!strcasecmp(one->d_name, name)) {
            snprintf(kept, sizeof kept, "%s", one->d_name);
            found = kept;
            break;
        }
    snprintf(path + length, PATH_MAX - length, "/%s", found);
    if (directory)
        closedir(directory);
}

/* Write where a name really lies; 0 when it lies elsewhere than below the root. */
static int real_path(int directory, const char *name, char *found)
{
    char whole[2 * PATH_MAX], base[PATH_MAX] = "";
    static __thread int inside;
    if (inside || !name || !*name)
        return 0;
    if (*name != '/' && directory == AT_FDCWD && !getcwd(base, sizeof base))
        return 0;
    if (*name != '/' && directory != AT_FDCWD && !path_of(directory, base))
        return 0;
    snprintf(whole, sizeof whole, "%s%s%s", *name == '/' ? "" : base, *name == '/' ? "" : "/", name);
    if (!is_below(whole))
        return 0;
    inside = 1;
    snprintf(found, PATH_MAX, "%s", root);
    char *rest = whole + strlen(root), *at, *part;
    for (part = strtok_r(rest, "/", &at); part; part = strtok_r(NULL, "/", &at))
        if (strcmp(part, "."))
            append(found, part);
    inside = 0;
    return 1;
}

static int refused(int error)
{
    errno = error;
    return -1;
}

#define AT(directory, name) \
    char other[PATH_MAX]; \
    if (real_path(directory, name, other)) \
        directory = AT_FDCWD, name = other

static int open_there(int directory, const char *name, int flags, mode_t mode)
{
    AT(directory, name);
    return syscall(SYS_openat, directory, name, flags, mode);
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { \
        va_list list; \
        va_start(list, flags); \
        mode = va_arg(list, mode_t); \
        va_end(list); \
    }

int open(const char *name, int flags, ...)
{
    MODE(flags)
    return open_there(AT_FDCWD, name, flags, mode);
}
int open64(const char *name, int flags, ...)
{
    MODE(flags)
    return open_there(AT_FDCWD, name, flags, mode);
}
int openat(int directory, const char *name, int flags, ...)
{
    MODE(flags)
    return open_there(directory, name, flags, mode);
}
int openat64(int directory, const char *name, int flags, ...)
{
    MODE(flags)
    return open_there(directory, name, flags, mode);
}

int mkdirat(int directory, const char *name, mode_t mode)
{
    AT(directory, name);
    return syscall(SYS_mkdirat, directory, name, mode);
}
int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }

int unlinkat(int directory, const char *name, int flags)
{
    AT(directory, name);
    return syscall(SYS_unlinkat, directory, name, flags);
}
int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }

int renameat(int from, const char *old, int to, const char *name)
{
    char first[PATH_MAX], second[PATH_MAX];
    if (real_path(from, old, first))
        from = AT_FDCWD, old = first;
    if (real_path(to, name, second))
        to = AT_FDCWD, name = second;
    return syscall(SYS_renameat2, from, old, to, name, 0);
}
int rename(const char *old, const char *name) { return renameat(AT_FDCWD, old, AT_FDCWD, name); }

int linkat(int from, const char *old, int to, const char *name, int flags)
{
    char path[PATH_MAX];
    if (real_path(to, name, path))
        return refused(EPERM);
    return syscall(SYS_linkat, from, old, to, name, flags);
}
int link(const char *old, const char *name) { return linkat(AT_FDCWD, old, AT_FDCWD, name, 0); }

int fstatat64(int directory, const char *name, struct stat64 *found, int flags)
{
    AT(directory, name);
    return REAL(fstatat64)(directory, name, found, flags);
}
int fstatat(int directory, const char *name, struct stat *found, int flags)
{
    AT(directory, name);
    return REAL(fstatat)(directory, name, found, flags);
}
int stat64(const char *name, struct stat64 *found)
{
    return fstatat64(AT_FDCWD, name, found, 0);
}
int lstat64(const char *name, struct stat64 *found)
{
    return fstatat64(AT_FDCWD, name, found, AT_SYMLINK_NOFOLLOW);
}
int stat(const char *name, struct stat *found) { return fstatat(AT_FDCWD, name, found, 0); }
int lstat(const char *name, struct stat *found)
{
    return fstatat(AT_FDCWD, name, found, AT_SYMLINK_NOFOLLOW);
}

int chmod(const char *name, mode_t mode)
{
    char path[PATH_MAX];
    return real_path(AT_FDCWD, name, path) ? refused(EPERM) : REAL(chmod)(name, mode);
}
int fchmodat(int directory, const char *name, mode_t mode, int flags)
{
    char path[PATH_MAX];
    return real_path(directory, name, path) ? refused(EPERM)
                                            : REAL(fchmodat)(directory, name, mode, flags);
}
int fchmod(int handle, mode_t mode)
{
    char path[PATH_MAX];
    return path_of(handle, path) && is_below(path) ? refused(EPERM) : REAL(fchmod)(handle, mode);
}

int fsync(int handle)
{
    char path[PATH_MAX];
    struct stat found;
    if (path_of(handle, path) && is_below(path) && !REAL(fstat)(handle, &found) &&
        S_ISDIR(found.st_mode))
        return refused(EINVAL);
    return syscall(SYS_fsync, handle);
}
