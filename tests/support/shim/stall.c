/* A disk that stalls: while the file STALL_WHILE exists, an fsync below STALL_ROOT does not end.
 * It fails when the file STALL_ERROR exists; that of a directory when STALL_NAMES does. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int fsync(int handle)
{
    const char *root = getenv("STALL_ROOT"), *stall = getenv("STALL_WHILE");
    const char *error;
    struct stat found;
    char link[64], path[PATH_MAX + 1] = "";
    int watched;

    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    if (readlink(link, path, PATH_MAX) < 0)
        path[0] = 0;
    watched = root && !strncmp(path, root, strlen(root));
    while (watched && stall && !access(stall, F_OK))
        usleep(2000);
    error = getenv(!fstat(handle, &found) && S_ISDIR(found.st_mode) ? "STALL_NAMES" : "STALL_ERROR");
    if (watched && error && !access(error, F_OK)) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, handle);
}
