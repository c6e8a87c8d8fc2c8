/* client-server-api "Content repository". */
#include <unistd.h>

#include "matrix/identifiers.h"
#include "media/media_internal.h"
#include "options.h"

#define MEDIA_ID_LENGTH 24
#define MAX_MEDIA_ID    255
#define MAX_FILE_NAME   1024  /* bytes; longer than any file system takes */
#define DEFAULT_WAIT_MS 20000 /* of timeout_ms */
#define MAX_WAIT_MS     60000
#define UPLOAD_MAX_BODY SIZE_MAX /* max_upload_size may change while the server runs: it is the handlers' to keep */

/* ---- configuration ---- */

static bool get_config(struct request *req, struct err *err UNUSED)
{
	return reply_json(req, 200,
			  json_pack("{s:I}", "m.upload.size", (json_int_t)req->server->options->max_upload_size));
}

/* ---- uploads ---- */

static bool too_large(struct err *err, uint64_t max)
{
	return err_set(err, M_TOO_LARGE, "An upload has at most %" PRIu64 " bytes", max);
}

/* What is known before the first byte of the body. */
static bool begin_upload(struct request *req, struct media_row *row, struct err *err)
{
	uint64_t max = (uint64_t)req->server->options->max_upload_size, announced;

	row->content_type = media_type_of(header(req, "Content-Type"));
	row->file_name = query_param(req, "filename");
	if (row->file_name.len > MAX_FILE_NAME)
		return err_set(err, M_INVALID_PARAM, "The file name is too long");
	if (request_content_length(req, &announced) && announced > max)
		return too_large(err, max);
	return true;
}

static bool receive_file(struct request *req, struct media_content *ret_content, struct err *err)
{
	uint64_t max = (uint64_t)req->server->options->max_upload_size;
	CLEANUP(media_file_free) struct media_file *file = NULL;
	struct str chunk;

	if (!media_file_new(&req->server->media->folder, &file, err))
		return false;
	do {
		if (!request_read(req, &chunk, err))
			return false;
		if (media_file_size(file) + chunk.len > max)
			return too_large(err, max);
		if (!media_file_write(file, chunk, err))
			return false;
	} while (chunk.len);
	return media_file_keep(file, ret_content, err);
}

/* Takes the body in; it is on disk afterwards. Of the workers for uploads nobody can have more than a quarter. */
static bool receive(struct request *req, struct media_content *ret_content, struct err *err)
{
	struct media *media = req->server->media;
	size_t most = (size_t)MAX(req->server->options->workers / 4, 1);
	bool ok;

	if (!media_upload_begin(media, req->user->nid, most, err))
		return false;
	ok = receive_file(req, ret_content, err);
	media_upload_end(media, req->user->nid);
	return ok;
}

/* A new ID, at the user's server. */
static struct media_row new_row(const struct request *req)
{
	return (struct media_row){
		.server_name = server_domain_of_user(req->server, req->user->user_id)->name,
		.media_id = random_string(req->arena, MEDIA_ID_LENGTH),
		.user = req->user->nid,
		.authenticated = req->server->options->authenticated_media,
	};
}

static struct str uri_of(const struct media_row *row, struct arena *arena)
{
	return str_printf(arena, "mxc://%.*s/%.*s", STR_ARG(row->server_name), STR_ARG(row->media_id));
}

static bool post_upload(struct request *req, struct err *err)
{
	struct media_row row = new_row(req);

	return begin_upload(req, &row, err) && receive(req, &row.content, err) &&
	       media_insert(req->server, &row, err) && reply_field(req, "content_uri", uri_of(&row, req->arena));
}

static bool post_create(struct request *req, struct err *err)
{
	const struct options *options = req->server->options;
	struct media_row row = new_row(req);

	row.expires_ts = clock_wall_ms() + options->pending_upload_lifetime;
	if (!media_reserve(req->server, &row, options->max_pending_uploads, err))
		return false;
	return reply_json(req, 200,
			  json_pack("{s:o, s:I}", "content_uri", json_new_str(uri_of(&row, req->arena)),
				    "unused_expires_at", (json_int_t)row.expires_ts));
}

/* "Security considerations": nothing else is looked up, and so nothing else can become a path. */
static bool is_media_id(struct str text)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
		      c == '-'))
			return false;
	}
	return text.len > 0 && text.len <= MAX_MEDIA_ID;
}

/* The media that the path names. M_NOT_FOUND: none of ours. */
static bool find(struct request *req, struct media_row *ret_row, struct err *err)
{
	struct str server_name = path_param(req, "serverName"), media_id = path_param(req, "mediaId");
	bool found = false;

	if (server_domain(req->server, server_name) && is_media_id(media_id) &&
	    !media_find(req->server, server_name, media_id, req->arena, ret_row, &found, err))
		return false;
	return found || err_set(err, M_NOT_FOUND, "There is no such media");
}

/* The media ID that the path names, reserved by the user. */
static bool find_reserved(struct request *req, struct media_row *ret_row, struct err *err)
{
	if (!find(req, ret_row, err))
		return false;
	if (ret_row->user != req->user->nid)
		return err_set(err, M_FORBIDDEN, "This media ID was created by somebody else");
	return ret_row->expires_ts || err_set(err, M_CANNOT_OVERWRITE_MEDIA, "This media has been uploaded already");
}

/* Of two uploads to one ID at the same time the first one stands. */
static bool put_upload(struct request *req, struct err *err)
{
	struct media_row row;
	bool filled;

	if (!find_reserved(req, &row, err) || !begin_upload(req, &row, err) || !receive(req, &row.content, err) ||
	    !media_fill(req->server, &row, &filled, err))
		return false;
	if (!filled)
		return find_reserved(req, &row, err) && err_set(err, M_NOT_FOUND, "There is no such media");
	return reply_empty(req);
}

/* ---- downloads ---- */

static bool has_param(const struct request *req, const char *segment)
{
	return strstr(req->route->path, segment) != NULL;
}

/* 504, and yet no fault of ours: an answer like others. */
static bool not_yet_uploaded(struct request *req)
{
	struct err err;

	err_set(&err, M_NOT_YET_UPLOADED, "This media has not been uploaded yet");
	return reply_error(req, &err);
}

static bool resume_download(struct request *req, void *state, enum wake_cause cause, struct err *err);

static bool wait_for_upload(struct request *req, struct media_wait *wait)
{
	return request_park(req, &(struct park){
					 .state = wait,
					 .resume = resume_download,
					 .free_state = media_wait_free,
					 .on_parked = media_wait_file,
					 .on_resumed = media_wait_take_out,
					 .deadline_ms = wait->deadline_ms,
					 .user = wait->user,
				 });
}

/* "Content repository": the policy it recommends, and that types are not guessed. Contents never change. */
static void add_headers(struct request *req, const struct media_row *row, struct str file_name)
{
	struct str hash = hex_encode(req->arena, row->content.sha256, SHA256_BYTES);

	reply_header(req, "Content-Type", row->content_type);
	reply_header(req, "Content-Disposition", media_disposition(row->content_type, file_name, req->arena));
	reply_header(req, "Content-Security-Policy",
		     STR("sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; "
			 "style-src 'unsafe-inline'; object-src 'self';"));
	reply_header(req, "Cross-Origin-Resource-Policy", STR("cross-origin"));
	reply_header(req, "X-Content-Type-Options", STR("nosniff"));
	reply_header(req, "ETag", str_printf(req->arena, "\"%.*s\"", STR_ARG(hash)));
	reply_header(req, "Cache-Control",
		     row->authenticated ? STR("private, max-age=86400, immutable")
					: STR("public, max-age=86400, immutable"));
}

static bool send_content(struct request *req, const struct media_row *row, struct err *err)
{
	struct str file_name = has_param(req, "{fileName}") ? path_param(req, "fileName") : row->file_name;
	int fd;

	if (file_name.len > MAX_FILE_NAME)
		return err_set(err, M_INVALID_PARAM, "The file name is too long");
	if (!media_content_open(&req->server->media->folder, &row->content, &fd, err))
		return false;
	add_headers(req, row, file_name);
	return reply_file(req, fd, row->content.size);
}

/* Sees to an open endpoint that it shows nothing that was uploaded for those who are logged in. */
static bool may_see(const struct request *req, const struct media_row *row, struct err *err)
{
	return req->route->auth == AUTH_USER || !row->authenticated ||
	       err_set(err, M_NOT_FOUND, "There is no such media");
}

static bool get_download(struct request *req, struct err *err)
{
	struct media *media = req->server->media;
	uint64_t changes = media_changes(media);
	struct media_row row;
	int64_t timeout_ms;

	if (!query_int(req, "timeout_ms", 0, INT64_MAX, DEFAULT_WAIT_MS, &timeout_ms, err) || !find(req, &row, err) ||
	    !may_see(req, &row, err))
		return false;
	if (!row.expires_ts)
		return send_content(req, &row, err);
	if (timeout_ms == 0)
		return not_yet_uploaded(req);
	return wait_for_upload(req, media_wait_new(media, media_entry_id(row.server_name, row.media_id, req->arena),
						   req->user, changes, clock_mono_ms() + MIN(timeout_ms, MAX_WAIT_MS)));
}

static bool resume_download(struct request *req, void *state, enum wake_cause cause, struct err *err)
{
	struct media_wait *wait = state;
	struct media_row row;

	if (cause != WAKE_EVENT)
		return not_yet_uploaded(req);
	wait->changes = media_changes(wait->media);
	if (!find(req, &row, err))
		return false;
	return row.expires_ts ? wait_for_upload(req, wait) : send_content(req, &row, err);
}

const struct route media_routes[] = {
	{ HTTP_POST, "/_matrix/media/v3/upload", AUTH_USER, LIMIT_NONE, post_upload, .body = BODY_STREAM,
	  .max_body = UPLOAD_MAX_BODY, .resource = "media" },
	{ HTTP_PUT, "/_matrix/media/v3/upload/{serverName}/{mediaId}", AUTH_USER, LIMIT_NONE, put_upload,
	  .body = BODY_STREAM, .max_body = UPLOAD_MAX_BODY, .resource = "media" },
	{ HTTP_POST, "/_matrix/media/v1/create", AUTH_USER, LIMIT_MEDIA_CREATE, post_create, .resource = "media" },
	{ HTTP_GET, "/_matrix/client/v1/media/config", AUTH_USER, LIMIT_NONE, get_config, .resource = "media" },
	{ HTTP_GET, "/_matrix/client/v1/media/download/{serverName}/{mediaId}", AUTH_USER, LIMIT_NONE, get_download,
	  .flags = ROUTE_GUEST, .resource = "media" },
	{ HTTP_GET, "/_matrix/client/v1/media/download/{serverName}/{mediaId}/{fileName}", AUTH_USER, LIMIT_NONE,
	  get_download, .flags = ROUTE_GUEST, .resource = "media" },
	{ HTTP_GET, "/_matrix/media/v3/config", AUTH_USER, LIMIT_NONE, get_config, .resource = "media" },
	{ HTTP_GET, "/_matrix/media/v3/download/{serverName}/{mediaId}", AUTH_NONE, LIMIT_NONE, get_download,
	  .resource = "media" },
	{ HTTP_GET, "/_matrix/media/v3/download/{serverName}/{mediaId}/{fileName}", AUTH_NONE, LIMIT_NONE, get_download,
	  .resource = "media" },
	{ 0 },
};
