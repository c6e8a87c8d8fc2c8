/* Content-Disposition and Content-Type of files that strangers may have made. */
#include "media/media_internal.h"

#define MAX_TYPE 255

/* client-server-api "Serving inline content": browsers run nothing that they find in these. */
static const struct str inline_types[] = {
	STR_INIT("text/css"),         STR_INIT("text/plain"),          STR_INIT("text/csv"),
	STR_INIT("application/json"), STR_INIT("application/ld+json"), STR_INIT("image/jpeg"),
	STR_INIT("image/gif"),        STR_INIT("image/png"),           STR_INIT("image/apng"),
	STR_INIT("image/webp"),       STR_INIT("image/avif"),          STR_INIT("video/mp4"),
	STR_INIT("video/webm"),       STR_INIT("video/ogg"),           STR_INIT("video/quicktime"),
	STR_INIT("audio/mp4"),        STR_INIT("audio/webm"),          STR_INIT("audio/aac"),
	STR_INIT("audio/mpeg"),       STR_INIT("audio/ogg"),           STR_INIT("audio/wave"),
	STR_INIT("audio/wav"),        STR_INIT("audio/x-wav"),         STR_INIT("audio/x-pn-wav"),
	STR_INIT("audio/flac"),       STR_INIT("audio/x-flac"),
};

static bool shown_inline(struct str content_type)
{
	struct str type = STR("");

	str_split(&content_type, ';', &type); /* parameters, as charset, follow */
	type = str_trim(type);
	for (size_t i = 0; i < ARRAY_LEN(inline_types); i++) {
		if (str_eq_ascii_nocase(type, inline_types[i]))
			return true;
	}
	return false;
}

/* RFC 8187, section 3.2, attr-char: what also needs no quotes. */
static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       str_find_char(STR("!#$&+-.^_`|~"), c) >= 0;
}

static bool all_plain(struct str text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (!is_plain(text.ptr[i]))
			return false;
	}
	return true;
}

static void write_extended(struct buf *buf, struct str text)
{
	BUF_LIT(buf, "utf-8''");
	for (size_t i = 0; i < text.len; i++) {
		if (is_plain(text.ptr[i]))
			buf_char(buf, text.ptr[i]);
		else
			buf_printf(buf, "%%%02X", (unsigned)(unsigned char)text.ptr[i]);
	}
}

struct str media_disposition(struct str content_type, struct str file_name, struct arena *arena)
{
	CLEANUP(buf_done) struct buf buf = buf_init(32 + 3 * file_name.len);

	buf_append(&buf, shown_inline(content_type) ? STR("inline") : STR("attachment"));
	if (file_name.len && all_plain(file_name)) {
		BUF_LIT(&buf, "; filename=");
		buf_append(&buf, file_name);
	} else if (file_name.len) {
		BUF_LIT(&buf, "; filename*=");
		write_extended(&buf, file_name);
	}
	return str_dup(arena, buf_str(&buf));
}

struct str media_type_of(struct str given)
{
	const struct str unknown = STR("application/octet-stream");

	given = str_trim(given);
	if (given.len == 0 || given.len > MAX_TYPE)
		return unknown;
	for (size_t i = 0; i < given.len; i++) {
		if (given.ptr[i] < ' ' || given.ptr[i] > '~')
			return unknown;
	}
	return given;
}
