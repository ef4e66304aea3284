/* From bytes in memory to a file that is kept: written, synced, under its name, and that synced.
 *
 * Where a sync costs nothing it is done at once. Elsewhere a thread does it, so that a disk that
 * stalls holds up nobody else; what comes meanwhile is synced together with the next.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

enum { LONGEST_PART = 96, LONGEST_NAME = 256, STACK = 1 << 17 /* bytes */ };

/* An instance that is written, until it is kept or cannot be; what begins with one, on the heap. */
typedef struct Job {
    struct Job *next;
    int file, error; /* descriptor; 0 or an error number */
    char part[LONGEST_PART], name[LONGEST_NAME];
} Job;

typedef struct {
    Job *first, **end;
} Queue;

typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t come;
    pthread_t thread;
    Queue waiting, done;
    int directory, told; /* descriptors: of the spool; of an event that says that something is done */
    int together;        /* how many are synced together at most; 0: there is no thread */
    int ends;
} Sealer;

static void clear(Queue *one) {
    one->first = NULL;
    one->end = &one->first;
}

static void append(Queue *one, Job *job) {
    job->next = NULL;
    *one->end = job;
    one->end = &job->next;
}

/* Take the first ones out, in their order; at most so many. */
static Job *taken(Queue *one, int most) {
    Job *all = one->first, **end = &one->first;
    for (; *end && most > 0; most--)
        end = &(*end)->next;
    one->first = *end;
    if (!one->first)
        one->end = &one->first;
    if (end != &one->first)
        *end = NULL;
    else
        all = NULL;
    return all;
}

/* Write all of it behind each other; 0 or an error number. */
static int write_all(int file, struct iovec *pieces, int count) {
    while (count) {
        ssize_t written = writev(file, pieces, count);
        if (written < 0) {
            if (errno == EINTR)
                continue;
            return errno;
        }
        while (count && (size_t)written >= pieces->iov_len) {
            written -= (ssize_t)pieces->iov_len;
            pieces++;
            count--;
        }
        if (count) {
            pieces->iov_base = (char *)pieces->iov_base + written;
            pieces->iov_len -= (size_t)written;
        }
    }
    return 0;
}

/* Sync a file or directory; 0 or an error number. */
static int sync_file(int file) {
    while (fsync(file))
        if (errno != EINTR)
            return errno;
    return 0;
}

/* Not every file system can sync a directory. */
static int sync_names(int directory) {
    int error = sync_file(directory);
    return error == EINVAL || error == ENOTSUP || error == EBADF || error == ENOSYS ? 0 : error;
}

/* Sync the files, give them their names, sync those; never leave a name that is not true. */
static void seal(int directory, Job *jobs, int sync) {
    int named = 0, failed = 0;

    for (Job *one = jobs; sync && jobs->next && one; one = one->next)
        (void)sync_file_range(one->file, 0, 0, SYNC_FILE_RANGE_WRITE); /* all of them at a time */
    for (Job *one = jobs; one; one = one->next) {
        one->error = sync ? sync_file(one->file) : 0;
        if (close(one->file) && !one->error)
            one->error = errno;
        if (!one->error && renameat(directory, one->part, directory, one->name))
            one->error = errno;
        named |= !one->error;
    }
    if (sync && named)
        failed = sync_names(directory);
    for (Job *one = jobs; one; one = one->next) {
        if (!one->error)
            one->error = failed;
        if (one->error) {
            unlinkat(directory, one->part, 0);
            unlinkat(directory, one->name, 0);
        }
    }
}

static void *seal_what_comes(void *argument) {
    Sealer *one = argument;

    pthread_mutex_lock(&one->lock);
    while (one->waiting.first || !one->ends) {
        if (!one->waiting.first) {
            pthread_cond_wait(&one->come, &one->lock);
            continue;
        }
        Job *jobs = taken(&one->waiting, one->together);
        pthread_mutex_unlock(&one->lock);
        seal(one->directory, jobs, 1);
        pthread_mutex_lock(&one->lock);
        while (jobs) {
            Job *next = jobs->next;
            append(&one->done, jobs);
            jobs = next;
        }
        (void)eventfd_write(one->told, 1);
    }
    pthread_mutex_unlock(&one->lock);
    return NULL;
}

/* Start the thread, which hears no signal; 0 or an error number. */
static int begin(Sealer *one, int directory, int together) {
    sigset_t all, before;
    pthread_attr_t attributes;

    memset(one, 0, sizeof *one);
    clear(&one->waiting);
    clear(&one->done);
    one->directory = directory;
    one->told = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (one->told < 0)
        return errno;
    pthread_mutex_init(&one->lock, NULL);
    pthread_cond_init(&one->come, NULL);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    one->together = together;
    int error = pthread_create(&one->thread, &attributes, seal_what_comes, one);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (error) {
        one->together = 0;
        close(one->told);
    }
    return error;
}

static void submit(Sealer *one, Job *job) {
    pthread_mutex_lock(&one->lock);
    append(&one->waiting, job);
    pthread_cond_signal(&one->come);
    pthread_mutex_unlock(&one->lock);
}

/* What is done by now, in its order: as it was submitted. */
static Job *finished(Sealer *one) {
    eventfd_t count;

    pthread_mutex_lock(&one->lock);
    if (one->together)
        (void)eventfd_read(one->told, &count);
    Job *jobs = taken(&one->done, INT_MAX);
    pthread_mutex_unlock(&one->lock);
    return jobs;
}

/* Let the thread do what is waiting, and end it; what is done stays. */
static void end(Sealer *one) {
    if (!one->together)
        return;
    pthread_mutex_lock(&one->lock);
    one->ends = 1;
    pthread_cond_signal(&one->come);
    pthread_mutex_unlock(&one->lock);
    pthread_join(one->thread, NULL);
    close(one->told);
    one->told = -1;
    one->together = 0;
}
