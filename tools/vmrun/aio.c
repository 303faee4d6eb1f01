// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#ifdef WITH_LIBURING
#include <liburing.h>
#endif

#include "aio.h"

#define THREADS		4
#define ZEROS_SIZE	0x10000U

static uint8_t zeros[ZEROS_SIZE];	/* never written */

struct queue {
	struct aio_request *first, **last;
};

struct aio {
	const struct disk *disk;
	int event_fd;
	unsigned int in_flight;
	bool uring;
#ifdef WITH_LIBURING
	struct io_uring ring;
#endif
	/* Without io_uring */
	pthread_mutex_t lock;
	pthread_cond_t work, finished;
	struct queue todo, done;
	pthread_t threads[THREADS];
	unsigned int nr_threads;
	bool stop;
};

static void add(struct queue *q, struct aio_request *r)
{
	r->next = NULL;
	*q->last = r;
	q->last = &r->next;
}

static struct aio_request *take(struct queue *q)
{
	struct aio_request *r = q->first;

	if (r) {
		q->first = r->next;
		if (!q->first)
			q->last = &q->first;
	}
	return r;
}

static int allocate_mode(enum aio_op op)
{
	return FALLOC_FL_KEEP_SIZE |
	       (op == AIO_ZERO ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE);
}

/* ---- by threads ------------------------------------------------------------------------------ */

static int perform(const struct aio *a, const struct aio_request *r)
{
	int fd = a->disk->fd;
	ssize_t n;

	switch (r->op) {
	case AIO_READ:
		n = preadv(fd, r->iov, r->nr, r->offset);
		break;
	case AIO_WRITE:
		n = pwritev(fd, r->iov, r->nr, r->offset);
		break;
	case AIO_FLUSH:
		n = fdatasync(fd);
		break;
	default:
		n = fallocate(fd, allocate_mode(r->op), r->offset, r->len);
	}
	return n < 0 ? -errno : n;
}

static void ring(const struct aio *a)
{
	uint64_t one = 1;

	/* A full counter means that a wakeup is pending already. */
	if (write(a->event_fd, &one, sizeof(one)) < 0)
		return;
}

static void *work(void *opaque)
{
	struct aio *a = opaque;
	struct aio_request *r;

	pthread_mutex_lock(&a->lock);
	while (!a->stop) {
		r = take(&a->todo);
		if (!r) {
			pthread_cond_wait(&a->work, &a->lock);
			continue;
		}
		pthread_mutex_unlock(&a->lock);
		r->result = perform(a, r);
		pthread_mutex_lock(&a->lock);
		add(&a->done, r);
		pthread_cond_signal(&a->finished);
		ring(a);
	}
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

/* At the first request: in the sandbox, which threads from before it would not be in. */
static int create_threads(struct aio *a)
{
	int rc;

	for (; a->nr_threads < THREADS; a->nr_threads++) {
		rc = pthread_create(&a->threads[a->nr_threads], NULL, work, a);
		if (rc && !a->nr_threads)
			return -rc;
		if (rc)
			break;
	}
	return 0;
}

static void threads_submit(struct aio *a, struct aio_request *r)
{
	r->result = a->nr_threads ? 0 : create_threads(a);
	pthread_mutex_lock(&a->lock);
	if (r->result) {
		add(&a->done, r);
		ring(a);
	} else {
		add(&a->todo, r);
		pthread_cond_signal(&a->work);
	}
	pthread_mutex_unlock(&a->lock);
}

/* Return: one that is done, or NULL; wait: for one. */
static struct aio_request *threads_next(struct aio *a, bool wait)
{
	struct aio_request *r;

	pthread_mutex_lock(&a->lock);
	while (!(r = take(&a->done)) && wait)
		pthread_cond_wait(&a->finished, &a->lock);
	pthread_mutex_unlock(&a->lock);
	return r;
}

static void stop_threads(struct aio *a)
{
	pthread_mutex_lock(&a->lock);
	a->stop = true;
	pthread_cond_broadcast(&a->work);
	pthread_mutex_unlock(&a->lock);
	while (a->nr_threads)
		pthread_join(a->threads[--a->nr_threads], NULL);
}

/* ---- by io_uring ----------------------------------------------------------------------------- */

#ifdef WITH_LIBURING
static void create_uring(struct aio *a, unsigned int depth)
{
	if (io_uring_queue_init(depth, &a->ring, 0))
		return;
	if (io_uring_register_eventfd(&a->ring, a->event_fd))
		io_uring_queue_exit(&a->ring);
	else
		a->uring = true;
}

static void uring_submit(struct aio *a, struct aio_request *r)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&a->ring);
	int fd = a->disk->fd;

	while (!sqe) {
		io_uring_submit(&a->ring);
		sqe = io_uring_get_sqe(&a->ring);
	}
	switch (r->op) {
	case AIO_READ:
		io_uring_prep_readv(sqe, fd, r->iov, r->nr, r->offset);
		break;
	case AIO_WRITE:
		io_uring_prep_writev(sqe, fd, r->iov, r->nr, r->offset);
		break;
	case AIO_FLUSH:
		io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
		break;
	default:
		io_uring_prep_fallocate(sqe, fd, allocate_mode(r->op), r->offset, r->len);
	}
	io_uring_sqe_set_data(sqe, r);
}

static struct aio_request *uring_next(struct aio *a, bool wait)
{
	struct aio_request *r;
	struct io_uring_cqe *cqe;

	if (wait)
		io_uring_submit(&a->ring);
	if (wait ? io_uring_wait_cqe(&a->ring, &cqe) : io_uring_peek_cqe(&a->ring, &cqe))
		return NULL;
	r = io_uring_cqe_get_data(cqe);
	r->result = cqe->res;
	io_uring_cqe_seen(&a->ring, cqe);
	return r;
}

/* What the page cache answers at once is reaped without a detour by the eventfd. */
void aio_commit(struct aio *a)
{
	if (!a->uring)
		return;
	io_uring_cq_eventfd_toggle(&a->ring, false);
	io_uring_submit(&a->ring);
	aio_reap(a);
	io_uring_cq_eventfd_toggle(&a->ring, true);
	aio_reap(a);
}

static void destroy_uring(struct aio *a)
{
	io_uring_queue_exit(&a->ring);
}
#else
static void create_uring(struct aio *a, unsigned int depth)
{
	(void)a;
	(void)depth;
}

static void uring_submit(struct aio *a, struct aio_request *r)
{
	(void)a;
	(void)r;
}

static struct aio_request *uring_next(struct aio *a, bool wait)
{
	(void)a;
	(void)wait;
	return NULL;
}

void aio_commit(struct aio *a)
{
	(void)a;
}

static void destroy_uring(struct aio *a)
{
	(void)a;
}
#endif

/* ---- both ------------------------------------------------------------------------------------ */

static void start(struct aio *a, struct aio_request *r)
{
	if (a->uring)
		uring_submit(a, r);
	else
		threads_submit(a, r);
}

void aio_submit(struct aio *a, struct aio_request *r)
{
	a->in_flight++;
	r->zeros = NULL;
	start(a, r);
}

static void end(struct aio *a, struct aio_request *r, int error)
{
	a->in_flight--;
	free(r->zeros);
	r->done(r, error);
}

/* A host that can't write zeros by itself is sent them. Return: false when there is no memory. */
static bool make_write(struct aio_request *r)
{
	uint64_t left = r->len;
	unsigned int i;

	r->nr = (r->len + ZEROS_SIZE - 1) / ZEROS_SIZE;
	r->iov = r->zeros = calloc(r->nr, sizeof(*r->iov));
	if (!r->iov)
		return false;
	for (i = 0; i < r->nr; i++, left -= ZEROS_SIZE)
		r->iov[i] = (struct iovec) { zeros, left < ZEROS_SIZE ? left : ZEROS_SIZE };
	r->op = AIO_WRITE;
	return true;
}

/* The first n bytes are done. */
static void go_on(struct aio_request *r, size_t n)
{
	r->offset += n;
	r->len -= n;
	while (n && n >= r->iov->iov_len) {
		n -= r->iov->iov_len;
		r->iov++;
		r->nr--;
	}
	if (n) {
		r->iov->iov_base = (uint8_t *)r->iov->iov_base + n;
		r->iov->iov_len -= n;
	}
}

/* The image's file may end inside of its last sector; what follows reads as zeros. */
static int read_beyond(const struct aio *a, struct aio_request *r)
{
	unsigned int i;

	if (a->disk->size - r->offset >= DISK_SECTOR)
		return EIO;
	for (i = 0; i < r->nr; i++)
		memset(r->iov[i].iov_base, 0, r->iov[i].iov_len);
	return 0;
}

static void finish(struct aio *a, struct aio_request *r)
{
	bool transfer = r->op == AIO_READ || r->op == AIO_WRITE;
	int result = r->result;

	if (result == -EINTR || result == -EAGAIN) {
		start(a, r);
	} else if (result == -EOPNOTSUPP && (r->op == AIO_ZERO || r->op == AIO_ZERO_UNMAP)) {
		if (make_write(r))
			start(a, r);
		else
			end(a, r, ENOMEM);
	} else if (result < 0) {
		end(a, r, -result);
	} else if (!transfer || (uint64_t)result >= r->len) {
		end(a, r, 0);
	} else if (!result) {
		end(a, r, r->op == AIO_READ ? read_beyond(a, r) : EIO);
	} else {
		go_on(r, result);
		start(a, r);
	}
}

static bool reap_one(struct aio *a, bool wait)
{
	struct aio_request *r = a->uring ? uring_next(a, wait) : threads_next(a, wait);

	if (r)
		finish(a, r);
	return r;
}

void aio_reap(struct aio *a)
{
	while (a->in_flight && reap_one(a, false))
		;
#ifdef WITH_LIBURING
	/* The rest of short transfers. */
	if (a->uring && io_uring_sq_ready(&a->ring))
		io_uring_submit(&a->ring);
#endif
}

void aio_drain(struct aio *a)
{
	while (a->in_flight)
		reap_one(a, true);
}

int aio_fd(const struct aio *a)
{
	return a->event_fd;
}

const char *aio_kind(const struct aio *a)
{
	return a->uring ? "io_uring" : "threads";
}

struct aio *aio_create(const struct disk *disk, unsigned int depth, bool only_threads,
		       struct error *err)
{
	struct aio *a = calloc(1, sizeof(*a));

	if (!a) {
		failed(err, "%s: no memory", disk->path);
		return NULL;
	}
	a->disk = disk;
	a->todo.last = &a->todo.first;
	a->done.last = &a->done.first;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->work, NULL);
	pthread_cond_init(&a->finished, NULL);
	a->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (a->event_fd < 0) {
		failed(err, "eventfd: %s", strerror(errno));
		aio_destroy(a);
		return NULL;
	}
	if (!only_threads)
		create_uring(a, depth);
	return a;
}

void aio_destroy(struct aio *a)
{
	aio_drain(a);
	stop_threads(a);
	if (a->uring)
		destroy_uring(a);
	if (a->event_fd >= 0)
		close(a->event_fd);
	pthread_cond_destroy(&a->finished);
	pthread_cond_destroy(&a->work);
	pthread_mutex_destroy(&a->lock);
	free(a);
}
