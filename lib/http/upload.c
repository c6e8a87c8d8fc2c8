/*
 * Uploads: a worker pulls what its connection's I/O thread receives, a chunk at a time. While the chunk is full, or has
 * not been asked for, the connection is suspended, so that the client is slowed down to the worker's pace.
 */
#include <sys/socket.h>

#include "http/internal.h"

#define CHUNK          ((size_t)64 * 1024)
#define CHUNK_LIMIT_MS 60000 /* a client slower than some 1 kB/s cannot keep a worker */

struct upload {
	struct upload *next, *prev; /* of all, so that a stop reaches them: the server's lock */
	struct mutex lock;          /* guards what follows */
	struct cond changed;
	bool suspended; /* the connection is */
	bool end;       /* all of the body has come */
	bool gone;      /* the connection has ended */
	bool answered;  /* the worker is done */
	bool stalled;
	size_t len;
	uint64_t total;
	char chunk[CHUNK];
};

struct upload *upload_new(struct http *http)
{
	struct upload *upload = x_malloc(sizeof(*upload)); /* the chunk's pages come with its bytes */

	memset(upload, 0, offsetof(struct upload, chunk));
	mutex_init(&upload->lock);
	cond_init(&upload->changed);
	upload->suspended = true;
	LOCKED(&http->lock);
	upload->next = http->uploads;
	if (http->uploads)
		http->uploads->prev = upload;
	http->uploads = upload;
	return upload;
}

void upload_free(struct http *http, struct upload *upload)
{
	if (!upload)
		return;
	mutex_lock(&http->lock);
	if (upload->next)
		upload->next->prev = upload->prev;
	if (upload->prev)
		upload->prev->next = upload->next;
	else
		http->uploads = upload->next;
	mutex_unlock(&http->lock);
	cond_done(&upload->changed);
	mutex_done(&upload->lock);
	free(upload);
}

void upload_stop_all(struct http *http)
{
	LOCKED(&http->lock);
	for (struct upload *upload = http->uploads; upload; upload = upload->next) {
		LOCKED(&upload->lock);
		cond_signal(&upload->changed);
	}
}

/* ---- the I/O thread's side ---- */

bool upload_answered(struct exchange *ex)
{
	LOCKED(&ex->upload->lock);
	return ex->upload->answered;
}

static void suspend(struct exchange *ex)
{
	ex->upload->suspended = true;
	MHD_suspend_connection(ex->connection);
	cond_signal(&ex->upload->changed);
}

bool upload_data(struct exchange *ex, const char *data, size_t *size)
{
	struct upload *upload = ex->upload;
	size_t taken;

	LOCKED(&upload->lock);
	if (upload->answered)
		return false;
	/* libmicrohttpd still offers what it has read; a second suspension would break its lists. */
	if (upload->suspended)
		return true;
	taken = MIN(*size, CHUNK - upload->len);
	memcpy(upload->chunk + upload->len, data, taken);
	upload->len += taken;
	*size -= taken;
	if (upload->len == CHUNK)
		suspend(ex);
	return true;
}

bool upload_end(struct exchange *ex)
{
	struct upload *upload = ex->upload;

	LOCKED(&upload->lock);
	upload->end = true;
	if (!upload->answered)
		suspend(ex);
	return upload->answered;
}

bool upload_closed(struct exchange *ex)
{
	struct upload *upload = ex->upload;

	LOCKED(&upload->lock);
	upload->gone = true;
	cond_signal(&upload->changed);
	return upload->answered;
}

/* ---- the worker's side ---- */

static bool wait_for_chunk(struct exchange *ex, struct err *err)
{
	struct upload *upload = ex->upload;
	int64_t deadline_ms = clock_mono_ms() + CHUNK_LIMIT_MS;

	while (upload->len < CHUNK && !upload->end && !upload->gone) {
		if (exchange_http(ex)->stopping)
			return err_stopping(err);
		if (!cond_wait_until(&upload->changed, &upload->lock, deadline_ms)) {
			upload->stalled = true;
			return err_status(err, 408, M_UNKNOWN, "The upload is too slow");
		}
	}
	if (upload->gone)
		return err_status(err, 400, M_UNKNOWN, "The client has gone");
	return true;
}

bool request_read(struct request *req, struct str *ret_chunk, struct err *err)
{
	struct exchange *ex = call_of(req)->ex;
	struct upload *upload = ex->upload;

	assert(upload); /* a BODY_STREAM route's handler */
	LOCKED(&upload->lock);
	upload->len = 0;
	if (!upload->end && upload->suspended) {
		upload->suspended = false;
		MHD_resume_connection(ex->connection);
	}
	if (!upload->end && !wait_for_chunk(ex, err))
		return false;
	upload->total += upload->len;
	if (upload->total > ex->route->max_body)
		return err_set(err, M_TOO_LARGE, "The upload is too large");
	*ret_chunk = (struct str){ upload->chunk, upload->len };
	return true;
}

/*
 * While the body still comes in, its I/O thread drops the rest and sends the answer at its end. A stalled client's
 * would never come: shut its socket. It is open as long as the connection is not `gone`.
 */
void upload_answer(struct exchange *ex)
{
	struct upload *upload = ex->upload;
	struct MHD_Connection *connection = ex->connection;
	bool gone, suspended;

	mutex_lock(&upload->lock);
	upload->answered = true;
	gone = upload->gone;
	suspended = upload->suspended;
	upload->suspended = false;
	if (!gone && upload->stalled)
		shutdown(MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd, SHUT_RDWR);
	mutex_unlock(&upload->lock);
	if (gone)
		exchange_free(ex);
	else if (suspended)
		MHD_resume_connection(connection);
}
