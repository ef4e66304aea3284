/* Small C-STORE messages that lie in memory as a whole: recognised, kept and answered.
 *
 * `parse` is pure and takes only what is entirely ordinary; of everything else it says "not mine",
 * and the state machine and the header reader in Python judge it. `keep` does the system calls of
 * one instance without the interpreter's lock. Both are told all they need; neither decides
 * anything. Stable ABI of Python 3.11.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#define _GNU_SOURCE
#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    PDU_HEADER = 6,
    PDV_HEADER = 6,
    START = PDU_HEADER + PDV_HEADER,
    LONGEST_COMMAND = 4096, /* bytes; a C-STORE-RQ has about 300 */
    LONGEST_UID = 64,       /* PS3.5 9.1 */
    LONGEST_AET = 16,       /* PS3.5 6.2 */
    LONGEST_VALUE = 1024,
    MOST_CANDIDATES = 8, /* places that look like pixel data */
    SHORT_HEAD = 8,
    LONG_HEAD = 12
};
enum { NOT_MINE = 0, EXPLICIT = 1, IMPLICIT = 2 }; /* how a context encodes its data sets */

#define UNDEFINED UINT32_MAX
#define FIRST 0x00030000u /* group 0002 belongs in front of a data set */
#define SERIES 0x0020000Eu

typedef struct {
    const unsigned char *data;
    size_t size;
} Span;

typedef struct {
    unsigned message_id;
    int originator_id; /* -1: none */
    Span sop_class, sop_instance, originator;
} Command;

/* In the order of `Identifiers`; the character set is looked at for its length alone. */
enum { CLASS, INSTANCE, STUDY, SERIES_UID, PATIENT, ACCESSION, CHARACTER_SET, VALUES };
static const uint32_t WANTED[VALUES] = {0x00080016u, 0x00080018u, 0x0020000Du, SERIES,
                                        0x00100020u, 0x00080050u, 0x00080005u};

static uint32_t big32(const unsigned char *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static unsigned little16(const unsigned char *p) { return p[0] | (unsigned)p[1] << 8; }

static uint32_t little32(const unsigned char *p) {
    return little16(p) | (uint32_t)little16(p + 2) << 16;
}

/* Without the padding on both sides. */
static Span stripped(Span one) {
    while (one.size && (one.data[0] == ' ' || one.data[0] == 0)) {
        one.data++;
        one.size--;
    }
    while (one.size && (one.data[one.size - 1] == ' ' || one.data[one.size - 1] == 0))
        one.size--;
    return one;
}

static int is_uid(Span one) {
    if (!one.size || one.size > LONGEST_UID)
        return 0;
    for (size_t i = 0; i < one.size; i++)
        if (one.data[i] != '.' && (one.data[i] < '0' || one.data[i] > '9'))
            return 0;
    return 1;
}

/* Whether it is one value that needs no character set. */
static int is_plain(Span one) {
    for (size_t i = 0; i < one.size; i++)
        if (one.data[i] >= 0x80 || one.data[i] == 0x1B || one.data[i] == '\\')
            return 0;
    return 1;
}

static int equal(Span one, Span other) {
    return one.size == other.size && !memcmp(one.data, other.data, one.size);
}

/* Read a C-STORE-RQ (PS3.7 9.3.1.1) whose elements stand in order; 0: not mine. */
static int read_command(Span set, Command *found) {
    size_t position = 0;
    long last = -1;
    unsigned seen = 0; /* bits: field, message id, data set type */

    memset(found, 0, sizeof *found);
    found->originator_id = -1;
    while (position < set.size) {
        if (set.size - position < SHORT_HEAD)
            return 0;
        const unsigned char *head = set.data + position;
        long element = (long)little16(head + 2);
        uint32_t length = little32(head + 4);
        position += SHORT_HEAD;
        if (little16(head) || element <= last || length > set.size - position)
            return 0;
        Span value = {set.data + position, length};
        position += length;
        last = element;
        switch (element) {
        case 0x0002:
            found->sop_class = stripped(value);
            break;
        case 0x0100:
            if (length != 2 || little16(value.data) != 0x0001)
                return 0;
            seen |= 1;
            break;
        case 0x0110:
            if (length != 2)
                return 0;
            found->message_id = little16(value.data);
            seen |= 2;
            break;
        case 0x0800:
            if (length != 2 || little16(value.data) == 0x0101)
                return 0;
            seen |= 4;
            break;
        case 0x1000:
            found->sop_instance = stripped(value);
            break;
        case 0x1030:
            found->originator = stripped(value);
            if (found->originator.size > LONGEST_AET || !is_plain(found->originator))
                return 0;
            break;
        case 0x1031:
            if (length != 2)
                return 0;
            found->originator_id = (int)little16(value.data);
            break;
        default:
            break;
        }
    }
    return seen == 7 && is_uid(found->sop_class) && is_uid(found->sop_instance);
}

/* Whether one of the codes of two letters is `vr`. */
static int among(const unsigned char *vr, const char *codes) {
    for (; codes[0]; codes += 2)
        if (vr[0] == (unsigned char)codes[0] && vr[1] == (unsigned char)codes[1])
            return 1;
    return 0;
}

/* Read one element's head: returns its size, or 0 if it is unusual. */
static size_t element_head(const unsigned char *head, size_t left, int kind, uint32_t *length) {
    if (kind == IMPLICIT) {
        *length = little32(head + 4);
        return SHORT_HEAD;
    }
    if (among(head + 4, "AEASATCSDADSDTFDFLISLOLTPNSHSLSSSTTMUIULUS")) { /* PS3.5 7.1.2 */
        *length = little16(head + 6);
        return SHORT_HEAD;
    }
    if (left < LONG_HEAD || !among(head + 4, "OBODOFOLOVOWSQSVUCUNURUTUV"))
        return 0;
    *length = little32(head + 8);
    return LONG_HEAD;
}

/* Find the values that name an instance; returns the position behind them, 0: not mine. */
static size_t read_header(Span set, int kind, Span values[VALUES]) {
    size_t position = 0;
    uint32_t last = FIRST;

    memset(values, 0, VALUES * sizeof(Span));
    while (last < SERIES && set.size - position >= SHORT_HEAD) {
        const unsigned char *head = set.data + position;
        uint32_t tag = (uint32_t)little16(head) << 16 | little16(head + 2), length = 0;
        if (tag <= last || tag > SERIES)
            break;
        size_t size = element_head(head, set.size - position, kind, &length);
        if (!size || length == UNDEFINED || length > set.size - position - size)
            return 0;
        last = tag;
        for (int i = 0; i < VALUES; i++)
            if (tag == WANTED[i]) {
                values[i] = (Span){head + size, length};
                if (length > LONGEST_VALUE)
                    return 0;
            }
        position += size + length;
    }
    for (int i = 0; i < CHARACTER_SET; i++) {
        if (!is_plain(values[i]))
            return 0;
        if (values[i].data)
            values[i] = stripped(values[i]);
    }
    return values[INSTANCE].data && values[SERIES_UID].data ? position : 0;
}

/* Whether the data set ends where something that looks like its pixel data says. */
static int is_whole(Span set, size_t position) {
    static const unsigned char pixels[] = {0xE0, 0x7F, 0x10, 0x00};
    static const unsigned char delimiter[] = {0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0};

    for (int candidate = 0; candidate < MOST_CANDIDATES && position < set.size; candidate++) {
        const unsigned char *found =
            memmem(set.data + position, set.size - position, pixels, sizeof pixels);
        if (!found)
            return 0;
        size_t at = (size_t)(found - set.data), head = SHORT_HEAD;
        if (set.size - at < SHORT_HEAD)
            return 0;
        if (!memcmp(found + 4, "OW\0\0", 4) || !memcmp(found + 4, "OB\0\0", 4))
            head = LONG_HEAD;
        if (set.size - at < head)
            return 0;
        uint32_t length = little32(found + head - 4);
        if (length == UNDEFINED)
            return set.size - at - head >= sizeof delimiter &&
                   !memcmp(set.data + set.size - sizeof delimiter, delimiter, sizeof delimiter);
        if (length > set.size - at - head)
            return 0;
        position = at + head + length;
        if (position == set.size)
            return 1;
    }
    return 0;
}

/* Read a P-DATA-TF that begins at `position` and holds one value. Returns how many bytes the
 * message has up to its end, 0 if it is not mine; `*value` has data only when all of it is there. */
static size_t read_unit(Span all, size_t position, int control, uint32_t longest, int *context,
                        Span *value) {
    const unsigned char *head = all.data + position;
    size_t left = all.size - position;

    *value = (Span){NULL, 0};
    if (left && head[0] != 4)
        return 0;
    if (left < START)
        return position + START;
    uint32_t length = big32(head + 2), inner = big32(head + PDU_HEADER);
    if (length < PDV_HEADER || inner != length - 4 || length - PDV_HEADER > longest)
        return 0;
    if (head[11] != control || (*context >= 0 && head[10] != *context))
        return 0;
    *context = head[10];
    if (left >= PDU_HEADER + (size_t)length)
        *value = (Span){head + START, length - PDV_HEADER};
    return position + PDU_HEADER + length;
}

/* For Py_BuildValue: text or None, and text. */
#define TEXT(one) (const char *)(one).data, (Py_ssize_t)(one).size
#define VALUE(one) (const char *)((one).data ? (one).data : (const unsigned char *)""), \
                   (Py_ssize_t)(one).size

static PyObject *parse(PyObject *module, PyObject *arguments) {
    Py_buffer view;
    const char *kinds;
    Py_ssize_t count;
    unsigned long max_pdu, longest;
    PyObject *result = NULL;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "y*y#kk", &view, &kinds, &count, &max_pdu, &longest))
        return NULL;
    Span all = {view.buf, (size_t)view.len}, set, data, values[VALUES];
    Command command;
    int context = -1, kind = NOT_MINE;
    size_t behind, total, end;
    uint32_t room = max_pdu < PDV_HEADER    ? 0
                    : max_pdu > 0x7FFFFFFFu ? 0x7FFFFFFFu
                                            : (uint32_t)max_pdu - PDV_HEADER;
    uint32_t data_room = longest < room ? (uint32_t)longest : room;

    behind = read_unit(all, 0, 3, room < LONGEST_COMMAND ? room : LONGEST_COMMAND, &context, &set);
    if (context >= 0)
        kind = context < count ? kinds[context] : NOT_MINE;
    if (!behind || (context >= 0 && kind != EXPLICIT && kind != IMPLICIT))
        goto not_mine;
    if (!set.data) {
        result = PyLong_FromSize_t(behind);
        goto done;
    }
    if (!read_command(set, &command))
        goto not_mine;
    total = read_unit(all, behind, 2, data_room, &context, &data);
    if (!total)
        goto not_mine;
    if (!data.data) {
        result = PyLong_FromSize_t(total);
        goto done;
    }
    end = read_header(data, kind, values);
    if (!end || !is_whole(data, end) || !equal(values[CLASS], command.sop_class) ||
        !equal(values[INSTANCE], command.sop_instance))
        goto not_mine;
    result = Py_BuildValue(
        "nnniIz#i(s#s#s#s#s#s#)", (Py_ssize_t)total, data.data - all.data, (Py_ssize_t)data.size,
        context, command.message_id, TEXT(command.originator), command.originator_id,
        VALUE(values[CLASS]), VALUE(values[INSTANCE]), VALUE(values[STUDY]),
        VALUE(values[SERIES_UID]), VALUE(values[PATIENT]), VALUE(values[ACCESSION]));
    goto done;
not_mine:
    Py_INCREF(Py_None);
    result = Py_None;
done:
    PyBuffer_Release(&view);
    return result;
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

/* Write, sync, close, name, sync the name: then it is kept. 0 or an error number. */
static int seal(int directory, int file, const char *part, const char *name, struct iovec *pieces,
                int sync) {
    int error = write_all(file, pieces, 2);
    if (!error && sync)
        error = sync_file(file);
    if (close(file) && !error)
        error = errno;
    if (!error && renameat(directory, part, directory, name))
        error = errno;
    return error || !sync ? error : sync_names(directory);
}

/* How many bytes were sent; -1 when nobody can be told any more. */
static Py_ssize_t answer(int peer, const Py_buffer *response) {
    for (;;) {
        ssize_t sent = send(peer, response->buf, (size_t)response->len, MSG_NOSIGNAL);
        if (sent >= 0)
            return sent;
        if (errno != EINTR)
            return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
    }
}

static PyObject *keep(PyObject *module, PyObject *arguments) {
    int peer, directory, file, sync, error;
    const char *part, *name;
    Py_buffer meta, data, response;
    Py_ssize_t sent = 0;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "iiissy*y*y*p", &peer, &directory, &file, &part, &name, &meta,
                          &data, &response, &sync))
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    struct iovec pieces[2] = {{meta.buf, (size_t)meta.len}, {data.buf, (size_t)data.len}};
    error = seal(directory, file, part, name, pieces, sync);
    if (!error) /* acknowledged is only what is kept */
        sent = answer(peer, &response);
    Py_END_ALLOW_THREADS;
    PyBuffer_Release(&meta);
    PyBuffer_Release(&data);
    PyBuffer_Release(&response);
    return Py_BuildValue("in", error, sent);
}

static PyMethodDef methods[] = {
    {"parse", parse, METH_VARARGS,
     "parse(data, kinds, max_pdu, longest) -> None if the beginning of `data` is not mine, how many "
     "bytes it takes at least if it may become so, or what it says"},
    {"keep", keep, METH_VARARGS,
     "keep(peer, directory, file, part, name, meta, data, response, sync) -> error number, sent; "
     "the file is closed, whatever happens"},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "_whole", .m_size = 0, .m_methods = methods};

PyMODINIT_FUNC PyInit__whole(void) { return PyModule_Create(&definition); }
